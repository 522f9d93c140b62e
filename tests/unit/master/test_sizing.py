"""How a pool follows its load: the rule by tables, and the whole by simulation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkd.master.sizing import Load, Sizing

IDLE = Load(0.0, 0)


def sizing(low: int = 2, high: int = 16, idle_timeout_s: float = 60.0, size: int = 2) -> Sizing:
    return Sizing(low, high, idle_timeout_s, size, 0.0)


@pytest.mark.parametrize(
    ("size", "load", "wanted"),
    [
        (2, IDLE, 2),
        (4, IDLE, 4),
        (2, Load(1.5, 0), 2),
        (2, Load(1.6, 0), 3),
        (4, Load(4.0, 0), 6),
        (4, Load(1.0, 1), 8),
        (2, Load(0.0, 1), 4),
        (2, Load(9.0, 9), 4),
        (12, Load(12.0, 9), 16),
    ],
)
def test_what_is_needed_now(size: int, load: Load, wanted: int) -> None:
    assert sizing(size=size).observe(0.0, load) == wanted


def test_it_shrinks_when_the_need_has_been_gone_for_idle_timeout() -> None:
    pool = sizing(idle_timeout_s=10.0)
    assert pool.observe(0.0, Load(3.0, 0)) == 4
    assert pool.observe(9.0, IDLE) == 4
    assert pool.observe(10.0, IDLE) == 2


def test_those_that_are_there_at_first_have_been_needed() -> None:
    pool = sizing(idle_timeout_s=10.0, size=5)
    assert [pool.observe(now, IDLE) for now in (1.0, 9.0, 10.0)] == [5, 5, 2]


def test_a_need_that_comes_back_in_time_keeps_the_workers() -> None:
    pool = sizing(idle_timeout_s=10.0)
    sizes = [pool.observe(float(now), Load(3.0, 0) if now % 8 == 0 else IDLE) for now in range(100)]
    assert set(sizes) == {4}


@given(
    st.lists(st.tuples(st.floats(0, 50), st.integers(0, 100)), min_size=1, max_size=200),
    st.integers(1, 8),
    st.integers(0, 20),
)
def test_it_stays_between_min_and_max_and_never_more_than_doubles(
    loads: list[tuple[float, int]], low: int, more: int
) -> None:
    pool = sizing(low, low + more, 5.0, low)
    for now, (busy, waiting) in enumerate(loads):
        before = pool.size
        size = pool.observe(float(now), Load(busy, waiting))
        assert low <= size <= min(low + more, 2 * before)


@dataclass
class Outcome:
    """Of a simulation. Waits are in seconds, work is in seconds of workers."""

    sizes: list[int]
    waited: list[float]
    idle: float

    @property
    def changes(self) -> int:
        return sum(a != b for a, b in zip(self.sizes, self.sizes[1:], strict=False))


BOOT_S = 1
"""From the wish for a worker until it serves."""
SHAPES: dict[str, Callable[[int], float]] = {
    # Seconds of work that arrive in each second, for half an hour.
    "nothing": lambda _now: 0.0,
    "a step": lambda now: 6.0 if now > 300 else 0.5,
    "a day": lambda now: 4.0 - 4.0 * math.cos(now / 1800 * 2 * math.pi),
    "bursts": lambda now: 9.0 if now % 120 < 5 else 0.5,
    "a saw": lambda now: (now % 30) / 4,
}


def simulate(work: Sequence[float], pool: Sizing) -> Outcome:
    """A queue, first come first served; each worker does a second of work in a second."""
    queue, serving = 0.0, pool.size
    coming = [serving] * BOOT_S
    outcome = Outcome([], [], 0.0)
    for now, arrived in enumerate(work):
        queue += arrived
        done = min(queue, float(serving))
        queue -= done
        outcome.waited.append(queue / serving)
        outcome.idle += serving - done
        wanted = pool.observe(float(now), Load(done, math.ceil(queue)))
        outcome.sizes.append(wanted)
        coming.append(wanted)
        # Who leaves is gone at once, who comes has to boot.
        serving = min(wanted, coming.pop(0)) if wanted < serving else coming.pop(0)
    return outcome


@pytest.mark.parametrize(
    ("name", "longest_wait_s", "changes", "most_mean"),
    [
        ("nothing", 0.0, 0, 2.0),
        ("a step", 4.0, 4, 7.5),
        ("a day", 0.0, 20, 6.5),
        ("bursts", 7.0, 60, 9.5),
        ("a saw", 0.0, 8, 10.0),
    ],
)
def test_by_simulation(name: str, longest_wait_s: float, changes: int, most_mean: float) -> None:
    outcome = simulate([SHAPES[name](now) for now in range(1800)], sizing())
    assert max(outcome.waited) <= longest_wait_s
    assert outcome.changes <= changes
    assert sum(outcome.sizes) / len(outcome.sizes) <= most_mean
    assert set(outcome.sizes) <= set(range(2, 17))
