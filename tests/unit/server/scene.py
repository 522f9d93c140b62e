"""A connection over a socket pair, with a client that a test plays and handlers that it makes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from forkd.config.settings import Limits
from forkd.figures.counting import Figures
from forkd.handlers.base import (
    Exchange,
    Handler,
    Job,
    Peer,
    Request,
    Response,
    Route,
    make_response,
)
from forkd.handlers.routes import Router, SiteRoutes
from forkd.logs.access import AccessLog, style_of
from forkd.server.context import Server
from forkd.server.http import HttpConnection
from tests.unit.stepped import SteppedLoop
from tests.unit.written import written

HOST = "Host: example.org"


class Fixed:
    """Answers at once with what it is given."""

    def __init__(
        self, answer: Response | Callable[[Request], Response], methods: str = "GET HEAD"
    ) -> None:
        self.methods: frozenset[str] | None = frozenset(methods.split()) or None
        self._answer = answer
        self.asked: list[Request] = []

    def answer(self, request: Request) -> Response | Job:
        self.asked.append(request)
        return self._answer if isinstance(self._answer, Response) else self._answer(request)


def text(body: str, status: int = 200) -> Fixed:
    return Fixed(make_response(status, [(b"Content-Type", b"text/plain")], body.encode()))


class ManualJob:
    """A job that does nothing but write down what it is told; the test answers for it."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.got = b""
        self.on_start: Callable[[], None] = lambda: None
        self.on_body: Callable[[], None] = lambda: None
        self._exchange: Exchange | None = None

    @property
    def exchange(self) -> Exchange:
        assert self._exchange is not None, "the job was not started"
        return self._exchange

    def start(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.told.append("start")
        self.on_start()

    def body(self, data: bytes) -> None:
        self.got += data
        self.on_body()

    def body_ended(self) -> None:
        self.told.append("body ended")

    def drained(self) -> None:
        self.told.append("drained")

    def disconnected(self) -> None:
        self.told.append("disconnected")


class Jobs:
    """Gives a new ManualJob for each request."""

    methods: frozenset[str] | None = None

    def __init__(self, prepare: Callable[[ManualJob], None] = lambda _job: None) -> None:
        self.made: list[ManualJob] = []
        self._prepare = prepare

    def answer(self, request: Request) -> Response | Job:  # noqa: ARG002 what every handler is given
        job = ManualJob()
        self._prepare(job)
        self.made.append(job)
        return job

    @property
    def last(self) -> ManualJob:
        return self.made[-1]


@dataclass(frozen=True, slots=True)
class Reply:
    """One response as a client reads it. `body` is None where its end did not come."""

    status: int
    headers: dict[str, str]
    body: bytes | None
    rest: bytes


def parse(data: bytes, *, head_only: bool = False, closed: bool = False) -> Reply:
    """The first response in data."""
    head, found, rest = data.partition(b"\r\n\r\n")
    assert found, f"no whole head: {data!r}"
    status_line, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    status = int(status_line.split(" ")[1])
    if head_only or status in (100, 204, 304):
        return Reply(status, headers, b"", rest)
    if "Content-Length" in headers:
        size = int(headers["Content-Length"])
        body = rest[:size] if len(rest) >= size else None
        return Reply(status, headers, body, rest[size:])
    if headers.get("Transfer-Encoding") == "chunked":
        return Reply(status, headers, *_chunks(rest))
    return Reply(status, headers, rest if closed else None, b"")


def _chunks(data: bytes) -> tuple[bytes | None, bytes]:
    body = b""
    while True:
        size_line, found, data = data.partition(b"\r\n")
        if not found:
            return None, b""
        size = int(size_line, 16)
        piece, data = data[:size], data[size:]
        assert data[:2] in (b"\r\n", b""), "a chunk ends with its line end"
        if len(piece) < size or not data:
            return None, b""
        body, data = body + piece, data[2:]
        if size == 0:
            return body, data


class Scene:
    """One connection and what a client can do to it. `limits` are those of the configuration,
    `style` is the format of the access log."""

    def __init__(
        self,
        loop: SteppedLoop,
        routes: Mapping[str, Handler],
        max_body: int = 1 << 20,
        style: str = "combined",
        **limits: object,
    ) -> None:
        self.loop = loop
        self._log = os.memfd_create("access", os.MFD_CLOEXEC)
        access_log = AccessLog(self._log, style_of(style, 3), lambda: None)
        self.figures = Figures()
        router = Router(
            [
                SiteRoutes(
                    (),
                    [
                        Route(
                            pattern,
                            handler,
                            self.figures.route(number),
                            max_body=max_body,
                            methods=handler.methods,
                            rules=None,
                        )
                        for number, (pattern, handler) in enumerate(routes.items(), 1)
                    ],
                )
            ]
        )
        self.server = Server(loop, written(Limits, **limits), router, access_log, self.figures)
        ours, self.client = socket.socketpair()
        for end in (ours, self.client):
            end.setblocking(False)
        self.connection = HttpConnection(
            self.server, ours, Peer("192.0.2.9", 51000, "127.0.0.1", 8080, "http")
        )

    def close(self) -> None:
        self.connection.finish()
        self.client.close()
        os.close(self._log)

    def send(self, data: bytes) -> Scene:
        self.client.sendall(data)
        self.loop.settle()
        return self

    def ask(
        self, target: str = "/", *headers: str, method: str = "GET", version: str = "1.1"
    ) -> Scene:
        return self.send(head(target, *headers, method=method, version=version))

    def read(self) -> bytes:
        """All that has come, and comes while it is read."""
        data = b""
        while True:
            self.loop.settle()
            try:
                piece = self.client.recv(1 << 16)
            except BlockingIOError:
                return data
            except ConnectionResetError:
                return data
            if not piece:
                return data
            data += piece

    def reply(self, *, head_only: bool = False) -> Reply:
        """The one response that has come."""
        reply = parse(self.read(), head_only=head_only, closed=self.ended)
        assert reply.rest == b"", "more than one response"
        return reply

    @property
    def ended(self) -> bool:
        """Whether the server has sent its last byte."""
        try:
            return self.client.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def lines(self) -> list[str]:
        """The access log without its times."""
        return [line.partition("] ")[2] for line in self.whole_lines()]

    def whole_lines(self) -> list[str]:
        """The access log as it stands."""
        assert self.server.access_log is not None
        self.server.access_log.flush()
        size = os.fstat(self._log).st_size
        return os.pread(self._log, size, 0).decode().splitlines()


def head(target: str = "/", *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", HOST, *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
