"""A client that sends any bytes and reads the answers one by one."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.system.daemon import DEADLINE_S


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. Names of headers are in lower case; of several alike the last is kept."""

    version: str
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Wire:
    """One connection. Every wait ends at DEADLINE_S with a TimeoutError."""

    def __init__(self, port: int, receive_buffer: int = 0) -> None:
        self.sock = socket.socket()
        self.sock.settimeout(DEADLINE_S)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.connect(("127.0.0.1", port))
        self._stream = self.sock.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._stream.close()
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def end(self) -> None:
        """Half-close: no more will be sent."""
        self.sock.shutdown(socket.SHUT_WR)

    def get(self, target: str, *headers: str, method: str = "GET") -> Answer:
        """Send a request without a body and read its answer."""
        self.send(request(target, *headers, method=method))
        return self.answer(method)

    def head(self) -> Answer:
        """Read a head; the body is left to be read."""
        line = self._stream.readline()
        if not line:
            raise ConnectionError("closed without an answer")
        version, status, _ = line.decode("latin-1").split(" ", 2)
        headers = {}
        while (field := self._stream.readline()) not in (b"\r\n", b""):
            name, colon, value = field.decode("latin-1").partition(":")
            assert colon, field
            headers[name.lower()] = value.strip()
        return Answer(version, int(status), headers, b"")

    def answer(self, method: str = "GET") -> Answer:
        """Read a whole answer; interim ones (1xx) are left out."""
        while (head := self.head()).status < 200:
            pass
        return Answer(head.version, head.status, head.headers, self._body(head, method))

    def _body(self, head: Answer, method: str) -> bytes:
        if method == "HEAD" or head.status in (204, 304):
            return b""
        if head.headers.get("transfer-encoding") == "chunked":
            return b"".join(iter(self.chunk, b""))
        if (length := head.headers.get("content-length")) is not None:
            return self.exactly(int(length))
        return self.rest()

    def chunk(self) -> bytes:
        """Read one chunk; the last one is empty."""
        line = self._stream.readline()
        if not line:
            raise ConnectionError("closed before the last chunk")
        data = self.exactly(int(line, 16))
        assert self._stream.readline() == b"\r\n"
        return data

    def exactly(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) != size:
            raise ConnectionError(f"closed after {len(data)} of {size} bytes")
        return data

    def rest(self) -> bytes:
        """Everything until the end of the connection; raises ConnectionError for a reset."""
        return self._stream.read()


def request(target: str, *headers: str, method: str = "GET", body: bytes | None = None) -> bytes:
    """The bytes of a request. Host and Content-Length are added where they are missing."""
    names = {header.partition(":")[0].lower() for header in headers}
    lines = [f"{method} {target} HTTP/1.1", *headers]
    if "host" not in names:
        lines.append("Host: test")
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode() + (body or b"")


def fetch(
    port: int, target: str, *headers: str, method: str = "GET", body: bytes | None = None
) -> Answer:
    """One request on a connection of its own. The target goes out as it stands."""
    with Wire(port) as wire:
        wire.send(request(target, *headers, method=method, body=body))
        return wire.answer(method)


def exchange(port: int, data: bytes) -> bytes:
    """Send bytes and read all that comes until the server closes."""
    with Wire(port) as wire:
        wire.send(data)
        return wire.rest()
