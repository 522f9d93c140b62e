"""The master process: its parts put together, and what signals and commands ask of it.

What should be is kept as a statement, and every event ends in a step (steps.py), which lets the
supervisor make it true.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Mapping
from functools import partial

from forkd.channel import Channel
from forkd.child import Assignment, ChildMain, Kind, Pool
from forkd.config.settings import Settings
from forkd.errors import ForkdError
from forkd.loop.loop import Loop
from forkd.loop.signals import Signals
from forkd.master import counting, status
from forkd.master.answers import Answers
from forkd.master.askers import Askers
from forkd.master.commands import commands
from forkd.master.consequences import Consequences
from forkd.master.control import ControlServer, Reply
from forkd.master.course import STOPPING, Course, Mode
from forkd.master.ending import Ending
from forkd.master.failures import Failures
from forkd.master.fd_store import FdStore, split
from forkd.master.figures import Figures
from forkd.master.inheritance import Inheritance
from forkd.master.inquiries import Inquirer
from forkd.master.listeners import Listeners
from forkd.master.logs import MasterLogs, warn_of_root
from forkd.master.outage import Outage
from forkd.master.presence import Presence
from forkd.master.questions import Questions
from forkd.master.reading import Load
from forkd.master.reloader import Reloader
from forkd.master.renewal import Renewal
from forkd.master.rounds import Rounds
from forkd.master.service import ServiceManager, Vitals
from forkd.master.signals import HANDLED, obey
from forkd.master.stacks import Stacks
from forkd.master.steps import Steps
from forkd.master.succession import Succession
from forkd.master.supervisor import Supervisor
from forkd.master.upgrade import Predecessor, Upgrades
from forkd.scoreboard import Service, Slot
from forkd.system.process import adopt_orphans
from forkd.system.systemd import Given

log = logging.getLogger("forkd.master")


class Master:
    """Use: construct (binds everything; raises ForkdError), then `run`."""

    def __init__(
        self,
        config: str,
        load: Load,
        settings: Settings,
        mains: Mapping[Kind, ChildMain],
        given: Given,
        on_ready: Callable[[], None],
        inquirers: Mapping[str, Inquirer],
        heritage: Inheritance | None = None,
    ) -> None:
        """settings: what load has given for the start; it is called again for each reload.

        inquirers: called in a child, each with the generation that serves and what was asked.

        heritage: what the master has left that this one is to replace.
        """
        self._given = given
        self._loop = loop = Loop()
        self._course = course = Course()
        failures = Failures()
        self._logs = MasterLogs()
        self._succession = succession = Succession(heritage.generation if heritage else 0)
        units, stored = split(given.sockets)
        lent = heritage.listeners if heritage else {}
        self._store = FdStore(given.notifier, stored, given.store_limit, lent)
        self._listeners = listeners = Listeners(units, lent, self._store)
        speaks = heritage is None
        self._manager = manager = ServiceManager(loop, given, self._vitals, speaks=speaks)
        if speaks:
            self._store.speak(listeners)
        self._reloader = reloader = Reloader(
            loop,
            config,
            load,
            succession,
            listeners,
            self._logs,
            failures,
            begun=self._soon,
            ended=lambda reason: renewal.reload_ended(reason),
        )
        answers = Answers(loop, {"status": self.status, "metrics": lambda: figures.metrics()})
        self._supervisor = supervisor = Supervisor(
            loop,
            mains,
            assign=self._assign,
            hang_timeout_s=lambda number: succession[number].settings.workers.hang_timeout,
            died=lambda death: consequences.died(death, loop.now),
            came_up=lambda child: consequences.came_up(child),
            source_changed=lambda child, path: renewal.source_changed(child, path),
            changed=self._soon,
            stranger_died=lambda pid, status: upgrades.reaped(pid, status),
            answer=answers.about,
        )
        self._askers = Askers(supervisor.children.values)
        self._stacks = Stacks(loop, supervisor)
        self._questions = Questions(loop, load, inquirers, succession)
        self._outage = outage = Outage(
            loop, supervisor.scoreboard, lambda: status.open_connections(supervisor)
        )
        self._figures = figures = Figures(config, supervisor, succession, listeners, outage)
        self._begins_drained = heritage is not None and not heritage.in_service
        upgrades = Upgrades(
            loop,
            listeners,
            given.successor,
            in_service=lambda: outage.in_service,
            replaced=lambda pid: ending.give_way(pid),
        )
        self._ending = ending = Ending(
            loop, course, succession, supervisor, listeners, reloader, upgrades, manager, self._soon
        )
        self._renewal = renewal = Renewal(
            loop, course, succession, reloader, upgrades, ending, manager, figures, self._soon
        )
        consequences = Consequences(course, succession, supervisor, failures, figures, renewal)
        control = self._open(settings, replaces=heritage is not None)
        predecessor = Predecessor(heritage.channel) if heritage else None
        self._presence = presence = Presence(
            loop, config, listeners, control, predecessor, on_ready, self._on_main_process
        )
        self._steps = steps = Steps(
            loop, course, succession, supervisor, reloader, failures, consequences, ending, presence
        )
        self._rounds = Rounds(
            loop, course, succession, supervisor, listeners, outage, manager, figures, steps.take
        )
        self._signals = Signals(loop, partial(obey, self))
        self._signals.listen(HANDLED)

    def _open(self, settings: Settings, *, replaces: bool) -> ControlServer:
        """What may fail at the start: log files, the control socket, the first generation."""
        self._logs.open(settings)
        control = ControlServer(
            self._loop, settings.control, commands(self), self._askers.welcomes, replaces=replaces
        )
        try:
            self._reloader.open(settings, [])
        except ForkdError:
            control.close()
            raise
        return control

    def run(self) -> int:
        """Serve until told to stop: 0 for every stop that was asked for.

        Raises ForkdError where the first generation did not come up.
        """
        self._logs.use(self._succession.settings)
        self._tell_what_was_found()
        if self._begins_drained:
            self._outage.go_on()
        adopt_orphans()
        # What is here now is for good: the children's collectors need not look at it.
        gc.collect()
        gc.freeze()
        self._rounds.begin()
        self._loop.run()
        counting.sweep()
        self._outage.give_up(STOPPING)
        self._presence.withdraw(self._succession.settings.pid_file)
        if self._ending.failure is not None:
            raise self._ending.failure
        log.info("stopped")
        return 0

    def _tell_what_was_found(self) -> None:
        """What was noticed before there was a log."""
        warn_of_root(self._succession.settings)
        for note in self._given.warnings:
            log.warning("%s", note)
        for level, note in self._store.notes:
            log.log(level, "%s", note)
        for name in self._listeners.unused():
            log.warning("systemd passed a socket named %s that no `listen` takes", name)

    def _soon(self) -> None:
        self._loop.call_soon(self._steps.take)

    def _assign(self, number: int, pool: Pool, slot: Slot, channel: Channel) -> Assignment:
        self._askers.started(pool)
        generation = self._succession[number]
        listeners = self._listeners.chosen(generation.settings.listen)
        return generation.assignment(pool, slot, channel, listeners, self._logs.files)

    def _vitals(self) -> Vitals:
        return self._figures.vitals(self._steps.wanted().counts)

    def _on_main_process(self) -> None:
        self._manager.take_over(self._figures.summary())
        self._store.speak(self._listeners)

    @property
    def stopping(self) -> bool:
        return self._course.stopping

    def reload(self, replies: list[Reply]) -> None:
        """Bring in a new generation from the file as it is now."""
        self._renewal.reload(replies)

    def upgrade(self, replies: list[Reply]) -> None:
        """Start the installed program in this one's place."""
        self._renewal.upgrade(replies)

    def stop(self, replies: list[Reply]) -> None:
        """Drain everybody, then leave; those who wait are told when nobody is left."""
        self._ending.begin(replies)

    def stop_at_once(self) -> None:
        """Leave without asking anybody."""
        self._ending.at_once()

    def reap(self) -> None:
        """Collect the children that have ended."""
        self._supervisor.reap()

    def adjust(self, more: int) -> int:
        """So many workers more or fewer until the next reload; how many that makes."""
        count = self._succession.adjust(more)
        self._soon()
        return count

    def dismiss(self) -> None:
        """Send all workers away until the next reload."""
        self._succession.dismissed = True
        self._soon()

    def drain(self, grace_s: float, replies: list[Reply]) -> None:
        """Take this host out of service."""
        if self._course.stopping:
            for reply in replies:
                reply({"ok": False, "reasons": [STOPPING]})
        else:
            self._outage.begin(grace_s, replies)

    def undrain(self) -> None:
        """Bring it back."""
        self._outage.end()

    def reopen(self) -> list[str]:
        """Open the log files anew, everywhere; the reasons why that failed."""
        return self._logs.reopen(self._supervisor.hand_out_log_files)

    def status(self) -> dict[str, object]:
        """What `forkd status` is told."""
        out = self._course.mode is Mode.RUNNING and self._outage.service is not Service.IN
        state = "draining" if out else self._course.mode.value
        return self._figures.status(state, self._reloader.last)

    def stack(self, worker: object, reply: Reply) -> None:
        """Tell what the threads of the worker in a slot are doing."""
        self._stacks.show(worker, reply)

    def compare(self, reply: Reply) -> None:
        """Say what a reload would change."""
        self._questions.compare(reply)

    def inquire(self, name: str, request: dict[str, object], reply: Reply) -> None:
        """Have a question answered by a process of its own."""
        self._questions.inquire(name, request, reply)

    def replay(self, request: dict[str, object], reply: Reply) -> None:
        """Run a recorded request again, for whoever asks."""
        self._questions.replay(request, reply)
