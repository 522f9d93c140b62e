"""The master process: one object that signals, deaths and the control socket talk to.

What should be is kept as a statement (`_wanted`), and every event ends in `_step`, which moves the
statement on where it can and lets the supervisor make it true.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from forkd.channel import Channel
from forkd.child import Assignment, Kind, Pool
from forkd.config.address import Address
from forkd.config.model import Settings
from forkd.config.plan import plan_reload
from forkd.errors import ForkdError, OperationError
from forkd.logs.error import start_error_log
from forkd.logs.files import LogFiles
from forkd.loop.loop import Loop
from forkd.loop.signals import Signals
from forkd.loop.timers import NEVER, Timer
from forkd.master import lifecycle, status
from forkd.master.control import ControlServer, Reply
from forkd.master.generation import WORKERS, Generation
from forkd.master.lifecycle import State, Wanted
from forkd.master.listeners import Listeners
from forkd.master.pidfile import remove_pid_file, write_pid_file
from forkd.master.rollout import Phase, Rollout
from forkd.master.supervisor import ChildMain, Death, Supervisor
from forkd.scoreboard import Slot
from forkd.system.systemd import Notifier

log = logging.getLogger("forkd.master")

_LOOK_S = 1.0
"""How often hung workers are looked for, and the service manager is told how things are."""

_SIGNALS = (
    signal.SIGHUP,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGWINCH,
    signal.SIGCHLD,
)


class Mode(Enum):
    """STARTING -> RUNNING <-> RELOADING; each -> STOPPING. The value is the word in status."""

    STARTING = "starting"
    RUNNING = "running"
    RELOADING = "reloading"
    STOPPING = "stopping"


@dataclass(slots=True)
class Incoming:
    """A generation on its way in, and what must be undone if it fails."""

    generation: Generation
    rollout: Rollout
    opened: list[Address]
    replies: list[Reply] = field(default_factory=list)


class StartFailed(OperationError):
    """The first generation did not come up. The text has a line for each reason."""


class Master:
    """Use: construct (binds, raises ForkdError), `run` (returns the exit status)."""

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
        self._load = load
        self._notifier = notifier
        self._on_ready = on_ready
        self._started_at = time.time()
        self._mode = Mode.STARTING
        self._failure: ForkdError | None = None
        self._gone = status.Totals()
        self._last_reload: status.LastReload | None = None
        self._failures: dict[lifecycle.Key, int] = {}
        self._not_before: dict[lifecycle.Key, float] = {}
        self._adjustment = 0
        """By how much TTIN and TTOU have changed the number of workers."""
        self._reload_again: list[Reply] | None = None
        self._stop_replies: list[Reply] = []

        settings = load()
        self.log_files = LogFiles()
        self._open_logs(settings)
        self._listeners = Listeners(inherited)
        self._generations: dict[int, Generation] = {}
        self._live: Generation | None = None
        generation = Generation.open(1, settings)
        opened = self._listeners.open(settings.listen, generation.identity)
        self._loop = Loop()
        self._supervisor = Supervisor(
            self._loop,
            mains,
            self._assign,
            lambda number: self._generations[number].settings.workers.hang_timeout,
            self._on_death,
            self._soon,
        )
        try:
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
        except OperationError:
            self._listeners.close(opened)
            raise
        self._signals = Signals(self._loop, self._on_signal)
        self._signals.listen(_SIGNALS)
        self._bring_in(generation, opened, [])

    # Running.

    def run(self) -> int:
        """Serve until told to stop. 0 for every stop that was asked for; StartFailed is raised where
        the first generation did not come up."""
        settings = self._settings
        start_error_log(
            self.log_files.open(settings.log.error.file), settings.log.error.level, "master"
        )
        _warn_of_root(settings)
        for name in self._listeners.unused():
            log.warning("systemd passed a socket named %s that no `listen` takes", name)
        # What is here now is for good: the children's collectors need not look at it.
        gc.collect()
        gc.freeze()
        self._ticker = Timer(self._tick)
        self._wake_up = Timer(lambda _now: self._step())
        self._last_summary = ""
        self._tick(self._loop.now)
        self._loop.run()
        return self._clean_up()

    @property
    def _settings(self) -> Settings:
        if self._live is not None:
            return self._live.settings
        assert self._incoming is not None
        return self._incoming.generation.settings

    def _clean_up(self) -> int:
        self._control.close()
        self._listeners.close_all()
        if self._settings.pid_file is not None:
            remove_pid_file(self._settings.pid_file, os.getpid())
        if self._failure is not None:
            raise self._failure
        log.info("stopped")
        return 0

    def _step(self) -> None:
        """Move on what can be moved on, and make what is what should be."""
        if self._mode is Mode.STOPPING and not self._supervisor.children:
            for reply in self._stop_replies:
                reply({"ok": True})
            self._loop.stop()
            return
        incoming = self._incoming
        if incoming is not None:
            incoming.rollout = incoming.rollout.advance(self._supervisor.children.values())
            if incoming.rollout.phase is Phase.DONE:
                self._commit(incoming)
        wanted = self._wanted()
        try:
            self._supervisor.carry_out(wanted)
        except OperationError as error:
            self._on_fork_failure(str(error))
        due = lifecycle.next_deadline(self._supervisor.children.values(), wanted, self._loop.now)
        self._loop.timers.set(self._wake_up, NEVER if due is None else due)

    def _soon(self) -> None:
        self._loop.call_soon(self._step)

    def _wanted(self) -> Wanted:
        counts: dict[lifecycle.Key, int] = {}
        if self._mode is not Mode.STOPPING:
            if self._live is not None:
                for pool, count in self._live.full().items():
                    more = self._adjustment if pool == WORKERS else 0
                    counts[self._live.number, pool] = max(1, count + more)
            if self._incoming is not None:
                counts |= self._incoming.rollout.counts()
        patience = self._settings.workers.shutdown_timeout
        stopping = self._mode is Mode.STOPPING
        return Wanted(counts, self._not_before, stopping, patience)

    def _tick(self, now: float) -> None:
        self._step()
        summary = status.summary(self._supervisor, self._gone)
        if self._mode is Mode.RUNNING and summary != self._last_summary:
            self._last_summary = summary
            self._notifier.status(summary)
        self._loop.timers.set(self._ticker, now + _LOOK_S)

    # Generations.

    _incoming: Incoming | None = None

    def _assign(self, number: int, pool: Pool, slot: Slot, channel: Channel) -> Assignment:
        generation = self._generations[number]
        if pool.kind is Kind.WORKER:
            orders = {policy: pair.workers_end for policy, pair in generation.orders.items()}
            listeners = self._listeners.chosen(generation.settings.listen)
        else:
            assert pool.policy is not None
            orders = {pool.policy: generation.orders[pool.policy].spawners_end}
            listeners = ()
        return Assignment(
            pool,
            number,
            slot,
            generation.settings,
            os.getpid(),
            channel,
            listeners,
            self.log_files,
            generation.identity,
            orders,
        )

    def _bring_in(
        self, generation: Generation, opened: list[Address], replies: list[Reply]
    ) -> None:
        self._generations[generation.number] = generation
        rollout = Rollout(generation.number, generation.full(), Phase.CANARY)
        self._incoming = Incoming(generation, rollout, opened, replies)

    def _commit(self, incoming: Incoming) -> None:
        """The new generation serves: the old one may go."""
        old, self._live, self._incoming = self._live, incoming.generation, None
        settings = self._live.settings
        self._adjustment = 0
        if old is None:
            self._announce_start(settings)
        else:
            self._retire(old)
            self._listeners.close(plan_reload(old.settings, settings).close)
            self._use_logs(settings)
            self._mode = Mode.RUNNING
            self._last_reload = status.LastReload(time.time(), True)
            log.info("reloaded %s: generation %d serves", self._config, self._live.number)
        self._notifier.ready(status.summary(self._supervisor, self._gone))
        for reply in incoming.replies:
            reply({"ok": True, "generation": self._live.number})
        self._reload_if_asked_meanwhile()

    def _announce_start(self, settings: Settings) -> None:
        self._mode = Mode.RUNNING
        if settings.pid_file is not None:
            try:
                write_pid_file(settings.pid_file, os.getpid())
            except OperationError as error:
                self._failure = error
                self._stop()
                return
        where = ", ".join(str(entry["address"]) for entry in status.listeners(self._listeners))
        assert self._live is not None
        workers = self._live.full()[WORKERS]
        log.info("serving %s on %s with %d workers", self._config, where, workers)
        self._on_ready()

    def _retire(self, generation: Generation) -> None:
        generation.retire()
        for key in [key for key in self._failures if key[0] == generation.number]:
            del self._failures[key]
        self._not_before = {
            key: when for key, when in self._not_before.items() if key[0] != generation.number
        }

    def _abandon(self, reasons: list[str]) -> None:
        """The new generation has failed: it goes, the old one serves on as if nothing had been."""
        incoming, self._incoming = self._incoming, None
        assert incoming is not None
        self._retire(incoming.generation)
        self._listeners.close(incoming.opened)
        if self._live is None:
            self._failure = StartFailed("\n".join(reasons))
            self._stop()
            return
        self._use_logs(self._live.settings)
        self._reload_failed(reasons, incoming.replies)

    # Reloading.

    def reload(self, replies: list[Reply]) -> None:
        """Bring in a new generation from the file as it is now; see CONTRACT.md, Reload."""
        if self._mode is Mode.STOPPING:
            for reply in replies:
                reply({"ok": False, "reasons": ["forkd is stopping"]})
            return
        if self._incoming is not None:
            # One at a time. All that ask meanwhile are served by one more, which reads the file anew.
            self._reload_again = (self._reload_again or []) + replies
            return
        assert self._live is not None
        self._mode = Mode.RELOADING
        self._notifier.reloading()
        opened: list[Address] = []
        try:
            settings = self._load()
            refused = plan_reload(self._live.settings, settings).refused
            if refused:
                raise OperationError("\n".join(refused))
            self._open_logs(settings)
            number = max(self._generations) + 1
            generation = Generation.open(number, settings)
            opened = self._listeners.open(settings.listen, generation.identity)
        except ForkdError as error:
            self._use_logs(self._live.settings)
            self._reload_failed(str(error).splitlines(), replies)
            return
        self._bring_in(generation, opened, replies)
        self._step()

    def _reload_failed(self, reasons: list[str], replies: list[Reply]) -> None:
        assert self._live is not None
        self._mode = Mode.RUNNING
        self._last_reload = status.LastReload(time.time(), False, tuple(reasons))
        for reason in reasons:
            log.error("reload failed: %s", reason)
        log.error("reload failed: generation %d goes on serving", self._live.number)
        # systemd waits for READY also after a reload that failed (sd_notify(3)).
        self._notifier.ready(f"The last reload failed: {reasons[0]}")
        for reply in replies:
            reply({"ok": False, "reasons": reasons})
        self._reload_if_asked_meanwhile()

    def _reload_if_asked_meanwhile(self) -> None:
        if (replies := self._reload_again) is not None:
            self._reload_again = None
            self._loop.call_soon(lambda: self.reload(replies))

    # Logs.

    def _open_logs(self, settings: Settings) -> None:
        """Open what the settings name and is not open yet. Raises OperationError."""
        for target in _log_targets(settings):
            self.log_files.open(target)

    def _use_logs(self, settings: Settings) -> None:
        """Write to the logs of these settings and close all others."""
        start_error_log(
            self.log_files.open(settings.log.error.file), settings.log.error.level, "master"
        )
        self.log_files.keep_only({str(target) for target in _log_targets(settings)})

    def _reopen_logs(self) -> list[str]:
        """Give the reasons where that failed."""
        try:
            files = self.log_files.reopen()
        except OperationError as error:
            log.error("%s: the old file is written on", error)
            return [str(error)]
        self._supervisor.hand_out_log_files(files)
        log.info("log files reopened")
        return []

    # Deaths.

    def _on_death(self, death: Death) -> None:
        child = death.child
        if child.pool.kind is Kind.WORKER:
            self._gone.add(self._supervisor.slot(child).read())
        alive = {other.generation for other in self._supervisor.children.values()}
        current = {
            g.number for g in (self._live, self._incoming and self._incoming.generation) if g
        }
        for number in self._generations.keys() - alive - current:
            del self._generations[number]
        if self._incoming is not None and child.generation == self._incoming.generation.number:
            self._abandon([str(death)] if not death.reasons else list(death.reasons))
        elif death.was_asked or self._mode is Mode.STOPPING:
            log.debug("%s has left", child)
        elif child.generation in current:
            self._note_failure((child.generation, child.pool), child.state, str(death))
        else:
            log.warning("%s", death)
        self._soon()

    def _note_failure(self, key: lifecycle.Key, state: State, reason: str) -> None:
        """A child of the live generation is gone that was not to go: replace it, with patience."""
        if state is not State.STARTING:
            self._failures.pop(key, None)
            log.error("%s: it is replaced; what it was answering is lost", reason)
            return
        self._failures[key] = self._failures.get(key, 0) + 1
        delay = lifecycle.backoff_s(self._failures[key])
        self._not_before[key] = self._loop.now + delay
        log.error("%s; the next start is tried in %g s", reason, delay)

    def _on_fork_failure(self, reason: str) -> None:
        if self._incoming is not None:
            self._abandon([reason])
            self._soon()
        elif self._live is not None and self._mode is not Mode.STOPPING:
            for pool in self._live.full():
                self._note_failure((self._live.number, pool), State.STARTING, reason)

    # Stopping.

    def _stop(self) -> None:
        if self._mode is Mode.STOPPING:
            return
        self._mode = Mode.STOPPING
        self._notifier.stopping("Draining")
        for generation in self._generations.values():
            generation.retire()
        self._incoming = None
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
                log.warning("stopping at once")
                self._stop_at_once()
            case signal.SIGINT | signal.SIGTERM:
                log.info("%s: draining, then goodbye", number.name)
                self._stop()
            case signal.SIGQUIT:
                log.info("SIGQUIT: stopping at once")
                self._stop_at_once()
            case signal.SIGUSR1:
                self._reopen_logs()
            case signal.SIGTTIN | signal.SIGTTOU:
                self._adjust(1 if number is signal.SIGTTIN else -1)
            case _:
                log.warning("%s: not supported by this version of forkd", number.name)

    def _adjust(self, more: int) -> None:
        if self._live is None:
            return
        full = self._live.full()[WORKERS]
        self._adjustment = max(1 - full, self._adjustment + more)
        log.info("%d workers until the next reload", full + self._adjustment)
        self._soon()

    def _command_status(self, _request: dict[str, object], reply: Reply) -> None:
        now = time.monotonic()
        totals = status.totals(self._supervisor, self._gone)
        last = self._last_reload
        reply(
            status.program()
            | {
                "ok": True,
                "state": self._mode.value,
                "generation": self._live.number if self._live else 0,
                "started": self._started_at,
                "uptime_s": round(time.time() - self._started_at, 3),
                "config": self._config,
                "listeners": status.listeners(self._listeners),
                "workers": status.workers(self._supervisor, now),
                "totals": {
                    "requests": totals.requests,
                    "connections": totals.connections,
                    "bytes_sent": totals.bytes_sent,
                    "errors": totals.errors,
                },
                "last_reload": last
                and {"at": last.at, "ok": last.ok, "reasons": list(last.reasons)},
            }
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
        reasons = self._reopen_logs()
        reply({"ok": not reasons, "reasons": reasons})


def _log_targets(settings: Settings) -> list[str | Path]:
    access = settings.log.access
    return [settings.log.error.file, *([access.file] if access is not None else [])]


def _warn_of_root(settings: Settings) -> None:
    if os.geteuid() != 0:
        if settings.user is not None:
            log.warning("`user: %s` has no effect: forkd was not started as root", settings.user)
    elif settings.user is None:
        log.warning(
            "forkd runs as root and no `user` is set: workers and CGI programs run AS ROOT; "
            "set user: www-data (or another) in the configuration"
        )
