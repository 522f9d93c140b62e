"""A master put together of its own parts, for the tests of those that carry out what events lead to.

Children are there without processes: they say what the test has them say, and what they are told is
written down, in one journal with what the service manager hears and what those who asked are
answered. So a test can say in which order things happen.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from forkd.channel import Channel, Word
from forkd.child import Assignment, Pool
from forkd.config.load import load_text
from forkd.config.settings import Settings
from forkd.errors import ForkdError
from forkd.master.consequences import Consequences
from forkd.master.control import ControlServer, Reply
from forkd.master.course import Course
from forkd.master.ending import Ending
from forkd.master.failures import Failures
from forkd.master.figures import Figures
from forkd.master.generation import Generation
from forkd.master.lifecycle import Child, Start, State, Wanted
from forkd.master.listeners import Listeners
from forkd.master.logs import MasterLogs
from forkd.master.outage import Outage
from forkd.master.presence import Presence
from forkd.master.reading import AwaitedReading
from forkd.master.reloader import Reloader, Started
from forkd.master.renewal import Renewal
from forkd.master.rounds import Rounds
from forkd.master.service import ServiceManager, Vitals
from forkd.master.stacks import Stacks
from forkd.master.steps import Steps
from forkd.master.succession import Succession
from forkd.master.supervisor import Supervisor
from forkd.master.upgrade import Successor, Upgrades
from forkd.scoreboard import Slot
from forkd.system.systemd import Given, Notifier
from tests.unit.stepped import SteppedLoop

NEW_MASTER = 9999
"""The pid that the program has which is to replace this one."""

Journal = list[str]


class Manager(Notifier):
    """The service manager: writes down the first line of what it hears, and a bare STATUS."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(None)
        self._journal = journal

    def _send(self, *lines: str, descriptor: int = -1, flags: int = 0) -> bool:  # noqa: ARG002
        self._journal.append(f"systemd: {lines[0]}")
        return True


class Nursery(Supervisor):
    """The supervisor, but for fork(2), kill(2) and waitpid(2)."""

    journal: Journal
    refusal: int | None = None
    """The errno with which the kernel refuses to fork."""

    def _fork(self, order: Start, assignment: Assignment) -> int | None:  # noqa: ARG002
        if self.refusal is not None:
            raise OSError(self.refusal, os.strerror(self.refusal))
        number = assignment.slot.number
        # A copy, as a fork makes one: the master closes its own.
        self._ends[number] = Channel(socket.socket(fileno=os.dup(assignment.channel.fd)))
        self._last_pid += 1
        assignment.slot.write(self._loop.now, 0, 0, 0, 0, 0, 0, 0.0)
        self.journal.append(f"{assignment.name}: forked")
        return self._last_pid

    def _signal(self, pid: int | None, signum: signal.Signals) -> None:  # type: ignore[override]
        child = next(child for child in self.children.values() if child.pid == pid)
        self.journal.append(f"{_name(child)}: {signum.name}")

    def carry_out(self, wanted: Wanted) -> None:
        try:
            super().carry_out(wanted)
        finally:
            for slot, end in self._ends.items():
                self._hear(self.children[slot], end)

    def _hear(self, child: Child, end: Channel) -> None:
        while True:
            try:
                said = end.hear()
            except BlockingIOError:
                return
            assert said is not None
            self.journal.append(f"{_name(child)}: {said.word.value.decode()}")

    @classmethod
    def of(cls, base: Supervisor, journal: Journal) -> Nursery:
        """Make it of one that has no children yet."""
        assert not base.children
        made = cls.__new__(cls)
        made.__dict__.update(base.__dict__)
        made.journal = journal
        return made
