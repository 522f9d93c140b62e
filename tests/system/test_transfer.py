"""Large files and slow clients: whole, in flat memory, and at nobody else's cost."""

from __future__ import annotations

import hashlib
import random
import re
import selectors
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.daemon import Daemon, eventually, started
from tests.system.wire import Wire, fetch, request

LARGE = 100 << 20
PIECE = 1 << 20
MEMORY_GROWTH = 12 << 20
"""What a worker may gain while it sends and receives hundreds of megabytes, in bytes."""

SLOW_CLIENTS = 200
SLOW_BYTE_S = 1.0
SLOWEST_S = 0.5
"""An answer that takes longer than this beside slow clients was held up by them."""
MEDIAN_S = 0.05


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("transfer")
    (directory / "html").mkdir()
    piece = random.Random(2).randbytes(PIECE)
    with open(directory / "html" / "large", "wb") as file:
        for number in range(LARGE // PIECE):
            file.write(number.to_bytes(4, "big") + piece[4:])
    (directory / "html" / "small").write_text("small")
    discard = directory / "discard.sh"
    discard.write_text('#!/bin/sh\nprintf "Content-Type: text/plain\\n\\n"\nwc -c\n')
    discard.chmod(0o755)
    routes = {"/": "{static: html}", "/discard": f"{{cgi: {discard}, max_body: 1G}}"}
    with started(directory, routes, workers="{count: 1}") as running:
        yield running


def memory(daemon: Daemon) -> int:
    """Resident bytes of the only worker."""
    (worker,) = daemon.workers()
    status = Path(f"/proc/{worker['pid']}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


@contextmanager
def flat_memory(daemon: Daemon) -> Iterator[None]:
    """The worker's memory does not grow with what it carries."""
    fetch(daemon.port, "/small")
    before = memory(daemon)
    yield
    assert memory(daemon) - before < MEMORY_GROWTH


def digest(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def test_a_large_file_arrives_whole_in_flat_memory(daemon: Daemon) -> None:
    with flat_memory(daemon), Wire(daemon.port) as wire:
        wire.send(request("/large"))
        assert wire.head().headers["content-length"] == str(LARGE)
        came = hashlib.sha256()
        for _ in range(LARGE // PIECE):
            came.update(wire.exactly(PIECE))
        assert came.hexdigest() == digest(daemon.directory / "html" / "large")
        # The connection goes on.
        assert wire.get("/small").text == "small"


def test_ranges_of_a_large_file_make_it_whole(daemon: Daemon) -> None:
    step = 7_777_777
    came = hashlib.sha256()
    with flat_memory(daemon), Wire(daemon.port) as wire:
        for start in range(0, LARGE, step):
            answer = wire.get("/large", f"Range: bytes={start}-{start + step - 1}")
            assert answer.status == 206
            came.update(answer.body)
    assert came.hexdigest() == digest(daemon.directory / "html" / "large")


def test_a_large_body_reaches_a_program_in_flat_memory(daemon: Daemon) -> None:
    with flat_memory(daemon), Wire(daemon.port) as wire:
        wire.send(request("/discard", f"Content-Length: {LARGE}", method="POST"))
        piece = bytes(PIECE)
        for _ in range(LARGE // PIECE):
            wire.send(piece)
        assert wire.answer().text.strip() == str(LARGE)


def test_a_client_that_reads_slowly_holds_up_nobody(daemon: Daemon) -> None:
    with flat_memory(daemon), Wire(daemon.port, receive_buffer=4096) as slow:
        slow.send(request("/large"))
        slow.head()
        with Wire(daemon.port) as other:
            for _ in range(100):
                began = time.monotonic()
                assert other.get("/small").text == "small"
                assert time.monotonic() - began < SLOWEST_S
        assert len(slow.exactly(PIECE)) == PIECE


class SlowClients:
    """Clients that send an endless header byte by byte, all from one thread."""

    def __init__(self, port: int) -> None:
        self.rounds = 0
        """How many times each client has sent a byte."""
        self.refused = 0
        self._stopping = threading.Event()
        self._clients = []
        for _ in range(SLOW_CLIENTS):
            self._clients.append(socket.create_connection(("127.0.0.1", port)))
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> SlowClients:
        for client in self._clients:
            client.sendall(b"GET /small HTTP/1.1\r\nHost: test\r\nX-Slow: ")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        for client in self._clients:
            client.close()

    def _run(self) -> None:
        with selectors.EpollSelector() as selector:
            for client in self._clients:
                selector.register(client, selectors.EVENT_READ)
            interval = SLOW_BYTE_S / SLOW_CLIENTS
            due, turn = time.monotonic(), 0
            while not self._stopping.is_set():
                for key, _ in selector.select(max(0.0, due - time.monotonic())):
                    # Nothing should come: an answer here is a client that was turned away.
                    self.refused += 1
                    selector.unregister(key.fileobj)
                while due <= time.monotonic():
                    self._clients[turn % SLOW_CLIENTS].send(b"x")
                    turn += 1
                    due += interval
                self.rounds = turn // SLOW_CLIENTS


def test_clients_that_send_slowly_hold_up_nobody(daemon: Daemon) -> None:
    port = daemon.port
    with SlowClients(port) as slow:
        eventually(lambda: slow.rounds >= 1, "every slow client has sent")
        times: list[float] = []
        with Wire(port) as kept:
            while slow.rounds < 3:
                began = time.monotonic()
                answer = kept.get("/small") if len(times) % 2 else fetch(port, "/small")
                times.append(time.monotonic() - began)
                assert answer.text == "small"
        assert slow.refused == 0
        (worker,) = daemon.workers()
        assert worker["connections"] >= SLOW_CLIENTS
    assert len(times) > 100
    assert statistics.median(times) < MEDIAN_S
    assert max(times) < SLOWEST_S
