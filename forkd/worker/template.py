"""The template: imports the applications once; workers are forked from it and share its memory.

It does nothing else, and serves nobody. Workers that it forks are children of the master, which has
ordered them (decision 0012).
"""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import signal
import socket
from dataclasses import replace
from functools import partial

from forkd.channel import Channel, Word
from forkd.child import (
    Assignment,
    ChildMain,
    Kind,
    Pool,
    adopt_log_files,
    enter,
    fork_grandchild,
    reason_of,
    refuse_to_start,
)
from forkd.config.settings import Settings
from forkd.handlers.applications import Applications, Told, import_applications
from forkd.loop.loop import Loop
from forkd.loop.signals import Signals
from forkd.loop.timers import Timer
from forkd.worker.leftovers import Holdings, refuse_leftovers
from forkd.worker.process import run_worker

log = logging.getLogger("forkd.template")


def import_for_sharing(settings: Settings, importing: Told) -> Applications:
    """Import all applications. Raises OperationError, also for what cannot be shared."""
    held = Holdings.now()

    def look(key: str) -> None:
        nonlocal held
        held = refuse_leftovers(held, key)

    return import_applications(settings, importing, look)


class Template:
    """Forks a worker on each order, until it is told to leave."""

    def __init__(self, assignment: Assignment, main: ChildMain) -> None:
        self._assignment = assignment
        self._main = main
        self.loop = Loop()
        signals = Signals(self.loop, lambda _number: self.loop.stop())
        signals.listen((signal.SIGTERM, signal.SIGQUIT))
        self.loop.watch(assignment.channel.fd, self._on_channel)
        # As often as a worker: its loop is looked at in the same way.
        self._interval_s = min(1.0, assignment.settings.workers.hang_timeout / 4)
        self._ticker = Timer(self._tick)
        self._tick(self.loop.now)

    def _on_channel(self, _mask: int) -> None:
        try:
            said = self._assignment.channel.hear()
        except BlockingIOError:
            return
        if said is None or said.word in (Word.DRAIN, Word.STOP):
            # It holds the listeners, too: it must be gone before those who leave are replaced.
            self.loop.stop()
        elif said.word is Word.REOPEN:
            adopt_log_files(self._assignment, said)
        elif said.word is Word.FORK:
            (number,), (descriptor, stacks) = said.fields, said.descriptors
            self._fork(int(number), Channel(socket.socket(fileno=descriptor)), stacks)
            os.close(stacks)

    def _fork(self, slot: int, channel: Channel, stacks: int) -> None:
        assignment = replace(
            self._assignment,
            pool=Pool(Kind.WORKER),
            slot=self._assignment.slot.other(slot),
            channel=channel,
            identity=None,  # it is what the template has become
            stacks=stacks,
        )
        try:
            fork_grandchild(self._main, assignment)
        except OSError as error:
            channel.say(Word.FAILED, [f"cannot fork: {error.strerror}"])
        channel.close()

    def _tick(self, now: float) -> None:
        self._assignment.slot.write(now, 0, 0, 0, 0, 0, 0, 0.0)
        self.loop.timers.set(self._ticker, now + self._interval_s)


def run_template(assignment: Assignment) -> None:
    """The template's whole life. Returns when it may leave."""
    channel, settings = assignment.channel, assignment.settings
    try:
        title = f"forkd: template gen {assignment.generation}"
        enter(assignment, title, keep_privileges=False, on_orphaned=signal.SIGKILL)
        errors = assignment.log_files.open(settings.log.error.file)
        faulthandler.enable(file=errors, all_threads=True)
        applications = import_for_sharing(settings, channel.say_importing)
        # Nothing that is here now is written to any more by a collector, so the pages stay shared.
        gc.collect()
        gc.freeze()
        template = Template(assignment, partial(run_worker, applications=applications))
    except Exception as error:
        refuse_to_start(channel, [reason_of(error)])
    channel.say(Word.READY)
    template.loop.run()
