"""What is to be done about the children, decided from a table of them. Pure.

The master keeps one statement of what should be: how many children of each pool and generation.
`plan` compares it with what is and says what to do. Starting, growing, replacing, reloading,
rolling back and stopping are all the same step with another statement.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from forkd.child import Pool

KILL_GRACE_S = 2.0
"""From a QUIT or ABRT that was not obeyed to KILL, and from one KILL to the next look."""
BACKOFF_FIRST_S = 1.0
BACKOFF_MOST_S = 30.0


class State(Enum):
    """The life of a child: STARTING -> READY -> RETIRING -> DRAINING -> gone.

    Steps may be skipped.
    """

    STARTING = auto()
    READY = auto()
    RETIRING = auto()
    """It serves until another one has taken its place."""
    DRAINING = auto()


class Pressure(Enum):
    """How hard a child has been asked to leave: NONE -> ASKED -> KILLED."""

    NONE = auto()
    ASKED = auto()
    KILLED = auto()


@dataclass(frozen=True, slots=True)
class Child:
    """A process of ours. Times are monotonic seconds; a deadline is when patience ends.

    pid: None while another child has not forked it yet.
    """

    pool: Pool
    generation: int
    slot: int
    pid: int | None
    state: State
    since: float
    deadline: float | None
    pressure: Pressure = Pressure.NONE

    @property
    def serves(self) -> bool:
        """Whether it does the work of its pool, and is not about to leave."""
        return self.state in (State.READY, State.RETIRING)

    def __str__(self) -> str:
        pid = f" pid {self.pid}" if self.pid is not None else ""
        return f"{self.pool.kind.value} {self.slot} gen {self.generation}{pid}"


Key = tuple[int, Pool]
"""Generation and pool."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What should be. A generation that is not named is to drain."""

    counts: Mapping[Key, int]
    not_before: Mapping[Key, float]
    """A pool that dies at its start is not started again before then."""
    stopping: bool = False
    """Nobody takes over from those who drain."""
    drain_timeout_s: float = 30.0
    forked_by: Mapping[Key, Key] = field(default_factory=dict)
    """Pools whose children are forked by a ready child of another pool, not by the master."""


@dataclass(frozen=True, slots=True)
class Start:
    generation: int
    pool: Pool
    parent: Child | None = None
    """Which child is to fork it; None: the master does."""


@dataclass(frozen=True, slots=True)
class Drain:
    child: Child


@dataclass(frozen=True, slots=True)
class Kill:
    """Send a signal, for a reason that belongs in the log."""

    child: Child
    signum: signal.Signals
    reason: str


Action = Start | Drain | Kill


def plan(
    children: Iterable[Child], wanted: Wanted, hung: Mapping[int, float], now: float
) -> list[Action]:
    """Say what to do now. `hung`: slots whose loop stands still, with for how many seconds."""
    table = sorted(children, key=lambda child: (child.since, child.slot))
    actions: list[Action] = [action for child in table if (action := _press(child, hung, now))]
    alive: dict[Key, list[Child]] = {key: [] for key in wanted.counts}
    for child in table:
        if child.state is not State.DRAINING:
            alive.setdefault((child.generation, child.pool), []).append(child)
    for key, members in alive.items():
        count = wanted.counts.get(key, 0)
        actions += [Drain(child) for child in _surplus(members, count)]
        if now >= wanted.not_before.get(key, 0.0):
            # Of those that retire one at a time is replaced, so that memory does not double.
            retires = any(child.state is State.RETIRING for child in members)
            missing = count + (1 if retires else 0) - len(members)
            if (parents := wanted.forked_by.get(key)) is None:
                actions += [Start(*key)] * missing
            elif able := [child for child in alive.get(parents, ()) if _can_fork(child)]:
                actions += [Start(*key, able[0])] * missing
    return actions


def _surplus(members: Sequence[Child], count: int) -> list[Child]:
    """Whom a pool of `count` can do without. members: those that do not drain, the oldest first."""
    retiring = [child for child in members if child.state is State.RETIRING]
    staying = [child for child in members if child.state is not State.RETIRING]
    staying.sort(key=lambda child: child.state is State.STARTING)
    serving = sum(child.serves for child in members)
    # One that retires goes when as many as are wanted serve without it.
    going = retiring[: max(0, serving - count)]
    # Of the others the youngest go first: they have learnt least. The one more is a successor.
    kept = count if len(going) == len(retiring) else min(count, len(staying))
    return going + staying[kept:]


def _can_fork(child: Child) -> bool:
    return child.state is State.READY and child.pressure is Pressure.NONE


def _press(child: Child, hung: Mapping[int, float], now: float) -> Kill | None:
    """What to do about a child whose time is over."""
    if child.pressure is Pressure.NONE and child.serves and child.slot in hung:
        # ABRT first: faulthandler prints the stacks.
        reason = f"its loop has stood still for {hung[child.slot]:.0f} s"
        return Kill(child, signal.SIGABRT, reason)
    if child.deadline is None or now < child.deadline:
        return None
    match child.pressure, child.state:
        case Pressure.NONE, State.STARTING:
            return Kill(child, signal.SIGABRT, "not ready within boot_timeout")
        case Pressure.NONE, _:
            # QUIT is "at once" for every kind of child; a spawner ends its programs first.
            return Kill(child, signal.SIGQUIT, "not done within shutdown_timeout")
        case _:
            return Kill(child, signal.SIGKILL, "still there")


def after(child: Child, action: Drain | Kill, wanted: Wanted, now: float) -> Child:
    """The child once the action has been carried out."""
    if isinstance(action, Drain):
        # A margin over the child's own patience: it knows best what it is still doing.
        deadline = now + wanted.drain_timeout_s + KILL_GRACE_S
        return replace(child, state=State.DRAINING, since=now, deadline=deadline)
    pressure = Pressure.KILLED if action.signum == signal.SIGKILL else Pressure.ASKED
    return replace(child, pressure=pressure, deadline=now + KILL_GRACE_S)


def ready(child: Child, now: float) -> Child:
    """The child has said READY. One that drains already stays what it is."""
    if child.state is not State.STARTING:
        return child
    # One that has been sent a signal ends for that all the same.
    deadline = None if child.pressure is Pressure.NONE else child.deadline
    return replace(child, state=State.READY, since=now, deadline=deadline)


def retire(child: Child, now: float) -> Child:
    """The child has asked to be replaced. One that drains already, or never served, stays."""
    if child.state is not State.READY:
        return child
    return replace(child, state=State.RETIRING, since=now)


def backoff_s(failures: int) -> float:
    """How long to wait after so many failed starts in a row: 0, 1, 2, 4 ... 30 seconds."""
    if failures <= 0:
        return 0.0
    return float(min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2 ** min(failures - 1, 10)))


def next_deadline(children: Iterable[Child], wanted: Wanted, now: float) -> float | None:
    """When `plan` may have something new to say without anything having happened."""
    times = [child.deadline for child in children if child.deadline is not None]
    times += [when for when in wanted.not_before.values() if when > now]
    return min(times, default=None)
