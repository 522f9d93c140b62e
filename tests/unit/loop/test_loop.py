"""The loop itself, as it really runs. Every wait in here has something that ends it."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator
from functools import partial

import pytest

from forkd.loop.loop import WRITABLE, Loop
from forkd.loop.timers import Timer

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def real() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def test_who_is_ready_is_called_with_the_events(real: Loop, pair: Pair) -> None:
    masks: list[int] = []

    def ready(mask: int) -> None:
        masks.append(mask)
        real.stop()

    real.watch(pair[0].fileno(), ready)
    pair[1].send(b"x")
    real.run()
    assert masks == [select.EPOLLIN]


def test_change_and_forget_are_heeded(real: Loop, pair: Pair) -> None:
    calls: list[str] = []

    def ready(mask: int) -> None:
        calls.append("out" if mask & select.EPOLLOUT else "in")
        real.forget(pair[0].fileno())
        real.call_soon(real.stop)

    real.watch(pair[0].fileno(), ready)
    real.change(pair[0].fileno(), WRITABLE)
    pair[1].send(b"x")
    real.run()
    assert calls == ["out"]


def test_a_fault_in_a_callback_is_logged_and_the_loop_goes_on(
    real: Loop, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    def ready(_mask: int) -> None:
        calls.append("called")
        if len(calls) == 2:
            real.stop()
            return
        raise RuntimeError("one connection's fault")

    real.watch(pair[0].fileno(), ready)
    pair[1].send(b"x")
    real.run()
    assert calls == ["called", "called"]
    assert "one connection's fault" in caplog.text


@pytest.mark.parametrize("where", ["at_rest", "call_soon", "timer"])
def test_a_fault_anywhere_else_is_logged_too(
    real: Loop, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fault() -> None:
        real.call_soon(real.stop)
        raise RuntimeError(f"fault in {where}")

    match where:
        case "at_rest":
            real.at_rest(fault)
        case "call_soon":
            real.call_soon(fault)
        case _:
            real.timers.set(Timer(lambda _now: fault()), real.now)
    real.run()
    assert f"fault in {where}" in caplog.text


def test_one_that_was_closed_in_this_turn_is_not_called(real: Loop, pair: Pair) -> None:
    """Both are ready at once; whichever comes first closes the other."""
    calls: list[str] = []

    def ready(_mask: int) -> None:
        calls.append("called")
        for end in pair:
            real.forget(end.fileno())
        real.stop()

    for end in pair:
        real.watch(end.fileno(), ready, WRITABLE)
    real.run()
    assert len(calls) == 1


def test_an_event_is_not_told_to_the_next_owner_of_its_number(real: Loop) -> None:
    """Both pipes are ready at once. Whoever is first closes the other, and opens a pipe that gets
    the same numbers and in which there is nothing to read."""
    pipes = [os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK) for _ in range(2)]
    calls: list[str] = []

    def ready(own: int) -> None:
        calls.append("old")
        (other,) = (pipe for pipe in pipes if pipe[0] != own)
        real.forget(other[0])
        for end in other:
            os.close(end)
        pipes.remove(other)
        pipes.append(os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK))
        assert pipes[-1] == other
        real.watch(other[0], lambda _mask: calls.append("new"))
        real.stop()

    for read_end, write_end in pipes:
        os.write(write_end, b"x")
        real.watch(read_end, partial(lambda own, _mask: ready(own), read_end))
    real.run()
    assert calls == ["old"]
    for end in (end for pipe in pipes for end in pipe):
        os.close(end)


def test_work_at_rest_comes_once_for_many_events(real: Loop, pair: Pair) -> None:
    calls: list[str] = []
    real.at_rest(lambda: calls.append("rest"))
    for end in pair:
        real.watch(end.fileno(), lambda _mask: calls.append("event"), WRITABLE)
    real.call_soon(real.stop)
    real.run()
    assert calls == ["rest", "event", "event"]


def test_a_busy_loop_rests_seldom_and_an_idle_one_at_once(real: Loop, pair: Pair) -> None:
    """Counted, not timed: 1,000 turns for one event each, then one that waits."""
    calls: list[str] = []
    real.at_rest(lambda: calls.append("rest"))

    def ready(_mask: int) -> None:
        calls.append("event")
        if calls.count("event") == 1000:
            real.forget(pair[0].fileno())
            real.timers.set(Timer(lambda _now: real.stop()), real.now + 0.2)

    real.watch(pair[0].fileno(), ready, WRITABLE)
    real.run()
    assert calls.count("event") == 1000
    assert calls.count("rest") < 500
    assert calls[-1] == "rest", "what the last event left is not left for later"


def test_what_is_called_soon_may_call_more_soon_and_all_is_done_in_that_turn(real: Loop) -> None:
    calls: list[int] = []

    def step(number: int) -> None:
        calls.append(number)
        if number < 3:
            real.call_soon(lambda: step(number + 1))
        else:
            real.stop()

    real.call_soon(lambda: step(1))
    real.run()
    assert calls == [1, 2, 3]


def test_a_loop_that_waits_for_a_deadline_wakes_for_it(real: Loop) -> None:
    fired: list[float] = []

    def on_deadline(now: float) -> None:
        fired.append(now)
        real.stop()

    deadline = real.now + 0.01
    real.timers.set(Timer(on_deadline), deadline)
    real.run()
    assert fired[0] >= deadline
    assert fired[0] == real.now


def test_a_loop_that_is_stopped_before_it_runs_does_not_wait(real: Loop) -> None:
    real.stop()
    real.run()


def test_a_forgotten_descriptor_can_be_watched_again(real: Loop) -> None:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    try:
        real.watch(read_end, lambda _mask: None)
        real.forget(read_end)
        real.watch(read_end, lambda _mask: real.stop())
        os.write(write_end, b"x")
        real.run()
    finally:
        os.close(read_end)
        os.close(write_end)
