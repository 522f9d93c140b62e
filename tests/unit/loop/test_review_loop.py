"""The loop and its parts where callbacks, peers or descriptors do what they should not."""

from __future__ import annotations

import os
import socket

from forkd.loop.loop import Loop
from forkd.loop.pipes import Source
from forkd.loop.stream import Stream
from forkd.loop.timers import Timer, Wheel
from tests.unit.stepped import SteppedLoop

Pair = tuple[socket.socket, socket.socket]


def test_an_event_does_not_reach_whoever_got_the_descriptor_s_number_since() -> None:
    loop = Loop()
    first = os.pipe2(os.O_CLOEXEC)
    second = os.pipe2(os.O_CLOEXEC)
    reached: list[str] = []

    def give_numbers_anew(fd: int, other: int) -> None:
        reached.append("first of the turn")
        for number in (fd, other):
            loop.forget(number)
        # What was at the other number is gone; something else is watched there in the same turn.
        os.dup2(quiet[0], other)
        loop.watch(other, lambda _mask: reached.append("stale"))
        loop.call_soon(loop.stop)

    quiet = os.pipe2(os.O_CLOEXEC)
    loop.watch(first[0], lambda _mask: give_numbers_anew(first[0], second[0]))
    loop.watch(second[0], lambda _mask: give_numbers_anew(second[0], first[0]))
    os.write(first[1], b"x")
    os.write(second[1], b"x")
    loop.run()
    loop.close()
    for end in (*first, *second, *quiet):
        os.close(end)
    assert reached == ["first of the turn"]


def test_a_fault_in_one_deadline_leaves_the_others_of_its_bucket() -> None:
    fired: list[int] = []

    def make(number: int) -> Timer:
        def call(_now: float) -> None:
            fired.append(number)
            raise RuntimeError(str(number))

        return Timer(call)

    wheel = Wheel()
    for number in range(5):
        wheel.set(make(number), 10.0)
    for _ in range(5):
        try:
            wheel.fire(11.0)
        except RuntimeError:
            assert len(fired) == 5 or wheel.next_due <= 11.0
    assert sorted(fired) == [0, 1, 2, 3, 4]
    wheel.fire(11.0)
    assert wheel.next_due == float("inf")


def test_a_deadline_may_take_others_of_its_bucket_out_and_set_them_anew() -> None:
    wheel = Wheel()
    fired: list[str] = []
    others = [Timer(lambda _now: fired.append("other")) for _ in range(3)]

    def move(_now: float) -> None:
        fired.append("mover")
        for other in others:
            wheel.remove(other)
            wheel.set(other, 20.0)

    # Set order does not say which comes first: whoever does, each fires once.
    wheel.set(Timer(move), 10.0)
    wheel.fire(10.2)
    for other in others:
        wheel.set(other, 20.0)
    wheel.fire(20.2)
    assert sorted(fired) == ["mover", "other", "other", "other"]


def test_the_rest_of_a_pipe_that_is_filled_as_fast_as_it_is_read_has_an_end(
    loop: SteppedLoop,
) -> None:
    read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    reads = 0

    def refill(_data: bytes) -> None:
        nonlocal reads
        reads += 1
        assert reads < 5000, "it reads for ever"
        os.write(write_end, b"y\n")

    source = Source(loop, read_end, refill, lambda: None, 4096)
    os.write(write_end, b"y\n")
    source.read_rest()
    assert reads > 1
    source.close()
    os.close(write_end)


class Waiting(Stream):
    """Counts what a stream says about output that waits."""

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        super().__init__(loop, sock)
        self.told: list[str] = []
        self.untaken = -1

    def received(self, data: bytes) -> None:
        raise AssertionError(data)

    def input_ended(self) -> None:
        pass

    def stalled(self) -> None:
        self.told.append("stalled")

    def drained(self) -> None:
        self.told.append("drained")

    def lost(self, error: OSError) -> None:
        self.told.append(type(error).__name__)
        self.untaken = self.queued
        self.close()


def test_output_that_begins_to_wait_is_told_once(loop: SteppedLoop, pair: Pair) -> None:
    stream = Waiting(loop, pair[0])
    stream.send(b"x")
    assert stream.told == []
    for _ in range(5):
        stream.send(bytes(1 << 20))
    assert stream.told == ["stalled"]
    left = 5 * (1 << 20) + 1
    while left:
        try:
            left -= len(pair[1].recv(1 << 20))
        except BlockingIOError:
            loop.turn()
    loop.settle()
    assert stream.told == ["stalled", "drained"]
    stream.close()


def test_what_a_failed_send_leaves_is_known(loop: SteppedLoop, pair: Pair) -> None:
    stream = Waiting(loop, pair[0])
    pair[1].close()
    stream.send(b"12345")
    assert (stream.told, stream.untaken) == (["BrokenPipeError"], 5)
    stream.send(b"more")
    assert (stream.told, stream.queued) == (["BrokenPipeError"], 0)
