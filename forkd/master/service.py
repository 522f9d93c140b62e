"""What the master tells the service manager, and when.

A life looks like this from the manager's side (sd_notify(3)); STATUS comes with all of it:

    start    FDSTORE for each listener, EXTEND_TIMEOUT_USEC while children boot, READY
    run      WATCHDOG
    reload   RELOADING with MONOTONIC_USEC, FDSTORE for new listeners, FDSTOREREMOVE for those that
             are gone, READY, whether it succeeded or not
    upgrade  MAINPID from the old master, and then READY from the new one, which is silent before:
             the manager hears the main process only (NotifyAccess=main)
    stop     STOPPING, EXTEND_TIMEOUT_USEC while requests are finished

A stop is final: nothing follows that says READY. No barrier is needed at the end: what the main
process says is put down to its service even when it has left by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from forkd.child import Kind
from forkd.config.settings import Workers
from forkd.loop.loop import Loop
from forkd.loop.timers import Timer
from forkd.master.lifecycle import KILL_GRACE_S, Child, Key, Pressure, State
from forkd.system.systemd import Given

_STEP_S = 10.0
"""For how long patience is asked at a time. It is asked for anew every second."""


class Stage(Enum):
    """SILENT -> STARTING -> RUNNING <-> RELOADING; each -> STOPPING or REPLACED, the last ones."""

    SILENT = auto()
    """Another process is the service."""
    STARTING = auto()
    RUNNING = auto()
    RELOADING = auto()
    STOPPING = auto()
    REPLACED = auto()
    """Another process is the service by now."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """Whether the workers do what they are there for."""

    wanted: bool
    """There should be some."""
    last_tick: float
    """When the loop of the liveliest worker that serves last turned, in monotonic seconds."""
    patience_s: float
    """For how long there may be none: by then the master should have put it right itself."""


class ServiceManager:
    """Where the master says how it is. Without a manager, every call does nothing."""

    def __init__(
        self, loop: Loop, given: Given, vitals: Callable[[], Vitals], *, speaks: bool
    ) -> None:
        """speaks: this process is the one that the manager has started."""
        self._loop = loop
        self._notifier = given.notifier
        self._watchdog_s = given.watchdog_s
        self._vitals = vitals
        self._stage = Stage.STARTING if speaks else Stage.SILENT
        self._said = ""
        self._trouble = ""
        """What went wrong in the last reload."""
        self._alive_at = loop.now
        """When workers were last seen at work, or none were wanted."""
        self._watchdog = Timer(self._ping)

    def ready(self, summary: str, failure: str = "") -> None:
        """The service is there, or a reload is over. failure: why it changed nothing."""
        if self._stage in (Stage.STARTING, Stage.RUNNING, Stage.RELOADING):
            first, self._stage = self._stage is Stage.STARTING, Stage.RUNNING
            self._trouble = f"The last reload failed: {failure}; " if failure else ""
            self._said = self._trouble + summary
            self._notifier.ready(self._said)
            if first and self._watchdog_s is not None:
                self._alive_at = self._loop.now
                self._ping(self._loop.now)

    def reloading(self) -> None:
        if self._stage is Stage.RUNNING:
            self._stage = Stage.RELOADING
            self._notifier.reloading()

    def stopping(self, status: str) -> None:
        if self._stage not in (Stage.SILENT, Stage.STOPPING, Stage.REPLACED):
            self._stage = Stage.STOPPING
            self._said = status
            self._notifier.stopping(status)

    def hand_over(self, pid: int) -> None:
        """Another master is the service. The PID file names it by now: who is told of a new main
        process may look there. From here on the manager would not hear us."""
        if self._stage is not Stage.SILENT:
            self._notifier.main_pid(pid)
        self._stage = Stage.REPLACED
        self._loop.timers.remove(self._watchdog)

    def take_over(self, summary: str) -> None:
        """The master before this one has told the manager of us."""
        if self._stage is Stage.SILENT:
            self._stage = Stage.STARTING
            self.ready(summary)

    def look(self, summary: str, children: Iterable[Child], now: float) -> None:
        """What is said once a second: how things are, and how much patience that asks for."""
        match self._stage:
            case Stage.SILENT | Stage.REPLACED:
                return
            case Stage.RUNNING:
                summary = self._trouble + summary
            case Stage.STOPPING:
                summary = f"Draining: {summary}"
                self._ask_for_patience(children, (State.STARTING, State.DRAINING), now)
            case Stage.STARTING | Stage.RELOADING:
                summary = ""  # that it starts or reloads says it all
                self._ask_for_patience(children, (State.STARTING,), now)
        if summary not in ("", self._said):
            self._said = summary
            self._notifier.status(summary)

    def _ask_for_patience(
        self, children: Iterable[Child], states: tuple[State, ...], now: float
    ) -> None:
        if (seconds := patience_s(children, states, now)) > 0:
            self._notifier.extend_timeout(seconds)

    def _ping(self, now: float) -> None:
        assert self._watchdog_s is not None
        # Half of the time, as sd_watchdog_enabled(3) asks. Called by the master's own loop: where
        # that stands still there is no ping either.
        self._loop.timers.set(self._watchdog, now + self._watchdog_s / 2)
        vitals = self._vitals()
        self._alive_at = max(self._alive_at, vitals.last_tick) if vitals.wanted else now
        if now - self._alive_at <= vitals.patience_s:
            self._notifier.alive()


def patience_s(children: Iterable[Child], states: tuple[State, ...], now: float) -> float:
    """Seconds of patience to ask for while children in these states are waited for, 0 for none.

    Never longer than what is waited for may take: each of them has a deadline, after which it is
    killed. One that KILL does not end is nothing to wait for.
    """
    deadlines = (
        child.deadline + KILL_GRACE_S
        for child in children
        if child.state in states
        and child.deadline is not None
        and child.pressure is not Pressure.KILLED
    )
    return max(0.0, min(_STEP_S, max(deadlines, default=now) - now))


def vitals(
    children: Iterable[Child],
    tick: Callable[[Child], float],
    wanted: Mapping[Key, int],
    workers: Workers,
) -> Vitals:
    """tick: when a child's loop last turned. wanted: as in lifecycle.Wanted."""
    ticks = (tick(child) for child in children if child.pool.kind is Kind.WORKER and child.serves)
    return Vitals(
        any(count for (_, pool), count in wanted.items() if pool.kind is Kind.WORKER),
        max(ticks, default=0.0),
        # Finding out that the whole pool hangs, ending it, and starting another.
        workers.hang_timeout + 2 * KILL_GRACE_S + workers.boot_timeout,
    )
