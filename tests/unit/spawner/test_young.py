"""Who lasts is told of, and who does not is forgotten."""

from __future__ import annotations

import pytest

from forkd.spawner.young import AGE_S, Young
from tests.unit.stepped import SteppedLoop

LATEST_S = 0.3


def test_each_is_told_of_once_neither_too_early_nor_too_late(loop: SteppedLoop) -> None:
    told: dict[float, float] = {}

    def tell(since: float) -> None:
        assert since not in told
        told[since] = loop.now

    young = Young(loop, tell)
    added = []
    for step in range(200):
        if step < 100:
            young.add(loop.now)
            added.append(loop.now)
        loop.pass_time(0.011)
    assert list(told) == added
    ages = [then - at for at, then in told.items()]
    assert min(ages) >= AGE_S
    assert max(ages) <= LATEST_S


def test_what_is_taken_out_is_not_told_of_and_not_held(loop: SteppedLoop) -> None:
    told: list[str] = []
    young: Young[str] = Young(loop, told.append)
    young.add("early")
    young.discard("early")
    young.add("older")
    young.add("newer")
    young.discard("older")
    young.discard("older")
    loop.pass_time(1)
    assert told == ["newer"]
    young.discard("newer")


def test_a_fault_about_one_is_nobody_elses(
    loop: SteppedLoop, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[int] = []

    def tell(number: int) -> None:
        told.append(1 // number)

    young: Young[int] = Young(loop, tell)
    for number in (0, 1):
        young.add(number)
    loop.pass_time(1)
    assert told == [1]
    assert "fault about a program" in caplog.text


def test_nothing_is_waited_for_where_there_is_nobody(loop: SteppedLoop) -> None:
    young: Young[str] = Young(loop, lambda _one: None)
    young.add("x")
    loop.pass_time(1)
    assert loop.timers.next_due == float("inf")
