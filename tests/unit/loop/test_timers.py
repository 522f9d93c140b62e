"""The wheel of deadlines."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkd.loop.timers import NEVER, Timer, Wheel

TICK = 0.1


class Fired:
    """A timer that remembers when it fired."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.timer = Timer(self.times.append)


def test_a_deadline_fires_once_and_within_a_tick() -> None:
    wheel, one = Wheel(TICK), Fired()
    wheel.set(one.timer, 5.05)
    wheel.fire(5.0)
    assert one.times == []
    wheel.fire(5.15)
    wheel.fire(9.0)
    assert one.times == [5.15]


def test_next_due_is_never_before_the_first_deadline_nor_a_tick_behind_it() -> None:
    wheel, one = Wheel(TICK), Fired()
    assert wheel.next_due == NEVER
    wheel.set(one.timer, 5.05)
    assert 5.05 <= wheel.next_due <= 5.05 + TICK


@pytest.mark.parametrize(
    ("moves", "at"),
    [
        ([5.0, 9.0], 9.0),
        ([9.0, 5.0], 5.0),
        ([5.0, 9.0, 7.0], 7.0),
        ([9.0, 5.0, 9.0], 9.0),
        ([5.0, NEVER], None),
        ([5.0, NEVER, 6.0], 6.0),
    ],
)
def test_the_last_deadline_set_is_the_one_that_counts(moves: list[float], at: float | None) -> None:
    wheel, one = Wheel(TICK), Fired()
    for deadline in moves:
        wheel.set(one.timer, deadline)
    for step in range(1, 1200):
        wheel.fire(step * 0.01)
    if at is None:
        assert one.times == []
    else:
        (fired,) = one.times
        assert at <= fired <= at + TICK + 0.011


def test_a_deadline_that_was_moved_within_a_tick_does_not_fire_early() -> None:
    wheel, one = Wheel(TICK), Fired()
    wheel.set(one.timer, 5.05)
    wheel.set(one.timer, 5.14)
    wheel.fire(5.13)
    assert one.times == []
    wheel.fire(5.24)
    assert one.times == [5.24]


def test_a_removed_item_is_held_no_longer() -> None:
    wheel, one = Wheel(TICK), Fired()
    wheel.set(one.timer, 5.0)
    wheel.remove(one.timer)
    wheel.fire(9.0)
    assert one.times == []
    assert wheel.next_due == NEVER


def test_an_item_may_remove_another_of_its_own_bucket() -> None:
    wheel = Wheel(TICK)
    fired: list[str] = []
    timers: dict[str, Timer] = {}

    def fire(name: str, other: str) -> None:
        fired.append(name)
        wheel.remove(timers[other])

    timers["a"] = Timer(lambda _now: fire("a", "b"))
    timers["b"] = Timer(lambda _now: fire("b", "a"))
    for timer in timers.values():
        wheel.set(timer, 5.0)
    wheel.fire(6.0)
    assert len(fired) == 1


def test_an_item_may_set_itself_again_while_it_fires() -> None:
    wheel = Wheel(TICK)
    times: list[float] = []

    def again(now: float) -> None:
        times.append(now)
        wheel.set(timer, now + 1.0)

    timer = Timer(again)
    wheel.set(timer, 1.0)
    for step in range(50):
        wheel.fire(step * TICK)
    assert len(times) == 4


def test_a_fault_in_one_item_leaves_the_others_for_the_next_call() -> None:
    wheel = Wheel(TICK)
    fired: list[str] = []

    def fault(_now: float) -> None:
        fired.append("fault")
        raise RuntimeError("broken")

    timers = [Timer(fault), *(Timer(lambda _now: fired.append("fine")) for _ in range(5))]
    for timer in timers:
        wheel.set(timer, 5.0)
    with pytest.raises(RuntimeError):
        wheel.fire(6.0)
    wheel.fire(6.0)
    assert sorted(fired) == ["fault"] + ["fine"] * 5
    assert wheel.next_due == NEVER


AMOUNT = st.one_of(st.floats(0.0, 3.0), st.floats(0.0, 0.2))
Steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 4), AMOUNT),
        st.tuples(st.just("clear"), st.integers(0, 4), st.just(0.0)),
        st.tuples(st.just("remove"), st.integers(0, 4), st.just(0.0)),
        st.tuples(st.just("pass"), st.just(0), st.one_of(st.floats(0.0, 1.0), st.floats(0.0, 0.1))),
    ),
    max_size=60,
)


@given(steps=Steps, meddle=st.lists(AMOUNT, max_size=5))
def test_no_item_fires_early_nor_more_than_a_tick_late(
    steps: list[tuple[str, int, float]], meddle: list[float]
) -> None:
    """Against a naive model: a dict of deadlines. Items that fire may move their neighbour."""
    wheel = Wheel(TICK)
    now = 50.0
    model: dict[int, float] = {}
    moves = list(meddle)
    timers: list[Timer] = []

    def fired(number: int, at: float) -> None:
        deadline = model.pop(number, None)
        assert deadline is not None, f"item {number} has no deadline"
        assert deadline <= at, f"item {number} fires early"
        if moves:
            neighbour = (number + 1) % len(timers)
            model[neighbour] = at + moves.pop()
            wheel.set(timers[neighbour], model[neighbour])

    timers.extend(Timer(partial(fired, number)) for number in range(5))
    for what, number, amount in [*steps, ("pass", 0, 10.0)]:
        match what:
            case "set":
                model[number] = now + amount
                wheel.set(timers[number], model[number])
            case "clear":
                model.pop(number, None)
                wheel.set(timers[number], NEVER)
            case "remove":
                model.pop(number, None)
                wheel.remove(timers[number])
            case _:
                now += amount
                wheel.fire(now)
                late = {n: d for n, d in model.items() if d <= now - TICK - 1e-9}
                assert not late, f"not fired: {late}"
                assert wheel.next_due <= min(model.values(), default=NEVER) + TICK + 1e-9
