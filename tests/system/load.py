"""Clients that ask without pause and sort what becomes of every request.

A lane is a thread with one connection at a time. What a client that may not repeat its request
would have lost is counted under the name of how it was lost.
"""

from __future__ import annotations

import select
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.system.daemon import eventually

PATIENCE_S = 10.0

LOSSES = frozenset({"refused", "dropped", "raced", "broken", "wrong", "timed out"})
"""refused: no connection; dropped: a new connection ended without a byte of an answer; raced: one
that had served before did; broken: the answer began and did not end; wrong: another status or body;
timed out: nothing for PATIENCE_S."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, the body that its answer must have, and how it is asked."""

    name: str
    request: bytes
    body: bytes
    reuse: bool = True
    """On one connection for as long as the server keeps it; else each on a new one."""
    pause_s: float = 0.0
    """From an answer to the next request: the connection is idle meanwhile."""


def get(path: str, body: bytes, *, name: str = "", reuse: bool = True, pause_s: float = 0.0) -> Ask:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    return Ask(name or path, request, body, reuse, pause_s)


def post(path: str, sent: bytes, body: bytes, *, pause_s: float = 0.0) -> Ask:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(sent)}\r\n\r\n"
    return Ask(f"POST {path}", head.encode() + sent, body, pause_s=pause_s)


class Lost(Exception):
    """A request is lost; the text is the way."""


class Load:
    """The tally of all lanes: per name of an ask, how often what became of it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.tally: dict[str, Counter[str]] = {}
        self._stopping = threading.Event()
        self._lanes: list[threading.Thread] = []
        self._lock = threading.Lock()

    def add(self, ask: Ask, lanes: int = 1) -> None:
        self.tally.setdefault(ask.name, Counter())
        for _ in range(lanes):
            thread = threading.Thread(target=self._run, args=(ask,), daemon=True)
            self._lanes.append(thread)
            thread.start()

    def stop(self) -> None:
        """Ask no more, and wait for the answers under way."""
        self._stopping.set()
        for thread in self._lanes:
            thread.join(2 * PATIENCE_S)
            assert not thread.is_alive(), "a client hangs"

    def answered(self, name: str | None = None) -> int:
        counters = self.tally.values() if name is None else [self.tally[name]]
        return sum(counter["ok"] for counter in counters)

    def lost(self) -> dict[str, dict[str, int]]:
        """What was lost, by ask; empty where nothing was."""
        found = {
            name: {how: count for how, count in counter.items() if how in LOSSES}
            for name, counter in self.tally.items()
        }
        return {name: losses for name, losses in found.items() if losses}

    def total_lost(self) -> int:
        return sum(count for losses in self.lost().values() for count in losses.values())

    def _run(self, ask: Ask) -> None:
        counter: Counter[str] = Counter()
        connection: Connection | None = None
        while not self._stopping.is_set():
            try:
                if connection is not None and connection.was_closed():
                    counter["closed while idle"] += 1
                    connection.close()
                    connection = None
                if connection is None:
                    connection = Connection(self.port)
                reusable = connection.ask(ask)
                outcome = "ok"
            except Lost as lost:
                outcome, reusable = str(lost), False
            if connection is not None and not (reusable and ask.reuse):
                connection.close()
                connection = None
            counter[outcome] += 1
            with self._lock:
                self.tally[ask.name].update(counter)
            counter.clear()
            if ask.pause_s:
                self._stopping.wait(ask.pause_s)
        if connection is not None:
            connection.close()


class Connection:
    """One TCP connection of a client."""

    def __init__(self, port: int) -> None:
        try:
            self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        except OSError:
            raise Lost("refused") from None
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll = select.poll()
        self._poll.register(self.socket, select.POLLIN)
        self._fresh = True

    def close(self) -> None:
        self.socket.close()

    def was_closed(self) -> bool:
        """Whether the server's close had arrived before anything was asked: that is legal."""
        if not self._poll.poll(0):
            return False
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return True

    def ask(self, ask: Ask) -> bool:
        """Whether the connection may be used again. Raises Lost."""
        received = b""
        try:
            self.socket.sendall(ask.request)
            while not received.endswith(b"\r\n\r\n") and b"\r\n\r\n" not in received:
                received += self._receive()
            head, _, body = received.partition(b"\r\n\r\n")
            body = self._read_body(head.lower(), body)
        except TimeoutError:
            raise Lost("timed out") from None
        except OSError:
            if received:
                raise Lost("broken") from None
            raise Lost("dropped" if self._fresh else "raced") from None
        self._fresh = False
        if head[9:12] != b"200" or body != ask.body:
            raise Lost("wrong")
        return b"\r\nconnection: close" not in head.lower()

    def _read_body(self, head: bytes, body: bytes) -> bytes:
        if b"\r\ntransfer-encoding: chunked" in head:
            while not body.endswith(b"0\r\n\r\n"):
                body += self._receive()
            return b"".join(_chunks(body))
        length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r")[0])
        while len(body) < length:
            body += self._receive()
        return body

    def _receive(self) -> bytes:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionResetError
        return data


def _chunks(body: bytes) -> Iterator[bytes]:
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        yield rest[:length]
        body = rest[length + 2 :]


@contextmanager
def under_load(port: int, *asks: tuple[Ask, int]) -> Iterator[Load]:
    """A load that has been answered at least once on each kind of request, until the end."""
    load = Load(port)
    for ask, lanes in asks:
        load.add(ask, lanes)
    try:
        eventually(
            lambda: all(load.answered(name) for name in load.tally), "an answer of each kind"
        )
        yield load
    finally:
        load.stop()
