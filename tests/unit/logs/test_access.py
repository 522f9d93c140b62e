"""The access log: formats, batches, and a descriptor that cannot be written."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkd.logs.access import FLUSH_SIZE, FORMATS, AccessLog, beginning, combined, common

TAIL = b'"-" "curl/8"'
TIME = b"20/Nov/2026:14:05:31 +0100"
ATOMIC = 4096


def nobody_waits() -> None:
    pass


def put(log: AccessLog, request: bytes) -> None:
    log.write(line_of(request))


def line_of(request: bytes) -> bytes:
    return beginning(b"10.0.0.1") + TIME + common(request, 200, 5, TAIL)


@pytest.fixture
def packets() -> Iterator[tuple[int, int]]:
    """A pipe whose reader sees each write(2) apart (pipe(7), O_DIRECT)."""
    ends = os.pipe2(os.O_CLOEXEC | os.O_DIRECT | os.O_NONBLOCK)
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 1 << 20)
    yield ends
    for end in ends:
        os.close(end)


def writes(fd: int) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(os.read(fd, ATOMIC))
        except BlockingIOError:
            return found


def test_the_formats_are_those_that_everybody_parses() -> None:
    fields = (b"GET / HTTP/1.1", 200, 5, b'"http://a/" "curl/8"')
    start = beginning(b"10.0.0.1") + TIME
    whole = b'10.0.0.1 - - [20/Nov/2026:14:05:31 +0100] "GET / HTTP/1.1" 200 5'
    assert start + common(*fields) == whole + b"\n"
    assert start + combined(*fields) == whole + b' "http://a/" "curl/8"\n'
    assert (FORMATS["common"], FORMATS["combined"]) == (common, combined)


def test_the_owner_is_told_when_the_first_line_begins_to_wait(tmp_path: Path) -> None:
    told: list[str] = []
    with open(tmp_path / "log", "wb") as file:
        log = AccessLog(file.fileno(), common, lambda: told.append("waits"))
        put(log, b"a")
        put(log, b"b")
        assert told == ["waits"]
        assert (tmp_path / "log").read_bytes() == b""
        log.flush()
        log.flush()
        assert (tmp_path / "log").read_bytes() == line_of(b"a") + line_of(b"b")
        put(log, b"c")
        assert told == ["waits", "waits"]
        log.flush()


def test_a_full_buffer_is_written_at_once(tmp_path: Path) -> None:
    with open(tmp_path / "log", "wb") as file:
        log = AccessLog(file.fileno(), common, nobody_waits)
        for _ in range(FLUSH_SIZE // 1000):
            put(log, b"x" * 1000)
        assert os.path.getsize(tmp_path / "log") >= FLUSH_SIZE


@given(sizes=st.lists(st.integers(0, 3900), max_size=30))
def test_a_write_to_a_pipe_holds_whole_lines_and_never_more_than_it_takes_atomically(
    sizes: list[int],
) -> None:
    ends = os.pipe2(os.O_CLOEXEC | os.O_DIRECT | os.O_NONBLOCK)
    try:
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 1 << 20)
        log = AccessLog(ends[1], common, nobody_waits)
        for size in sizes:
            put(log, b"x" * size)
        log.flush()
        found = writes(ends[0])
    finally:
        for end in ends:
            os.close(end)
    assert all(len(batch) <= ATOMIC and batch.endswith(b"\n") for batch in found)
    assert b"".join(found) == b"".join(line_of(b"x" * size) for size in sizes)
    for one, other in pairwise(found):
        first_line = other.index(b"\n") + 1
        assert len(one) + first_line > ATOMIC, "two writes where one would have done"


def test_a_line_longer_than_a_pipe_takes_stands_alone(packets: tuple[int, int]) -> None:
    log = AccessLog(packets[1], common, nobody_waits)
    for request in (b"before", b"x" * 5000, b"behind"):
        put(log, request)
    log.flush()
    first, *middle, last = writes(packets[0])
    assert (first, last) == (line_of(b"before"), line_of(b"behind"))
    assert b"".join(middle) == line_of(b"x" * 5000)


def test_a_descriptor_that_fails_is_told_of_once_and_again_when_it_works(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC)
    log = AccessLog(descriptor, common, nobody_waits)
    for _ in range(3):
        put(log, b"lost")
        log.flush()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "No space left on device" in caplog.text
    with open(tmp_path / "log", "wb") as file:
        os.dup2(file.fileno(), descriptor, inheritable=False)
    for _ in range(2):
        put(log, b"kept")
        log.flush()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert (tmp_path / "log").read_bytes() == line_of(b"kept") * 2
    os.close(descriptor)


def test_a_reader_that_is_gone_does_not_stop_the_service(
    caplog: pytest.LogCaptureFixture,
) -> None:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    log = AccessLog(write_end, common, nobody_waits)
    os.close(read_end)
    put(log, b"lost")
    log.flush()
    assert "Broken pipe" in caplog.text
    os.close(write_end)
