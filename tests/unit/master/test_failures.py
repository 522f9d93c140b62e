"""Pools that die at their start are left alone for a while, each by itself."""

from __future__ import annotations

from forkd.master.failures import Failures
from tests.unit.master.test_lifecycle import SPAWNERS, WORKERS

ONE, OTHER, LATER = (1, WORKERS), (1, SPAWNERS), (2, WORKERS)


def test_each_failure_in_a_row_makes_the_wait_longer() -> None:
    failures = Failures()
    assert [failures.note(ONE, 100.0 + n) for n in range(3)] == [1.0, 2.0, 4.0]
    assert failures.not_before == {ONE: 106.0}


def test_a_child_that_comes_up_ends_the_row() -> None:
    failures = Failures()
    failures.note(ONE, 100.0)
    failures.note(ONE, 101.0)
    failures.clear(ONE)
    assert failures.not_before == {}
    assert failures.note(ONE, 102.0) == 1.0


def test_pools_and_generations_do_not_count_for_each_other() -> None:
    failures = Failures()
    for key in (ONE, OTHER, LATER, ONE):
        failures.note(key, 100.0)
    assert failures.not_before == {ONE: 102.0, OTHER: 101.0, LATER: 101.0}
    failures.forget_generation(1)
    assert failures.not_before == {LATER: 101.0}
