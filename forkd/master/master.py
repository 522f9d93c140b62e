"""The master process: the one object that signals, deaths and the control socket talk to.

What should be is kept as a statement, and every event ends in `_step`, which moves the statement on
where it can and lets the supervisor make it true.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from enum import Enum

from forkd.channel import Channel
from forkd.child import Assignment, ChildMain, Kind, Pool
from forkd.config.model import Settings
from forkd.errors import ForkdError, OperationError
from forkd.loop.loop import Loop
from forkd.loop.signals import Signals
from forkd.loop.timers import NEVER, Timer
from forkd.master import lifecycle, status
from forkd.master.control import ControlServer, Reply
from forkd.master.failures import Failures
from forkd.master.generation import WORKERS, Generation
from forkd.master.lifecycle import Child, State, Wanted
from forkd.master.listeners import Listeners
from forkd.master.logs import MasterLogs, warn_of_root
from forkd.master.pidfile import remove_pid_file, write_pid_file
from forkd.master.reloader import Reloader
from forkd.master.succession import Succession
from forkd.master.supervisor import Death, Supervisor
from forkd.scoreboard import Slot
from forkd.system.process import adopt_orphans
from forkd.system.systemd import Notifier

log = logging.getLogger("forkd.master")

_LOOK_S = 1.0
"""How often hung workers are looked for, and the service manager is told how things are."""

_STOPPING = "forkd is stopping"

_HANDLED = (
    *(signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH),
)


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
        load: Callable[[], Settings],
        mains: Mapping[Kind, ChildMain],
        inherited: list[tuple[str, int]],
        notifier: Notifier,
        on_ready: Callable[[], None],
    ) -> None:
        self._config = config
        self._notifier = notifier
        self._on_ready = on_ready
        self._started_at = time.time()
        self._mode = Mode.STARTING
        self._failure: ForkdError | None = None
        """Why the start did not succeed."""
        self._gone = status.Totals()
        self._last_summary = ""
        self._failures = Failures()
        self._succession = Succession()
        self._stop_replies: list[Reply] = []
        self._logs = MasterLogs()
        self._listeners = Listeners(inherited)
        self._reloader = Reloader(
            config,
            load,
            self._succession,
            self._listeners,
            self._logs,
            self._failures,
            self._on_reload_ended,
        )
        self._loop = Loop()
        self._supervisor = Supervisor(
            self._loop,
            mains,
            self._assign,
            lambda number: self._succession[number].settings.workers.hang_timeout,
            self._on_death,
            self._on_child_ready,
            self._on_source_changed,
            self._soon,
        )
        settings = load()
        self._logs.open(settings)
        self._control = ControlServer(
            self._loop,
            settings.control,
            {
                "status": self._command_status,
                "reload": self._command_reload,
                "stop": self._command_stop,
                "reopen": self._command_reopen,
            },
        )
        try:
            self._reloader.open(settings, [])
        except ForkdError:
            self._control.close()
            raise
        self._signals = Signals(self._loop, self._on_signal)
        self._signals.listen(_HANDLED)

    def run(self) -> int:
        """Serve until told to stop: 0 for every stop that was asked for.

        Raises ForkdError where the first generation did not come up.
        """
        self._logs.use(self._succession.settings)
        warn_of_root(self._succession.settings)
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
        return Wanted(counts, self._failures.not_before, stopping, patience, forked_by)

    def _tick(self, now: float) -> None:
        self._step()
        if self._mode is Mode.RUNNING:
            summary = status.summary(self._supervisor, self._gone)
            if summary != self._last_summary:
                self._last_summary = summary
                self._notifier.status(summary)
        self._loop.timers.set(self._ticker, now + _LOOK_S)

    # Generations.

    def _assign(self, number: int, pool: Pool, slot: Slot, channel: Channel) -> Assignment:
        generation = self._succession[number]
        if pool.policy is None:
            orders = {policy: pair.workers_end for policy, pair in generation.orders.items()}
            listeners = self._listeners.chosen(generation.settings.listen)
        else:
            orders = {pool.policy: generation.orders[pool.policy].spawners_end}
            listeners = ()
        return Assignment(
            pool=pool,
            generation=number,
            slot=slot,
            settings=generation.settings,
            master_pid=os.getpid(),
            channel=channel,
            listeners=listeners,
            log_files=self._logs.files,
            identity=generation.identity,
            orders=orders,
        )

    def _commit(self) -> None:
        old, incoming = self._reloader.commit(self._loop.now)
        if old is None:
            self._announce_start(incoming.generation)

    def _announce_start(self, generation: Generation) -> None:
        settings = generation.settings
        if settings.pid_file is not None:
            try:
                write_pid_file(settings.pid_file, os.getpid())
            except OperationError as error:
                self._failure = error
                self._stop()
                return
        where = ", ".join(str(entry["address"]) for entry in status.listeners(self._listeners, {}))
        count = generation.full()[WORKERS]
        log.info("%s is served on %s by %d workers", self._config, where, count)
        self._on_ready()

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
        elif live is None or self._reloader.busy:
            self._reloader.wait(replies)
        else:
            self._mode = Mode.RELOADING
            self._notifier.reloading()
            self._reloader.begin(live, replies)
            self._soon()

    def _on_source_changed(self, child: Child, path: str) -> None:
        """All workers tell of it: the first one that does, of those that serve, is heard."""
        live = self._succession.live
        if live is not None and child.generation == live.number and not self._reloader.busy:
            log.info("%s has changed: reloading", path)
            self.reload([])

    def _on_reload_ended(self, reason: str) -> None:
        self._mode = Mode.RUNNING
        # systemd waits for READY also after a reload that failed (sd_notify(3)).
        summary = status.summary(self._supervisor, self._gone)
        self._notifier.ready(f"The last reload failed: {reason}" if reason else summary)
        if (waiting := self._reloader.take_waiting()) is not None:
            self._loop.call_soon(lambda: self.reload(waiting))

    # Children that come and go.

    def _on_child_ready(self, child: lifecycle.Child) -> None:
        self._failures.clear((child.generation, child.pool))
        self._soon()

    def _on_death(self, death: Death) -> None:
        child, succession = death.child, self._succession
        if child.pool.kind is Kind.WORKER:
            self._gone.add(self._supervisor.slot(child).read())
        incoming = succession.incoming
        if incoming is not None and child.generation == incoming.generation.number:
            self._abandon(list(death.reasons) or [str(death)])
        elif death.was_asked or self._mode is Mode.STOPPING:
            log.debug("%s has left", child)
        elif not succession.is_current(child.generation):
            log.warning("%s", death)
        elif child.state is State.STARTING:
            self._back_off((child.generation, child.pool), str(death))
        else:
            lost = "; what it was answering is lost" if child.pool.kind is Kind.WORKER else ""
            log.error("%s: it is replaced%s", death, lost)
        succession.forget_gone(self._supervisor.children.values())
        self._soon()

    def _back_off(self, key: lifecycle.Key, reason: str) -> None:
        delay = self._failures.note(key, self._loop.now)
        log.error("%s; the next start is tried in %g s", reason, delay)

    def _on_fork_failure(self, reason: str) -> None:
        live = self._succession.live
        if self._succession.incoming is not None:
            self._abandon([reason])
            self._soon()
        elif live is not None:
            for pool in live.full():
                self._back_off((live.number, pool), reason)

    # Stopping.

    def _stop(self) -> None:
        """Drain everybody, then leave."""
        if self._mode is not Mode.STOPPING:
            self._mode = Mode.STOPPING
            self._reloader.refuse_all(_STOPPING)
            self._notifier.stopping("Draining")
            self._succession.retire_all()
            self._soon()

    def _stop_at_once(self) -> None:
        self._mode = Mode.STOPPING
        self._notifier.stopping("Stopping at once")
        self._supervisor.kill_all()
        self._loop.stop()

    # What others say.

    def _on_signal(self, number: signal.Signals) -> None:
        match number:
            case signal.SIGCHLD:
                self._supervisor.reap()
            case signal.SIGHUP:
                log.info("SIGHUP: reloading %s", self._config)
                self.reload([])
            case signal.SIGINT if self._mode is Mode.STOPPING:
                log.warning("SIGINT again: stopping at once")
                self._stop_at_once()
            case signal.SIGINT | signal.SIGTERM:
                log.info("%s: draining, then goodbye", number.name)
                self._stop()
            case signal.SIGQUIT:
                log.info("SIGQUIT: stopping at once")
                self._stop_at_once()
            case signal.SIGUSR1:
                self._logs.reopen(self._supervisor.hand_out_log_files)
            case signal.SIGTTIN | signal.SIGTTOU:
                count = self._succession.adjust(1 if number is signal.SIGTTIN else -1)
                log.info("%s: %d workers until the next reload", number.name, count)
                self._soon()
            case _:
                log.warning("%s: not supported by this version of forkd", number.name)

    def _command_status(self, _request: dict[str, object], reply: Reply) -> None:
        live = self._succession.live
        listens = self._succession.settings.listen
        protocols = {listen.address: listen.protocol for listen in listens}
        reply(
            {"ok": True, "state": self._mode.value, "generation": live.number if live else 0}
            | status.about(self._config, self._started_at, self._reloader.last)
            | status.figures(
                self._supervisor, self._gone, self._listeners, protocols, time.monotonic()
            )
        )

    def _command_reload(self, request: dict[str, object], reply: Reply) -> None:
        if request.get("wait"):
            self.reload([reply])
        else:
            reply({"ok": True})
            self.reload([])

    def _command_stop(self, _request: dict[str, object], reply: Reply) -> None:
        log.info("stop: draining, then goodbye")
        self._stop_replies.append(reply)
        self._stop()

    def _command_reopen(self, _request: dict[str, object], reply: Reply) -> None:
        reasons = self._logs.reopen(self._supervisor.hand_out_log_files)
        reply({"ok": not reasons, "reasons": reasons})
