"""The master process: the one object that signals, deaths and the control socket talk to.

What should be is kept as a statement, and every event ends in `_step`, which moves the statement on
where it can and lets the supervisor make it true.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial

from forkd.channel import Channel
from forkd.child import Assignment, ChildMain, Kind, Pool
from forkd.config.settings import Settings
from forkd.errors import ForkdError, OperationError
from forkd.loop.loop import Loop
from forkd.loop.signals import Signals
from forkd.loop.timers import NEVER, Timer
from forkd.master import counting, lifecycle, status
from forkd.master.answers import Answers
from forkd.master.commands import commands
from forkd.master.comparison import compare
from forkd.master.control import ControlServer, Reply
from forkd.master.death import Death
from forkd.master.failures import Failures
from forkd.master.fd_store import FdStore, split
from forkd.master.figures import Figures
from forkd.master.generation import WORKERS, Generation
from forkd.master.inheritance import Inheritance
from forkd.master.inquiries import Inquirer, Inquiries
from forkd.master.lifecycle import Child, State, Wanted
from forkd.master.listeners import Listeners
from forkd.master.logs import MasterLogs, warn_of_root
from forkd.master.meter import Resizer
from forkd.master.outage import Outage
from forkd.master.pidfile import remove_pid_file, write_pid_file
from forkd.master.reading import Load
from forkd.master.reloader import Reloader
from forkd.master.replays import Replays
from forkd.master.service import ServiceManager
from forkd.master.signals import HANDLED, obey
from forkd.master.stacks import Stacks
from forkd.master.succession import Succession
from forkd.master.supervisor import Supervisor
from forkd.master.upgrade import Predecessor, Upgrades
from forkd.scoreboard import Service, Slot
from forkd.system.process import adopt_orphans
from forkd.system.systemd import Given

log = logging.getLogger("forkd.master")

_LOOK_S = 1.0
"""How often hung workers are looked for, and the service manager is told how things are."""

_STOPPING = "forkd is stopping"
_NOT_STARTED = "forkd has not started yet"


class Mode(Enum):
    """STARTING -> RUNNING <-> RELOADING; each -> STOPPING. The value is the word in status."""

    STARTING = "starting"
    RUNNING = "running"
    RELOADING = "reloading"
    STOPPING = "stopping"


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
        self._config = config
        self._load = load
        self._given = given
        self._on_ready = on_ready
        self._mode = Mode.STARTING
        self._failure: ForkdError | None = None
        """Why the start did not succeed."""
        self._failures = Failures()
        self._resizer = Resizer()
        self._succession = Succession(heritage.generation if heritage else 0)
        self._predecessor = Predecessor(heritage.channel) if heritage else None
        self._replaced = False
        """Another master serves on the same listeners."""
        self._stop_replies: list[Reply] = []
        self._logs = MasterLogs()
        units, stored = split(given.sockets)
        lent = heritage.listeners if heritage else {}
        self._store = FdStore(given.notifier, stored, given.store_limit, lent)
        self._listeners = Listeners(units, lent, self._store)
        self._loop = Loop()
        self._inquiries = Inquiries(self._loop, inquirers)
        self._replays = Replays(self._inquiries)
        self._manager = ServiceManager(
            self._loop,
            given,
            lambda: self._figures.vitals(self._wanted().counts),
            speaks=heritage is None,
        )
        if heritage is None:
            self._store.speak(self._listeners)
        self._reloader = Reloader(
            self._loop,
            config,
            load,
            self._succession,
            self._listeners,
            self._logs,
            self._failures,
            self._soon,
            self._on_reload_ended,
        )
        self._supervisor = Supervisor(
            self._loop,
            mains,
            self._assign,
            lambda number: self._succession[number].settings.workers.hang_timeout,
            self._on_death,
            self._on_child_ready,
            self._on_source_changed,
            self._soon,
            lambda pid, status: self._upgrades.reaped(pid, status),
            Answers(
                self._loop,
                {"status": lambda: self.status(), "metrics": lambda: self._figures.metrics()},
            ).about,
        )
        self._stacks = Stacks(self._loop, self._supervisor)
        self._outage = Outage(
            self._loop,
            self._supervisor.scoreboard,
            lambda: status.open_connections(self._supervisor),
        )
        self._figures = Figures(
            config, self._supervisor, self._succession, self._listeners, self._outage
        )
        self._upgrades = Upgrades(self._loop, self._listeners, given.successor, self._on_replaced)
        self._logs.open(settings)
        self._control = ControlServer(
            self._loop,
            settings.control,
            commands(self),
            replaces=heritage is not None,
        )
        try:
            self._reloader.open(settings, [])
        except ForkdError:
            self._control.close()
            raise
        self._signals = Signals(self._loop, partial(obey, self))
        self._signals.listen(HANDLED)

    def run(self) -> int:
        """Serve until told to stop: 0 for every stop that was asked for.

        Raises ForkdError where the first generation did not come up.
        """
        self._logs.use(self._succession.settings)
        warn_of_root(self._succession.settings)
        for note in self._given.warnings:
            log.warning("%s", note)
        for level, note in self._store.notes:
            log.log(level, "%s", note)
        for name in self._listeners.unused():
            log.warning("systemd passed a socket named %s that no `listen` takes", name)
        adopt_orphans()
        # What is here now is for good: the children's collectors need not look at it.
        gc.collect()
        gc.freeze()
        self._ticker = Timer(self._tick)
        self._wake_up = Timer(lambda _now: self._step())
        self._tick(self._loop.now)
        self._loop.run()
        counting.sweep()
        self._control.close()
        self._listeners.close_all()
        if (path := self._succession.settings.pid_file) is not None:
            remove_pid_file(path, os.getpid())
        if self._failure is not None:
            raise self._failure
        log.info("stopped")
        return 0

    # What should be, and the step towards it.

    def _step(self) -> None:
        if self._mode is Mode.STOPPING and not self._supervisor.children:
            for reply in self._stop_replies:
                reply({"ok": True})
            self._loop.stop()
            return
        if self._succession.advance(self._supervisor.children.values()):
            self._commit()
        wanted = self._wanted()
        try:
            self._supervisor.carry_out(wanted)
        except OperationError as error:
            self._on_fork_failure(str(error))
        children = self._supervisor.children.values()
        due = lifecycle.next_deadline(children, wanted, self._loop.now) or NEVER
        if (deadline := self._reloader.deadline) is not None:
            if not self._supervisor.leaving or self._loop.now >= deadline:
                self._reloader.hand_over(first=self._mode is Mode.STARTING)
            else:
                due = min(due, deadline)
        self._loop.timers.set(self._wake_up, due)

    def _soon(self) -> None:
        self._loop.call_soon(self._step)

    def _wanted(self) -> Wanted:
        stopping = self._mode is Mode.STOPPING
        counts = {} if stopping else self._succession.counts()
        patience = self._succession.settings.workers.shutdown_timeout
        forked_by = self._succession.forked_by()
        alone = stopping and not self._replaced
        return Wanted(counts, self._failures.not_before, alone, patience, forked_by)

    def _tick(self, now: float) -> None:
        # First of all: a fault in one look must not be the last look.
        self._loop.timers.set(self._ticker, now + _LOOK_S)
        live, dismissed = self._succession.live, self._succession.dismissed
        # What waits while this host is out of service, or its workers are sent away, is to wait.
        accepts = self._outage.service is not Service.OUT and not dismissed
        if live is not None and self._mode is not Mode.STOPPING and accepts:
            workers = partial(self._supervisor.workers, live.number)
            self._resizer.resize(live, workers, self._listeners.queued, now)
        self._step()
        self._manager.look(self._figures.summary(), self._supervisor.children.values(), now)

    # Generations.

    def _assign(self, number: int, pool: Pool, slot: Slot, channel: Channel) -> Assignment:
        generation = self._succession[number]
        listeners = self._listeners.chosen(generation.settings.listen)
        return generation.assignment(pool, slot, channel, listeners, self._logs.files)

    def _commit(self) -> None:
        old, incoming = self._reloader.commit(self._loop.now)
        if old is None:
            self._announce_start(incoming.generation)

    def _announce_start(self, generation: Generation) -> None:
        settings = generation.settings
        try:
            # First what may fail: until then nothing of a master that is to be replaced is touched.
            if settings.pid_file is not None:
                write_pid_file(settings.pid_file, os.getpid())
            if self._predecessor is not None:
                self._control.take_over()
        except OperationError as error:
            self._failure = error
            self._stop()
            return
        if self._predecessor is not None:
            self._listeners.keep(settings.listen)
        where = ", ".join(str(entry["address"]) for entry in status.listeners(self._listeners, {}))
        count = generation.full()[WORKERS]
        log.info("%s is served on %s by %d workers", self._config, where, count)
        self._on_ready()
        if self._predecessor is not None:
            self._predecessor.serve_instead(self._loop, self._on_main_process)
            self._predecessor = None

    def _abandon(self, reasons: list[str]) -> None:
        """The new generation has failed. Without an old one there is nothing to serve."""
        if not self._reloader.abandon(reasons):
            self._failure = OperationError("\n".join(reasons))
            self._stop()

    def reload(self, replies: list[Reply]) -> None:
        """Bring in a new generation from the file as it is now."""
        live = self._succession.live
        if self._mode is Mode.STOPPING:
            for reply in replies:
                reply({"ok": False, "reasons": [_STOPPING]})
        elif self._upgrades.busy:
            log.error("reload refused: an upgrade is under way")
            for reply in replies:
                reply({"ok": False, "reasons": ["an upgrade is under way"]})
        elif live is None or self._reloader.busy:
            self._reloader.wait(replies)
        else:
            self._mode = Mode.RELOADING
            self._manager.reloading()
            self._reloader.begin(live, replies)
            self._soon()

    def compare(self, reply: Reply) -> None:
        """Say what a reload would change."""
        if self._succession.live is None:
            reply({"ok": False, "reasons": [_NOT_STARTED]})
        else:
            compare(self._loop, self._load, self._succession.settings, reply)

    def inquire(self, name: str, request: dict[str, object], reply: Reply) -> None:
        """Have a question answered by a process of its own."""
        if (live := self._succession.live) is None:
            reply({"ok": False, "reasons": [_NOT_STARTED]})
        else:
            self._inquiries.answer(name, live, request, reply)

    def replay(self, request: dict[str, object], reply: Reply) -> None:
        """Run a recorded request again, for whoever asks."""
        if (live := self._succession.live) is None:
            reply({"ok": False, "reasons": [_NOT_STARTED]})
        else:
            self._replays.begin(live, request, reply)

    def _on_source_changed(self, child: Child, path: str) -> None:
        """All workers tell of it: the first one that does, of those that serve, is heard."""
        live = self._succession.live
        if live is not None and child.generation == live.number and not self._reloader.busy:
            log.info("%s has changed: reloading", path)
            self.reload([])

    def _on_reload_ended(self, reason: str) -> None:
        self._mode = Mode.RUNNING
        live, last = self._succession.live, self._reloader.last
        if live is not None and last is not None:
            self._figures.history.note_reload(last, live.number)
        # systemd waits for READY also after a reload that failed (sd_notify(3)).
        self._manager.ready(self._figures.summary(), reason)
        if (waiting := self._reloader.take_waiting()) is not None:
            self._loop.call_soon(lambda: self.reload(waiting))

    # Children that come and go.

    def _on_child_ready(self, child: lifecycle.Child) -> None:
        self._failures.clear((child.generation, child.pool))
        self._soon()

    def _on_death(self, death: Death) -> None:
        self._figures.bury(death)
        child, succession = death.child, self._succession
        if child.pool.kind is Kind.SPAWNER:
            counting.sweep()
        incoming = succession.incoming
        if incoming is not None and child.generation == incoming.generation.number:
            self._abandon(list(death.reasons) or [str(death)])
        elif death.was_asked or self._mode is Mode.STOPPING:
            log.debug("%s has left", child)
        elif not succession.is_current(child.generation):
            log.warning("%s", death)
        elif child.state is State.STARTING:
            self._failures.back_off((child.generation, child.pool), str(death), self._loop.now)
        else:
            log.error("%s: it is replaced%s", death, death.loss(self._loop.now))
        succession.forget_gone(self._supervisor.children.values())
        self._soon()

    def _on_fork_failure(self, reason: str) -> None:
        live = self._succession.live
        if self._succession.incoming is not None:
            self._abandon([reason])
            self._soon()
        elif live is not None:
            for pool in live.full():
                self._failures.back_off((live.number, pool), reason, self._loop.now)

    # The next program.

    def upgrade(self, replies: list[Reply]) -> None:
        """Start the installed program in this one's place."""
        live = self._succession.live
        if self._mode is Mode.STOPPING:
            self._upgrades.refuse(replies, [_STOPPING])
        elif live is None or self._reloader.busy:
            self._upgrades.refuse(replies, ["a reload is under way"])
        else:
            self._upgrades.begin(live.number, live.settings.workers.boot_timeout, replies)

    def _on_replaced(self, pid: int) -> None:
        """Another master serves on the same listeners."""
        self._replaced = True
        self._listeners.lend()
        self._manager.hand_over(pid)
        self._stop()

    # The service manager.

    def _on_main_process(self) -> None:
        """The old master has told it of this one."""
        self._manager.take_over(self._figures.summary())
        self._store.speak(self._listeners)

    # Stopping.

    @property
    def stopping(self) -> bool:
        return self._mode is Mode.STOPPING

    def stop(self, replies: list[Reply]) -> None:
        """Drain everybody, then leave; those who wait are told when nobody is left."""
        self._stop_replies += replies
        self._stop()

    def _stop(self) -> None:
        if self._mode is not Mode.STOPPING:
            self._mode = Mode.STOPPING
            self._reloader.refuse_all(_STOPPING)
            self._upgrades.give_up(_STOPPING)
            self._manager.stopping("Draining")
            self._succession.retire_all()
            self._soon()

    # What others ask for.

    def stop_at_once(self) -> None:
        """Leave without asking anybody."""
        self._mode = Mode.STOPPING
        self._upgrades.give_up(_STOPPING)
        self._manager.stopping("Stopping at once")
        self._supervisor.kill_all()
        self._loop.stop()

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

    def status(self) -> dict[str, object]:
        """What `forkd status` is told."""
        return self._figures.status(self._state(), self._reloader.last)

    def _state(self) -> str:
        out = self._mode is Mode.RUNNING and self._outage.service is not Service.IN
        return "draining" if out else self._mode.value

    def stack(self, worker: object, reply: Reply) -> None:
        """Tell what the threads of the worker in a slot are doing."""
        self._stacks.show(worker, reply)

    def drain(self, grace_s: float, replies: list[Reply]) -> None:
        """Take this host out of service."""
        if self._mode is Mode.STOPPING:
            for reply in replies:
                reply({"ok": False, "reasons": [_STOPPING]})
        else:
            self._outage.begin(grace_s, replies)

    def undrain(self) -> None:
        """Bring it back."""
        self._outage.end()

    def reopen(self) -> list[str]:
        """Open the log files anew, everywhere; the reasons why that failed."""
        return self._logs.reopen(self._supervisor.hand_out_log_files)
