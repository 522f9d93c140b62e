"""What all connections of a worker share."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from forkd.config.settings import Limits
from forkd.figures.counting import Figures
from forkd.handlers.base import RETRY_AFTER_S, Match, Request, Response, make_response
from forkd.handlers.routes import Router
from forkd.logs.access import AccessLog
from forkd.loop.loop import Loop
from forkd.loop.timers import NEVER
from forkd.proto.http1.head import Head
from forkd.proto.http1.limits import HeadLimits
from forkd.proto.http1.reader import HeadMemo
from forkd.proto.http1.response import error_page
from forkd.server.access_lines import AccessLines
from forkd.server.clock import Clock

if TYPE_CHECKING:
    from forkd.server.connection import Connection

log = logging.getLogger("forkd.server")

LINGER_S = 2.0
"""After our last byte: how long a client may be silent before we close."""
LINGER_MOST_S = 30.0
"""How long one that goes on sending is read, so that it comes to read our answer. Time bounds it,
not bytes: most clients read only when they have sent all."""
DISCARD_BYTES = 256 * 1024
"""A body nobody wants is read up to here to keep the connection; beyond that closing is cheaper."""
HALF_CLOSED_S = 5.0
"""After a client's FIN: how long an answer that has not begun is still made for it."""
CORKED_SIZE = 64 * 1024
"""A head shares its packet with a file up to this size. With a larger one it is one packet of forty
or more: not worth holding it back for the next."""
READ_AHEAD = 64 * 1024
"""Bytes of later requests that are taken while one is being answered."""


@dataclass(slots=True)
class Tally:
    """Counters of a worker. `connections` counts those accepted, not those open."""

    requests: int = 0
    connections: int = 0
    bytes_sent: int = 0
    errors: int = 0


class Ready:
    """An answer that may be given again to the same request, with what it comes to.

    `repeatable`: the answer is the response's `wire`, and its file if it has one, so that it can be
    given before anything but the bytes of the request has been looked at. `match`: the same bytes
    lead to the same route, which the access log may want to know.
    """

    __slots__ = (
        "cell",
        "figures",
        "head",
        "length",
        "log_ending",
        "match",
        "repeatable",
        "response",
    )

    def __init__(self, head: Head, match: Match, response: Response, log_ending: bytes) -> None:
        self.match = match
        self.figures = match.route.figures
        self.cell = self.figures.cell_at_once(head.method, response.status)
        self.head = head
        self.response = response
        self.length = response.length
        self.log_ending = log_ending
        self.repeatable = (
            response.status < 500
            and head.method != "HEAD"
            and head.keep_alive
            and head.version == 11
        )


class Open(Protocol):
    """A connection of any protocol, as far as a worker that leaves has to do with it."""

    def drain(self) -> None:
        """Be done soon: the worker waits for it, for some time."""

    def finish(self) -> None:
        """Be done now."""


class Server:
    """Settings, routes, logs and counters, and the set of open connections."""

    def __init__(
        self,
        loop: Loop,
        limits: Limits,
        router: Router,
        access_log: AccessLog | None,
        figures: Figures,
    ) -> None:
        """figures: in which the routes of the router are counted, too."""
        self.loop = loop
        self.limits = limits
        self.head_limits = HeadLimits(
            limits.max_request_line, limits.max_header_size, limits.max_headers
        )
        self.router = router
        self.access_log = access_log
        self._ending = access_log.ending if access_log is not None else None
        self.lines: AccessLines | None = None
        """Where the access log tells more than the usual formats do."""
        if access_log is not None and access_log.format is not None:
            self.lines = AccessLines(loop, access_log, access_log.format)
        self.figures = figures
        self.clock = Clock(loop.now)
        self.ready: dict[bytes, Ready] = {}
        """Answers that may be given again to the same bytes, as long as they are fresh."""
        self.memo = HeadMemo(self.ready)
        self.last_request = limits.keepalive_requests or sys.maxsize
        """With which of its requests a connection ends, counted from 1. 0 while draining."""
        self.tally = Tally()
        self.connections: set[Open] = set()
        self.under_way: dict[Connection, Request] = {}
        """Requests that handlers are busy with, the oldest first."""
        self.draining = False
        self.idle_until = NEVER
        """While draining: when a connection without a request is closed."""
        self.on_closed: Callable[[], None] = _nothing
        """Called when a connection has closed: listeners that were paused may go on."""
        self._error_pages: dict[int, Response] = {}

    def remember(self, request: Request, response: Response) -> None:
        """Keep an answer for the next request that is the same."""
        head = request.head
        if head.raw in self.memo:  # and forgotten with it
            log_ending = self._log_ending(head, response.status, response.length)
            ready = self.ready[head.raw] = Ready(head, request.match, response, log_ending)
            if self.lines is not None:
                ready.repeatable = False  # of its line no part is known before

    def error(self, status: int) -> Response:
        """The page for a status, made once."""
        page = self._error_pages.get(status)
        if page is None:
            headers = [(b"Content-Type", b"text/html; charset=utf-8")]
            if status == 503:
                headers.append((b"Retry-After", b"%d" % RETRY_AFTER_S))
            page = self._error_pages[status] = make_response(status, headers, error_page(status))
        return page

    def record(self, log_beginning: bytes, head: Head | None, status: int, length: int) -> None:
        """Count an answer and, in a usual format, write its line.

        length: bytes of the body; no head: no request.
        """
        self.tally.bytes_sent += length
        if status >= 500:
            self.tally.errors += 1
        if self.access_log is not None and self._ending is not None:
            ending = self._log_ending(head, status, length)
            self.access_log.write(log_beginning + self.clock.log_time + ending)

    def _log_ending(self, head: Head | None, status: int, length: int) -> bytes:
        if self._ending is None:
            return b""
        request, tail = (head.log_line, head.log_tail) if head else (b"-", b'"-" "-"')
        return self._ending(request, status, length, tail)

    def drain(self, idle_s: float) -> None:
        """Answer what is here and what is on its way, close each connection after its answer.

        idle_s: how long a connection without a request may stay, in seconds.
        """
        self.draining = True
        self.last_request = 0
        self.idle_until = self.loop.now + idle_s
        for connection in list(self.connections):
            connection.drain()

    def serve_on(self) -> None:
        """After `drain`: keep connections again."""
        self.draining = False
        self.last_request = self.limits.keepalive_requests or sys.maxsize
        self.idle_until = NEVER

    def abandon(self) -> int:
        """Close every connection now; the number of requests that were under way."""
        lost = len(self.under_way)
        for connection in list(self.connections):
            connection.finish()
        if self.lines is not None:
            self.lines.release()
        return lost


def _nothing() -> None:
    pass
