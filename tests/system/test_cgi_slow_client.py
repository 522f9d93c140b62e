"""Programs that write far more than is taken: to a slow client, before they read, to stderr."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.system.daemon import DEADLINE_S, REPOSITORY, Daemon, eventually, started
from tests.system.tools import need
from tests.system.wire import Wire, fetch, request

APPS = REPOSITORY / "tests" / "apps"
WHOLE = 800 * 65536
"""What tests/apps/fifty.py writes: 50 MB."""
AHEAD = 8 << 20
"""The kernel's buffers between a program and its client hold up to 4 MB for one socket (tcp(7))."""
GROWTH = 2 << 20
UNREAD = 32 << 20
SLOW_PIECE = 100_000
FLOOD = 50
"""Requests that are answered while a program floods the log."""
SLOW_S = 0.2
RECEIVE_BUFFER = 64 * 1024


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    need("/usr/bin/python3")
    need("/usr/bin/perl")
    gate = f"{{GATE: {tmp_path}/gate, DONE: {tmp_path}/done}}"
    routes = {
        "/fifty": f"{{cgi: {APPS}/fifty.py, env: {{PROGRESS: {tmp_path}/progress}}}}",
        "/writes-first": f"{{cgi: {APPS}/writes-first.pl}}",
        "/flood": f"{{cgi: {APPS}/flood-endless.sh}}",
        "/gated": f"{{cgi: {APPS}/gated.sh, env: {gate}}}",
        "/fixed": "{respond: fixed}",
    }
    os.mkfifo(tmp_path / "gate")
    with started(tmp_path, routes, workers="{count: 1}") as running:
        yield running


def anonymous_memory(daemon: Daemon) -> int:
    """Bytes of the only worker that are no file's."""
    (worker,) = daemon.workers()
    for line in Path(f"/proc/{worker['pid']}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


class Progress:
    """How far the program has come."""

    def __init__(self, daemon: Daemon) -> None:
        self._file = daemon.directory / "progress"
        self._last = -1

    def written(self) -> int:
        return int(self._file.read_text() or 0) if self._file.exists() else 0

    def stands_still(self) -> bool:
        """Whether it has not moved since this was last asked."""
        last, self._last = self._last, self.written()
        return 0 < last == self._last


def test_a_program_waits_for_its_slow_client_and_the_worker_holds_nothing(daemon: Daemon) -> None:
    progress = Progress(daemon)
    fetch(daemon.port, "/fixed")
    before = anonymous_memory(daemon)
    with Wire(daemon.port, RECEIVE_BUFFER) as wire:
        wire.send(request("/fifty").replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert wire.head().status == 200
        taken = 0
        while taken < 8 * SLOW_PIECE:
            # The client goes on only when all between it and the program is full.
            eventually(progress.stands_still, "the program is held back")
            assert progress.written() - taken < AHEAD
            assert anonymous_memory(daemon) - before < GROWTH
            taken += len(wire.exactly(SLOW_PIECE))
            assert fetch(daemon.port, "/fixed").text == "fixed", "others are served meanwhile"
        while taken < 3 * AHEAD:
            taken += len(wire.exactly(SLOW_PIECE))
        eventually(progress.stands_still, "the program is held back")
        assert AHEAD < progress.written() < taken + AHEAD, "it went on when there was room"
        assert anonymous_memory(daemon) - before < GROWTH
        assert taken + len(wire.rest()) == WHOLE
    assert anonymous_memory(daemon) - before < GROWTH


def send_until_stuck(wire: Wire, size: int) -> int:
    """Send bytes until none has been taken for a second, or all are; how many were."""
    sent = 0
    wire.sock.settimeout(1)
    with suppress(TimeoutError):
        while sent < size:
            sent += wire.sock.send(bytes(65536))
    wire.sock.settimeout(DEADLINE_S)
    return sent


def test_a_body_that_the_program_does_not_read_stays_with_the_client(daemon: Daemon) -> None:
    fetch(daemon.port, "/fixed")
    before = anonymous_memory(daemon)
    with Wire(daemon.port) as wire:
        wire.send(request("/gated", f"Content-Length: {UNREAD}", method="POST"))
        assert wire.head().status == 200
        assert wire.chunk() == b"first\n"
        assert send_until_stuck(wire, UNREAD) < UNREAD
        assert anonymous_memory(daemon) - before < GROWTH
        (daemon.directory / "gate").write_text("go\n")
        assert wire.chunk() == b"second\n", "it answers all the same"


def test_a_megabyte_may_be_written_before_a_megabyte_is_read(daemon: Daemon) -> None:
    size = 1 << 20
    with Wire(daemon.port) as wire:
        # Sent by a thread of its own: all of it is taken only when the program reads.
        sent = request("/writes-first", method="POST", body=bytes(size))
        sender = threading.Thread(target=wire.send, args=(sent,))
        sender.start()
        assert wire.answer().body == b"w" * size + str(size).encode()
        sender.join()


def test_an_endless_flood_on_stderr_holds_up_nobody_and_nothing_is_kept_of_it(
    daemon: Daemon,
) -> None:
    fetch(daemon.port, "/fixed")
    before = anonymous_memory(daemon)
    with Wire(daemon.port) as wire:
        wire.send(request("/flood"))
        assert wire.head().status == 200
        assert wire.chunk() == b"answer"
        daemon.wait_for_log("lines more at once: left out")
        times = []
        for _ in range(FLOOD):
            began = time.monotonic()
            assert fetch(daemon.port, "/fixed").text == "fixed"
            times.append(time.monotonic() - began)
        assert statistics.median(times) < SLOW_S
        assert anonymous_memory(daemon) - before < GROWTH
    # The client has gone, and so does the program.
    daemon.wait_for_log("the client has gone: terminated")
