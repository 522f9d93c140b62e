"""Streams over a socket pair."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from forkd.loop.stream import FILE_BURST, FileRange, SharedFile, Stream
from tests.unit.stepped import SteppedLoop

Pair = tuple[socket.socket, socket.socket]


class Recorder(Stream):
    """Writes down what it is told."""

    def __init__(self, loop: SteppedLoop, sock: socket.socket) -> None:
        super().__init__(loop, sock)
        self.got = b""
        self.told: list[str] = []
        self.stalls = 0

    def received(self, data: bytes) -> None:
        self.got += data

    def input_ended(self) -> None:
        self.told.append("input ended")

    def stalled(self) -> None:
        self.stalls += 1

    def drained(self) -> None:
        self.told.append("drained")

    def progressed(self) -> None:
        self.told.append("progressed")

    def lost(self, error: OSError) -> None:
        self.told.append(f"lost {type(error).__name__}")
        self.close()

    def on_deadline(self, now: float) -> None:
        self.told.append(f"deadline {now}")


def read_all(loop: SteppedLoop, sock: socket.socket, size: int) -> bytes:
    """Read as a slow client does: a piece, then a turn of the loop."""
    data = b""
    while len(data) < size:
        try:
            piece = sock.recv(50_000)
        except BlockingIOError:
            assert loop.turn(), f"{len(data)} bytes came, and nothing more happens"
            continue
        if not piece:
            break
        data += piece
    return data


def file_range(path: Path, content: bytes, offset: int, count: int) -> FileRange:
    path.write_bytes(content)
    return FileRange(SharedFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC)), offset, count)


def test_what_the_kernel_takes_at_once_is_not_queued(loop: SteppedLoop, pair: Pair) -> None:
    stream = Recorder(loop, pair[0])
    stream.send(b"hello")
    assert (stream.queued, stream.sent, stream.stalls) == (0, 5, 0)
    assert pair[1].recv(10) == b"hello"
    loop.settle()
    assert stream.told == [], "nothing had to wait, so nothing is drained"


def test_a_peer_that_does_not_read_makes_the_output_wait(loop: SteppedLoop, pair: Pair) -> None:
    stream = Recorder(loop, pair[0])
    data = os.urandom(2_000_000)
    stream.send(data)
    assert stream.queued + stream.sent == len(data)
    assert stream.queued > 0
    stream.send(b"")
    assert stream.stalls == 1
    loop.settle()
    assert stream.told == []
    assert read_all(loop, pair[1], len(data)) == data
    loop.settle()
    assert stream.queued == 0
    assert stream.told[-1] == "drained"
    assert set(stream.told[:-1]) == {"progressed"}
    assert stream.told.count("drained") == 1


def test_bytes_and_ranges_of_files_go_out_in_order(
    loop: SteppedLoop, pair: Pair, tmp_path: Path
) -> None:
    stream = Recorder(loop, pair[0])
    content = os.urandom(3 * FILE_BURST)
    first = file_range(tmp_path / "a", content, 7, 2 * FILE_BURST)
    second = file_range(tmp_path / "b", b"0123456789", 2, 5)
    stream.send(b"head", more=True)
    stream.send_file(first)
    stream.send(b"between")
    stream.send_file(second)
    stream.send(b"end")
    expected = b"head" + content[7 : 7 + 2 * FILE_BURST] + b"between" + b"23456" + b"end"
    assert stream.queued + stream.sent == len(expected)
    assert read_all(loop, pair[1], len(expected)) == expected
    assert (stream.queued, stream.sent) == (0, len(expected))
    assert first.fd == second.fd == -1, "a range that was sent is closed"


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_closing_gives_up_what_is_queued_and_closes_its_files(
    loop: SteppedLoop, pair: Pair, tmp_path: Path
) -> None:
    stream = Recorder(loop, pair[0])
    stream.send(bytes(2_000_000))
    queued = file_range(tmp_path / "a", b"x" * 10, 0, 10)
    stream.send_file(queued)
    loop.timers.set(stream, loop.now + 5)
    stream.close()
    late = file_range(tmp_path / "b", b"x", 0, 1)
    stream.send_file(late)
    stream.close()
    assert (queued.fd, late.fd, stream.queued, stream.closed) == (-1, -1, 0, True)
    loop.pass_time(6)
    assert stream.told == []
    assert loop.watched == set()
    pair[1].close()


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_a_file_that_shrinks_while_it_is_sent_breaks_the_connection(
    loop: SteppedLoop, pair: Pair, tmp_path: Path
) -> None:
    stream = Recorder(loop, pair[0])
    part = file_range(tmp_path / "a", bytes(4 * FILE_BURST), 0, 4 * FILE_BURST)
    stream.send_file(part)
    os.truncate(tmp_path / "a", 1000)
    assert len(read_all(loop, pair[1], 4 * FILE_BURST)) < 4 * FILE_BURST
    assert stream.told[-1] == "lost OSError"
    pair[1].close()


def test_the_end_of_input_is_told_once_and_output_still_works(
    loop: SteppedLoop, pair: Pair
) -> None:
    stream = Recorder(loop, pair[0])
    pair[1].send(b"last words")
    pair[1].shutdown(socket.SHUT_WR)
    loop.settle()
    assert (stream.got, stream.told) == (b"last words", ["input ended"])
    stream.send(b"answer")
    assert pair[1].recv(10) == b"answer"


def test_a_half_close_of_ours_lets_the_peer_go_on_writing(loop: SteppedLoop, pair: Pair) -> None:
    stream = Recorder(loop, pair[0])
    stream.end_output()
    assert pair[1].recv(1) == b""
    pair[1].send(b"still here")
    loop.settle()
    assert (stream.got, stream.told) == (b"still here", [])


def test_while_reading_is_paused_nothing_is_read(loop: SteppedLoop, pair: Pair) -> None:
    stream = Recorder(loop, pair[0])
    stream.pause_reading()
    pair[1].send(b"x")
    loop.settle()
    assert stream.got == b""
    stream.resume_reading()
    loop.settle()
    assert stream.got == b"x"


@pytest.mark.parametrize("paused", [False, True], ids=["reading", "paused"])
def test_a_peer_that_is_gone_is_noticed_also_while_reading_is_paused(
    loop: SteppedLoop, pair: Pair, paused: bool
) -> None:
    stream = Recorder(loop, pair[0])
    stream.send(bytes(2_000_000))
    if paused:
        stream.pause_reading()
    pair[1].close()
    loop.settle()
    assert stream.told[-1].startswith("lost")
    assert stream.closed


def test_a_write_to_a_peer_that_is_gone_is_a_loss_and_no_fault(
    loop: SteppedLoop, pair: Pair
) -> None:
    stream = Recorder(loop, pair[0])
    pair[1].close()
    stream.send(b"anybody?")
    assert stream.told == ["lost BrokenPipeError"]


def test_a_deadline_that_passes_is_told(loop: SteppedLoop, pair: Pair) -> None:
    stream = Recorder(loop, pair[0])
    loop.timers.set(stream, loop.now + 1)
    loop.pass_time(0.9)
    assert stream.told == []
    loop.pass_time(0.5)
    assert len(stream.told) == 1
    stream.close()
