"""What is looked at once a second, in which order, and when the size of the pool is left alone."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from forkd.master.lifecycle import State
from forkd.scoreboard import Service
from tests.unit.master.assembled import Assembled, assembled

PAUSE_S = 1.2
"""A second, and the tick of the wheel by which a timer may be late."""


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Assembled]:
    """One worker serves, in slot 0; there may be up to four."""
    with assembled(tmp_path, "workers: {min: 1, max: 4}\n") as made:
        made.serve()
        yield made


def size(master: Assembled) -> int:
    assert master.succession.live is not None
    return master.succession.live.workers


def look(master: Assembled) -> None:
    master.rounds.begin()
    master.loop.settle()


def test_the_first_look_is_the_first_step_and_asks_for_patience_with_what_it_began(
    tmp_path: Path,
) -> None:
    with assembled(tmp_path) as master:
        master.rounds.begin()
        # No event has come in between: the loop has not turned.
        patience = "systemd: EXTEND_TIMEOUT_USEC=10000000"
        assert master.noted() == ["worker 0 gen 1: forked", patience]


def test_the_load_is_seen_first_and_the_worker_that_it_needs_is_there_in_the_same_look(
    master: Assembled,
) -> None:
    master.listeners.waiting = 5
    master.rounds.begin()
    assert master.noted() == ["worker 1 gen 1: forked"]


def test_the_manager_is_told_every_second_what_has_changed(master: Assembled) -> None:
    look(master)
    master.noted()
    master.loop.pass_time(PAUSE_S)
    assert master.noted() == [], "what it knows is not told again"
    for requests in (3, 5):
        slot = master.supervisor.scoreboard.slots[0]
        slot.write(master.loop.now, requests, 0, 0, 0, 0, 0, 0.0)
        master.loop.pass_time(PAUSE_S)
        assert master.noted() == ["systemd: STATUS=" + summary(1, requests)]


def summary(workers: int, requests: int = 0) -> str:
    return f"{workers} workers, 0 connections, {requests} requests answered"


def test_a_worker_whose_loop_stands_still_is_found_though_nothing_happens(
    master: Assembled,
) -> None:
    look(master)
    master.noted()
    patience = master.settings.workers.hang_timeout
    master.loop.pass_time(patience - 0.5)
    assert master.noted() == []
    master.loop.pass_time(PAUSE_S + 0.5)
    assert master.noted("worker 0") == ["worker 0 gen 1: SIGABRT"]


def test_a_stop_is_looked_after_so_that_the_manager_has_patience(master: Assembled) -> None:
    look(master)
    master.stop()
    master.noted()
    master.loop.pass_time(PAUSE_S)
    assert master.noted()[0].startswith("systemd: EXTEND_TIMEOUT_USEC=")


def test_a_fault_in_one_look_is_not_the_last_look(
    master: Assembled, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    look(master)
    with monkeypatch.context() as patched:
        patched.setattr(master.figures, "summary", fail)
        with pytest.raises(ZeroDivisionError):
            master.loop.pass_time(PAUSE_S)
    master.noted()
    master.supervisor.scoreboard.slots[0].write(master.loop.now, 9, 0, 0, 0, 0, 0, 0.0)
    master.loop.pass_time(PAUSE_S)
    assert master.noted() == ["systemd: STATUS=" + summary(1, 9)]


def out_of_service(master: Assembled) -> None:
    master.outage.begin(0.0, [])
    master.loop.pass_time(0.3)
    assert master.outage.service is Service.OUT


def back_in_service(master: Assembled) -> None:
    out_of_service(master)
    master.outage.end()


def leaving(master: Assembled) -> None:
    master.outage.begin(60.0, [])


def dismissed(master: Assembled) -> None:
    master.succession.dismissed = True


def stopping(master: Assembled) -> None:
    master.stop()


def as_it_is(_master: Assembled) -> None:
    pass


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        (as_it_is, 2),
        # It still accepts, until the grace is over.
        (leaving, 2),
        (back_in_service, 2),
        # What waits then is to wait.
        (out_of_service, 1),
        (dismissed, 1),
        (stopping, 1),
    ],
)
def test_a_queue_is_a_reason_for_more_workers_only_where_they_would_accept(
    master: Assembled, happened: Callable[[Assembled], None], expected: int
) -> None:
    happened(master)
    master.listeners.waiting = 5
    look(master)
    assert size(master) == expected


def test_the_load_is_that_of_the_generation_that_serves(master: Assembled) -> None:
    master.reload()
    master.read()
    assert master.of_state(State.STARTING) == [1]
    sizes = []
    # The canary's threads are busy, and then those of the worker that serves.
    for slot in (1, 0):
        master.supervisor.scoreboard.slots[slot].write(master.loop.now, 0, 0, 0, 0, 0, 16, 0.0)
        look(master)
        sizes.append(size(master))
    assert sizes == [1, 2]


def test_before_anything_serves_nothing_is_resized(tmp_path: Path) -> None:
    with assembled(tmp_path, "workers: {min: 1, max: 4}\n") as master:
        master.listeners.waiting = 5
        look(master)
        assert master.noted("worker") == ["worker 0 gen 1: forked"]
        master.supervisor.end(0, status=signal.SIGKILL)
        look(master)
        assert master.noted("worker") == []
