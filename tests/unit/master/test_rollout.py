"""A new generation on its way in."""

from __future__ import annotations

import pytest

from forkd.child import Pool
from forkd.master.lifecycle import Child, State
from forkd.master.rollout import Phase, Rollout
from tests.unit.master.test_lifecycle import SPAWNERS, WORKERS, child

R, S, D = State.READY, State.STARTING, State.DRAINING


def members(pool: Pool, *states: State, generation: int = 2) -> list[Child]:
    return [
        child(number, state, pool=pool, generation=generation)
        for number, state in enumerate(states)
    ]


def rollout(phase: Phase, workers: int = 3, spawners: int = 2) -> Rollout:
    return Rollout(2, {WORKERS: workers, SPAWNERS: spawners}, phase)


@pytest.mark.parametrize(
    ("phase", "workers"), [(Phase.CANARY, 1), (Phase.FILL, 3), (Phase.DONE, 3)]
)
def test_one_worker_goes_first(phase: Phase, workers: int) -> None:
    assert rollout(phase).counts() == {(2, WORKERS): workers, (2, SPAWNERS): 2}


@pytest.mark.parametrize(
    ("phase", "workers", "spawners", "then"),
    [
        (Phase.CANARY, [], [], Phase.CANARY),
        (Phase.CANARY, [S], [R, R], Phase.CANARY),
        (Phase.CANARY, [R], [R, S], Phase.CANARY),
        (Phase.CANARY, [R], [R], Phase.CANARY),
        (Phase.CANARY, [R], [R, R], Phase.FILL),
        (Phase.CANARY, [D], [R, R], Phase.CANARY),
        (Phase.CANARY, [R, R, R], [R, R], Phase.DONE),
        (Phase.FILL, [R, R, S], [R, R], Phase.FILL),
        (Phase.FILL, [R, R, R], [R, R], Phase.DONE),
        (Phase.FILL, [R, R, D], [R, R], Phase.FILL),
        (Phase.DONE, [], [], Phase.DONE),
    ],
)
def test_a_phase_is_over_when_all_that_it_wants_are_ready(
    phase: Phase, workers: list[State], spawners: list[State], then: Phase
) -> None:
    children = members(WORKERS, *workers) + members(SPAWNERS, *spawners)
    advanced = rollout(phase).advance(children)
    assert advanced == rollout(then)


def test_children_of_another_generation_do_not_count() -> None:
    others = members(WORKERS, R, R, R, generation=1) + members(SPAWNERS, R, R, generation=1)
    assert rollout(Phase.CANARY).advance(others).phase is Phase.CANARY


def test_a_canary_that_is_alone_is_the_whole_generation() -> None:
    one = Rollout(2, {WORKERS: 1}, Phase.CANARY)
    assert one.advance(members(WORKERS, R)).phase is Phase.DONE
