"""Our ends of pipes: the source that pauses, the sink that queues."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from forkd.loop.pipes import Sink, Source
from tests.unit.stepped import SteppedLoop

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe of which a test hands one end over and closes the other itself."""
    ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            pass  # handed over, and closed by whoever took it


class Reading:
    """A source with all that it gave."""

    def __init__(self, loop: SteppedLoop, fd: int) -> None:
        self.got = b""
        self.ends = 0
        self.source = Source(loop, fd, self._data, self._end)
        self.pause_after_each = False

    def _data(self, data: bytes) -> None:
        self.got += data
        if self.pause_after_each:
            self.source.pause()

    def _end(self) -> None:
        self.ends += 1


def test_a_source_gives_what_comes_and_tells_the_end_once(loop: SteppedLoop, pipe: Pipe) -> None:
    reading = Reading(loop, pipe[0])
    os.write(pipe[1], b"one ")
    loop.settle()
    os.write(pipe[1], b"two")
    os.close(pipe[1])
    loop.settle()
    assert (reading.got, reading.ends) == (b"one two", 1)
    assert reading.source.closed
    assert loop.watched == set()


def test_a_paused_source_reads_nothing_and_does_not_spin_at_the_end(
    loop: SteppedLoop, pipe: Pipe
) -> None:
    reading = Reading(loop, pipe[0])
    reading.source.pause()
    reading.source.pause()
    os.write(pipe[1], b"late")
    os.close(pipe[1])
    loop.settle()
    assert (reading.got, reading.ends) == (b"", 0)
    reading.source.resume()
    reading.source.resume()
    loop.settle()
    assert (reading.got, reading.ends) == (b"late", 1)


def test_the_rest_is_read_up_to_a_pause(loop: SteppedLoop, pipe: Pipe) -> None:
    reading = Reading(loop, pipe[0])
    reading.pause_after_each = True
    os.write(pipe[1], b"here already")
    reading.source.read_rest()
    assert reading.got == b"here already"
    os.write(pipe[1], b", more")
    reading.source.read_rest()
    assert reading.got == b"here already"
    reading.pause_after_each = False
    reading.source.resume()
    reading.source.read_rest()
    assert (reading.got, reading.ends) == (b"here already, more", 0)
    os.close(pipe[1])
    reading.source.read_rest()
    assert reading.ends == 1
    reading.source.read_rest()
    assert reading.ends == 1


def test_what_is_not_watched_is_read_only_when_that_is_asked_for(
    loop: SteppedLoop, pipe: Pipe
) -> None:
    got: list[bytes] = []
    source = Source(loop, pipe[0], got.append, lambda: got.append(b"end"), watched=False)
    os.write(pipe[1], b"a")
    loop.settle()
    assert got == []
    assert loop.watched == set()
    source.read_rest()
    assert got == [b"a"]
    source.watch()
    source.watch()
    os.write(pipe[1], b"b")
    os.close(pipe[1])
    loop.settle()
    assert got == [b"a", b"b", b"end"]


def test_reading_the_rest_ends_also_where_somebody_goes_on_writing(
    loop: SteppedLoop, pipe: Pipe
) -> None:
    got: list[int] = []

    def refill(data: bytes) -> None:
        got.append(len(data))
        os.write(pipe[1], b"x" * 4096)

    source = Source(loop, pipe[0], refill, lambda: None)
    os.write(pipe[1], b"x" * 4096)
    source.read_rest()
    assert 16 <= len(got) < 1000
    source.close()


@pytest.mark.parametrize("paused", [False, True])
def test_a_closed_source_tells_nothing_any_more(
    loop: SteppedLoop, pipe: Pipe, paused: bool
) -> None:
    reading = Reading(loop, pipe[0])
    os.write(pipe[1], b"unread")
    if paused:
        reading.source.pause()
    reading.source.close()
    reading.source.close()
    reading.source.resume()
    loop.settle()
    assert (reading.got, reading.ends, loop.watched) == (b"", 0, set())


class Writing:
    """A sink with the number of times it went on."""

    def __init__(self, loop: SteppedLoop, fd: int) -> None:
        self.went_on = 0
        self.sink = Sink(loop, fd, self._progressed)

    def _progressed(self) -> None:
        self.went_on += 1


def drain(loop: SteppedLoop, fd: int) -> bytes:
    data = b""
    while True:
        loop.settle()
        try:
            piece = os.read(fd, 10_000)
        except BlockingIOError:
            return data
        if not piece:
            return data
        data += piece


def test_a_sink_writes_all_in_order_and_then_closes(loop: SteppedLoop, pipe: Pipe) -> None:
    writing = Writing(loop, pipe[1])
    data = os.urandom(300_000)
    writing.sink.write(data[:200_000])
    writing.sink.write(data[200_000:])
    writing.sink.end()
    assert writing.sink.fd >= 0, "what waits is written before it closes"
    assert writing.sink.queued > 0
    assert drain(loop, pipe[0]) == data
    assert os.read(pipe[0], 1) == b""
    assert (writing.sink.fd, writing.sink.queued, loop.watched) == (-1, 0, set())
    assert writing.went_on > 1


def test_a_sink_that_waits_for_nobody_is_not_watched(loop: SteppedLoop, pipe: Pipe) -> None:
    writing = Writing(loop, pipe[1])
    writing.sink.write(b"x")
    assert loop.watched == set()
    writing.sink.end()
    assert writing.sink.fd == -1
    assert writing.went_on == 0


def test_a_reader_that_is_gone_already_is_no_error(loop: SteppedLoop, pipe: Pipe) -> None:
    writing = Writing(loop, pipe[1])
    os.close(pipe[0])
    writing.sink.write(b"x" * 10)
    writing.sink.write(b"y" * 10)
    writing.sink.end()
    assert (writing.sink.fd, writing.sink.queued) == (-1, 0)


def test_a_reader_that_goes_while_output_waits_lets_the_writer_go_on(
    loop: SteppedLoop, pipe: Pipe
) -> None:
    writing = Writing(loop, pipe[1])
    writing.sink.write(bytes(500_000))
    os.close(pipe[0])
    loop.settle()
    assert (writing.sink.fd, writing.sink.queued, writing.went_on) == (-1, 0, 1)
    assert loop.watched == set()
