"""What a request handler class gets in place of a socket and of a server.

There is one request to read. Where a class asks for the next one, it is told that there is none:
the connection stays with forkd, which makes a new instance for each request.
"""

from __future__ import annotations

import errno
import io
import socket
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol, cast

from forkd.handlers.base import Request
from forkd.handlers.handler_head import HandlerHead
from forkd.handlers.pool_server import PoolServer

_BUFFER = 64 * 1024

Address = tuple[str, int] | tuple[str, int, int, int]


class Answering(Protocol):
    """Who takes the answer."""

    def put(self, data: bytes) -> None:
        """Send this. Raises BrokenPipeError where the client is gone."""

    @property
    def answered(self) -> bool:
        """Whether the answer is whole: what is read now is meant for a next request."""

    def asked_for_more(self) -> None:
        """The end of the request was read."""


class HandlerSocket:
    """As much of a socket as `StreamRequestHandler`, and what derives from it, uses.

    Options and timeouts are accepted and have no effect: the connection is forkd's, with the limits
    of its configuration.
    """

    type = socket.SOCK_STREAM
    proto = 0

    def __init__(
        self, call: Answering, head: HandlerHead, body: BinaryIO, request: Request
    ) -> None:
        """head: that of the request, as it is to be read."""
        self._call = call
        self._request = request
        self._peer = request.peer
        self._head = head
        self._input = _Input(call, head.data, body)
        self._timeout: float | None = None
        self._taken = False

    @property
    def request_id(self) -> str:
        return self._request.id

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self._peer.server_address else socket.AF_INET

    def take_request(self) -> bool:
        """Whether there is a request to handle: the first time there is."""
        if self._taken:
            self.ask_for_more()
            return False
        self._taken = True
        return True

    def ask_for_more(self) -> None:
        """Say that the class would handle a next request."""
        self._call.asked_for_more()

    def take_head(self, file: object, line: bytes) -> HandlerHead | None:
        """The plain head that begins with `line` and goes on in `file`, from which this reads it.

        None, and nothing is read, where that is not certain: a class may have read the file, or
        have put something between it and us.
        """
        if type(file) is not _BufferedInput or file.raw is not self._input:
            return None
        rest = file.peek(1)
        if not (self._head.is_plain and self._head.is_next_in(line, rest)):
            return None
        file.read(len(rest))
        return self._head

    def makefile(self, mode: str = "r", buffering: int = -1, **text: Any) -> Any:
        if "w" in mode:
            output = _Output(self._call)
            binary: Any = output
            if buffering:
                binary = io.BufferedWriter(output, buffering if buffering > 0 else _BUFFER)
        else:
            binary = self._input
            if buffering:
                binary = _BufferedInput(self._input, buffering if buffering > 0 else _BUFFER)
        return binary if "b" in mode else io.TextIOWrapper(binary, **text)

    def recv(self, size: int, flags: int = 0) -> bytes:  # noqa: ARG002 a socket's
        return self._input.read(size) or b""

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:  # noqa: ARG002
        view = memoryview(buffer).cast("B")
        return self._input.readinto(view[:nbytes] if nbytes else view)

    def sendall(self, data: Any, flags: int = 0) -> None:  # noqa: ARG002
        self._call.put(bytes(data))

    def send(self, data: Any, flags: int = 0) -> int:
        self.sendall(data, flags)
        return memoryview(data).nbytes

    def getpeername(self) -> Address:
        return as_address(self._peer.address, self._peer.port)

    def getsockname(self) -> Address:
        return as_address(self._peer.server_address, self._peer.server_port)

    def gettimeout(self) -> float | None:
        return self._timeout

    def settimeout(self, value: float | None) -> None:
        self._timeout = value

    def setblocking(self, flag: bool) -> None:
        self._timeout = None if flag else 0.0

    def setsockopt(self, *option: object) -> None:
        """Accepted, without effect."""

    def getsockopt(self, level: int, option: int, size: int = 0) -> int | bytes:  # noqa: ARG002
        return bytes(size) if size else 0

    def fileno(self) -> int:
        raise io.UnsupportedOperation("the connection is forkd's: there is no descriptor of it")

    def shutdown(self, how: int) -> None:
        """Accepted, without effect: forkd decides when the connection ends."""

    def close(self) -> None:
        """Accepted, without effect: forkd decides when the connection ends."""


def as_address(host: str, port: int) -> Address:
    """An address as socket.accept() gives it."""
    return (host, port, 0, 0) if ":" in host else (host, port)


class _Input(io.RawIOBase):
    """The head, then the body. No read gives bytes of both, so that each can be counted."""

    def __init__(self, call: Answering, head: bytes, body: BinaryIO) -> None:
        self._call = call
        self._head = io.BytesIO(head)
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._head.readinto(buffer)
        if count or not len(buffer):
            return count
        if not self.ended():
            count = self._body.readinto1(buffer)  # type: ignore[attr-defined]  # a buffered reader
            if not count:
                self._call.asked_for_more()
        return int(count)

    def readline(self, size: int | None = -1, /) -> bytes:
        if self.ended():
            return b""
        return self._head.readline(size) or super().readline(size)

    def ended(self) -> bool:
        """Whether what comes next would be a next request. A body that nobody read is none."""
        if self._call.answered:
            self._call.asked_for_more()
            return True
        return False


class _BufferedInput(io.BufferedReader):
    """Its buffer may hold the rest of a body that the class did not read."""

    raw: _Input

    def readline(self, size: int | None = -1, /) -> bytes:
        return b"" if self.raw.ended() else super().readline(size)


class _Output(io.RawIOBase):
    def __init__(self, call: Answering) -> None:
        self._call = call

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._call.put(bytes(data))
        return memoryview(data).nbytes


class HandlerServer(PoolServer):
    """One for each address of a worker, with what classes read of HTTPServer."""

    request_queue_size = 0
    daemon_threads = True
    address_family = socket.AF_INET
    socket_type = socket.SOCK_STREAM

    def __init__(self, host: str, port: int, make: Callable[..., object]) -> None:
        self.server_address = as_address(host, port)
        self.server_name = host
        self.server_port = port
        self.RequestHandlerClass = make


def client_gone() -> BrokenPipeError:
    """What a write to a socket raises whose client is gone."""
    return BrokenPipeError(errno.EPIPE, "the client is gone")


def no_body() -> BinaryIO:
    return cast(BinaryIO, io.BytesIO())
