"""What is to be done about the children: tables."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from forkd.child import Kind, Pool
from forkd.config.policy import SpawnPolicy
from forkd.master.lifecycle import (
    KILL_GRACE_S,
    Action,
    Child,
    Drain,
    Kill,
    Pressure,
    Start,
    State,
    Wanted,
    after,
    backoff_s,
    next_deadline,
    plan,
    ready,
    retire,
)

WORKERS = Pool(Kind.WORKER)
SPAWNERS = Pool(Kind.SPAWNER, SpawnPolicy())
NOW = 100.0


def child(
    pid: int = 1,
    state: State = State.READY,
    *,
    pool: Pool = WORKERS,
    generation: int = 1,
    since: float = 0.0,
    deadline: float | None = None,
    pressure: Pressure = Pressure.NONE,
) -> Child:
    return Child(pool, generation, pid, pid, state, since, deadline, pressure)


def wanted(workers: int = 1, **more: object) -> Wanted:
    return replace(Wanted({(1, WORKERS): workers}, {}), **more)  # type: ignore[arg-type]


START = Start(1, WORKERS)


@pytest.mark.parametrize(
    ("children", "want", "actions"),
    [
        ([], 0, []),
        ([], 2, [START, START]),
        ([child(1)], 1, []),
        ([child(1, State.STARTING, deadline=NOW + 1)], 1, []),
        ([child(1)], 3, [START, START]),
        ([child(1, State.DRAINING, deadline=NOW + 1)], 1, [START]),
        ([child(1), child(2, since=5.0)], 1, [Drain(child(2, since=5.0))]),
        ([child(2, since=5.0), child(1)], 1, [Drain(child(2, since=5.0))]),
        ([child(1, State.DRAINING, deadline=NOW + 1)], 0, []),
        ([child(1, generation=0)], 1, [START, Drain(child(1, generation=0))]),
        ([child(1, pool=SPAWNERS)], 1, [START, Drain(child(1, pool=SPAWNERS))]),
    ],
)
def test_as_many_as_are_wanted_and_the_others_drain(
    children: list[Child], want: int, actions: list[Action]
) -> None:
    assert plan(children, wanted(want), {}, NOW) == actions


@pytest.mark.parametrize(
    ("one", "hung", "signum", "reason"),
    [
        (child(deadline=None), None, None, ""),
        (child(deadline=None), 20.0, signal.SIGABRT, "stood still for 20 s"),
        (
            child(deadline=NOW + 1, pressure=Pressure.ASKED),
            20.0,
            None,
            "",
        ),
        (child(state=State.STARTING, deadline=NOW + 1), None, None, ""),
        (child(state=State.STARTING, deadline=NOW), None, signal.SIGABRT, "boot_timeout"),
        (
            child(state=State.STARTING, deadline=NOW, pressure=Pressure.ASKED),
            None,
            signal.SIGKILL,
            "still there",
        ),
        (child(state=State.DRAINING, deadline=NOW + 1), None, None, ""),
        (child(state=State.DRAINING, deadline=NOW), None, signal.SIGQUIT, "shutdown_timeout"),
        (child(state=State.DRAINING, deadline=NOW), 20.0, signal.SIGQUIT, "shutdown_timeout"),
        (
            child(state=State.DRAINING, deadline=NOW, pressure=Pressure.ASKED),
            None,
            signal.SIGKILL,
            "still there",
        ),
        (
            child(state=State.READY, deadline=NOW, pressure=Pressure.KILLED),
            None,
            signal.SIGKILL,
            "still there",
        ),
    ],
)
def test_whose_time_is_over_is_pressed_harder_and_harder(
    one: Child, hung: float | None, signum: signal.Signals | None, reason: str
) -> None:
    silent = {} if hung is None else {one.slot: hung}
    want = wanted(0 if one.state is State.DRAINING else 1)
    actions = plan([one], want, silent, NOW)
    if signum is None:
        assert actions == []
    else:
        (kill,) = actions
        assert isinstance(kill, Kill)
        assert (kill.child, kill.signum) == (one, signum)
        assert reason in kill.reason


def test_nothing_is_started_while_the_pool_is_held_back() -> None:
    held = wanted(2, not_before={(1, WORKERS): NOW + 1})
    assert plan([], held, {}, NOW) == []
    assert plan([], held, {}, NOW + 1) == [START, START]


def test_a_pool_that_is_held_back_holds_no_other_back() -> None:
    want = Wanted({(1, WORKERS): 1, (2, WORKERS): 1}, {(1, WORKERS): NOW + 1})
    assert plan([], want, {}, NOW) == [Start(2, WORKERS)]


def test_a_generation_that_is_not_named_drains() -> None:
    old, new = child(1), child(2, generation=2)
    want = Wanted({(2, WORKERS): 1}, {})
    assert plan([old, new], want, {}, NOW) == [Drain(old)]


def test_after_a_drain_the_child_has_its_patience_and_a_margin() -> None:
    drained = after(child(), Drain(child()), wanted(drain_timeout_s=30.0), NOW)
    assert drained.state is State.DRAINING
    assert drained.deadline is not None
    assert NOW + 30 < drained.deadline < NOW + 40


@pytest.mark.parametrize(
    ("signum", "pressure"),
    [
        (signal.SIGABRT, Pressure.ASKED),
        (signal.SIGQUIT, Pressure.ASKED),
        (signal.SIGKILL, Pressure.KILLED),
    ],
)
def test_after_a_signal_the_child_has_a_moment(signum: signal.Signals, pressure: Pressure) -> None:
    pressed = after(child(), Kill(child(), signum, ""), wanted(), NOW)
    assert (pressed.pressure, pressed.deadline) == (pressure, NOW + KILL_GRACE_S)


def test_who_is_ready_has_no_deadline_and_who_drains_stays_so() -> None:
    starting = child(state=State.STARTING, deadline=NOW + 1)
    assert ready(starting, NOW) == child(since=NOW)
    draining = child(state=State.DRAINING, deadline=NOW + 1)
    assert ready(draining, NOW) is draining


def test_the_wait_after_failures_doubles_up_to_half_a_minute() -> None:
    assert [backoff_s(n) for n in (0, 1, 2, 3, 4, 5, 6, 7)] == [0, 1, 2, 4, 8, 16, 30, 30]
    assert backoff_s(10_000) == 30
    assert backoff_s(-1) == 0


def test_the_next_deadline_is_the_earliest_thing_that_time_alone_changes() -> None:
    children = [child(1, deadline=NOW + 9), child(2), child(3, deadline=NOW + 5)]
    assert next_deadline(children, wanted(), NOW) == NOW + 5
    held = wanted(not_before={(1, WORKERS): NOW + 2, (2, WORKERS): NOW - 1})
    assert next_deadline(children, held, NOW) == NOW + 2
    assert next_deadline([child(2)], wanted(), NOW) is None


def test_a_child_is_named_in_logs_by_kind_slot_generation_and_pid() -> None:
    assert str(child(7)) == "worker 7 gen 1 pid 7"


TEMPLATES = Pool(Kind.TEMPLATE)
BY_TEMPLATE = {(1, WORKERS): (1, TEMPLATES)}


@pytest.mark.parametrize(
    ("template", "forks"),
    [
        (child(9, pool=TEMPLATES), True),
        (child(9, State.STARTING, pool=TEMPLATES, deadline=NOW + 1), False),
        (child(9, State.DRAINING, pool=TEMPLATES, deadline=NOW + 1), False),
        (child(9, pool=TEMPLATES, pressure=Pressure.ASKED, deadline=NOW + 1), False),
        (child(9, pool=TEMPLATES, generation=2), False),
    ],
)
def test_a_worker_is_forked_by_a_template_that_is_ready(template: Child, forks: bool) -> None:
    counts = {(1, WORKERS): 2, (template.generation, TEMPLATES): 1}
    want = wanted(counts=counts, forked_by=BY_TEMPLATE)
    starts = [
        action
        for action in plan([template, child(1)], want, {}, NOW)
        if isinstance(action, Start) and action.pool == WORKERS
    ]
    assert starts == ([Start(1, WORKERS, template)] if forks else [])


RETIRING = State.RETIRING


@pytest.mark.parametrize(
    ("children", "want", "actions"),
    [
        # A successor first, one at a time.
        ([child(1, RETIRING), child(2)], 2, [START]),
        ([child(1, RETIRING), child(2, RETIRING)], 2, [START]),
        ([child(1, RETIRING), child(2), child(3, State.STARTING, deadline=NOW + 1)], 2, []),
        # When it serves, the one that retires may go.
        ([child(1, RETIRING), child(2), child(3)], 2, [Drain(child(1, RETIRING))]),
        (
            [child(1, RETIRING), child(2, RETIRING), child(3)],
            2,
            [Drain(child(1, RETIRING))],
        ),
        # One that is not needed any more has no successor.
        ([child(1, RETIRING), child(2)], 1, [Drain(child(1, RETIRING))]),
        ([child(1, RETIRING), child(2, RETIRING)], 1, [Drain(child(1, RETIRING))]),
        ([child(1, RETIRING), child(2)], 0, [Drain(child(1, RETIRING)), Drain(child(2))]),
        # Of those that stay, one that still starts is missed least.
        (
            [child(1, State.STARTING, deadline=NOW + 1), child(2, since=5.0)],
            1,
            [Drain(child(1, State.STARTING, deadline=NOW + 1))],
        ),
    ],
)
def test_one_that_retires_is_replaced_before_it_goes(
    children: list[Child], want: int, actions: list[Action]
) -> None:
    assert plan(children, wanted(want), {}, NOW) == actions


def test_only_who_serves_can_retire() -> None:
    assert retire(child(), NOW) == child(1, RETIRING, since=NOW)
    for state in (State.STARTING, State.DRAINING, RETIRING):
        assert retire(child(1, state), NOW) == child(1, state)


def test_one_that_retires_and_hangs_is_killed() -> None:
    (kill, *_) = plan([child(1, RETIRING)], wanted(1), {1: 20.0}, NOW)
    assert isinstance(kill, Kill)
    assert kill.signum is signal.SIGABRT
