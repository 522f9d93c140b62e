"""A closed loop of our own, for what wrk cannot do: check every answer, tell how one was lost."""

from __future__ import annotations

import collections
import select
import socket
import threading
import time
from dataclasses import dataclass

from .wire import LOCALHOST

LOSSES = ("refused", "dropped", "raced", "broken", "timeout", "wrong")


@dataclass(frozen=True)
class Exchange:
    """A request and the body that its answer must have."""

    name: str
    request: bytes
    body: bytes


class _Line:
    """One keep-alive connection of the loop."""

    __slots__ = ("buffer", "connected", "exchange", "fresh", "since", "socket", "tally")

    def __init__(self, exchange: Exchange, tally: collections.Counter[str]) -> None:
        self.exchange, self.tally = exchange, tally
        self.socket: socket.socket | None = None
        self.buffer, self.fresh, self.connected, self.since = b"", True, False, 0.0


class ClosedLoop(threading.Thread):
    """Asks without pause on keep-alive connections and sorts what becomes of every request.

    ok       answered whole, with status 200 and the right body
    refused  the connection could not be made
    dropped  written on a new connection, which ended without a byte of an answer
    raced    the same on a connection that had served before. Where the server's close had already
             arrived when the request was about to be written, nothing is counted: that is legal
    broken   the answer began and did not end
    timeout  nothing for ten seconds
    wrong    another status or body
    A client that may not repeat a POST loses the request in all of them but ok.

    It is slower than wrk, but sees every answer, and at the end it waits for the answers under way,
    so that the requests counted are those that the server has spent its time on.
    """

    PATIENCE = 10.0

    def __init__(self, port: int, exchanges: list[Exchange], connections: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.tallies = {e.name: collections.Counter[str]() for e in exchanges}
        self.latencies: list[float] = []
        self.took = 0.0
        self._lines = [
            _Line(e, self.tallies[e.name])
            for e in (exchanges[i % len(exchanges)] for i in range(connections))
        ]
        self._by_fd: dict[int, _Line] = {}
        self._later: list[tuple[float, _Line]] = []
        self._epoll = select.epoll()
        self._stopping = threading.Event()

    def finish(self) -> dict[str, collections.Counter[str]]:
        """Ask no more, wait for the answers under way, and tell what became of all."""
        self._stopping.set()
        self.join()
        return self.tallies

    def run(self) -> None:
        start = look = time.monotonic()
        for line in self._lines:
            self._connect(line)
        while self._by_fd or (self._later and not self._stopping.is_set()):
            for fd, _ in self._epoll.poll(0.02):
                if fd in self._by_fd:
                    self._on_event(self._by_fd[fd])
            now = time.monotonic()
            self._reconnect(now)
            if now - look > 0.5:
                look = now
                self._expire(now)
        self.took = time.monotonic() - start
        self._epoll.close()

    def _on_event(self, line: _Line) -> None:
        if line.connected:
            self._receive(line)
            return
        assert line.socket
        if line.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._lose(line, "refused")
            return
        line.connected = True
        self._epoll.modify(line.socket.fileno(), select.EPOLLIN)
        self._send(line)

    def _connect(self, line: _Line) -> None:
        if self._stopping.is_set():
            return
        line.socket = socket.socket()
        line.socket.setblocking(False)
        line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.fresh, line.connected, line.buffer, line.since = True, False, b"", time.monotonic()
        line.socket.connect_ex((LOCALHOST, self.port))
        self._by_fd[line.socket.fileno()] = line
        self._epoll.register(line.socket.fileno(), select.EPOLLOUT)

    def _reconnect(self, now: float) -> None:
        due = [line for when, line in self._later if when <= now]
        self._later = [(when, line) for when, line in self._later if when > now]
        for line in due:
            self._connect(line)

    def _close(self, line: _Line) -> None:
        if line.socket:
            self._by_fd.pop(line.socket.fileno(), None)
            line.socket.close()
            line.socket = None

    def _lose(self, line: _Line, how: str) -> None:
        line.tally[how] += 1
        self._close(line)
        self._later.append((time.monotonic() + 0.01, line))

    def _send(self, line: _Line) -> None:
        assert line.socket
        if self._stopping.is_set():
            self._close(line)
            return
        if not line.fresh and self._was_closed(line.socket):
            line.tally["closed while idle"] += 1
            self._close(line)
            self._connect(line)
            return
        line.buffer, line.since = b"", time.monotonic()
        try:
            line.socket.send(line.exchange.request)
        except OSError:
            self._lose(line, "dropped" if line.fresh else "raced")

    @staticmethod
    def _was_closed(connection: socket.socket) -> bool:
        try:
            return connection.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _receive(self, line: _Line) -> None:
        assert line.socket
        try:
            data = line.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            if line.buffer:
                self._lose(line, "broken")
            else:
                self._lose(line, "dropped" if line.fresh else "raced")
            return
        line.buffer += data
        verdict = self._judge(line)
        if verdict:
            self._answered(line, *verdict)

    @staticmethod
    def _judge(line: _Line) -> tuple[bool, bool] | None:
        """None while the answer is incomplete, else (right, reusable)."""
        head, blank, body = line.buffer.partition(b"\r\n\r\n")
        if not blank:
            return None
        low = head.lower()
        if b"\r\ntransfer-encoding: chunked" in low:
            if not body.endswith(b"0\r\n\r\n"):
                return None
            right = line.exchange.body in body
        else:
            length = low.partition(b"\r\ncontent-length:")[2].partition(b"\r")[0].strip()
            if not length.isdigit():
                return False, False
            if len(body) < int(length):
                return None
            right = body == line.exchange.body
        return right and b" 200 " in head[:13], b"\r\nconnection: close" not in low

    def _answered(self, line: _Line, right: bool, reusable: bool) -> None:
        line.tally["ok" if right else "wrong"] += 1
        self.latencies.append(time.monotonic() - line.since)
        line.fresh = False
        if reusable:
            self._send(line)
        else:
            self._close(line)
            self._connect(line)

    def _expire(self, now: float) -> None:
        for line in self._lines:
            if line.socket and now - line.since > self.PATIENCE:
                self._lose(line, "timeout")
