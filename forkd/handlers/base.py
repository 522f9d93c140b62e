"""What a handler is, what it is given, and what it gives back.

A handler answers *at once* with a Response, or gives a Job: the connection then opens an Exchange,
and the job feeds it from whatever it waits for (a program, a socket, a thread). Neither blocks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from forkd.loop.loop import Loop
from forkd.loop.stream import FileRange
from forkd.proto.http1.response import make_prefix

if TYPE_CHECKING:
    from forkd.config.settings import HeaderChanges
    from forkd.figures.counting import RouteFigures
    from forkd.handlers.clients import Clients
    from forkd.proto.http1.head import Head

Headers = Iterable[tuple[bytes, bytes]]

KNOWN_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
)
"""RFC 9110 9.3 and RFC 5789: 405 where a route has not got them, 501 for any other token."""


class Peer:
    """The two ends of a connection, as requests see them. Shared by all requests of it."""

    __slots__ = ("address", "port", "scheme", "server_address", "server_port")

    def __init__(
        self, address: str, port: int, server_address: str, server_port: int, scheme: str
    ) -> None:
        self.address = address
        """The client's IP address; empty for a Unix socket."""
        self.port = port
        self.server_address = server_address
        self.server_port = server_port
        self.scheme = scheme


class Request:
    """A request on its way to a handler."""

    __slots__ = ("_id", "head", "match", "peer", "redirects", "started")

    def __init__(
        self, head: Head, match: Match, peer: Peer, started: float, redirects: int
    ) -> None:
        self.head = head
        self.match = match
        self.peer = peer
        self.started = started
        """Monotonic seconds."""
        self.redirects = redirects
        """How many internal redirects have led here."""
        self._id = ""

    @property
    def id(self) -> str:
        """Names the request in logs and to programs: 16 hexadecimal digits, made when asked for."""
        if not self._id:
            self._id = os.urandom(8).hex()
        return self._id


class Response:
    """A whole answer: immutable, so that a handler may give the same one again and again.

    `prefix` is the status line and the header lines that do not change from moment to moment. The
    connection adds Date and, where it closes, Connection. A response with `open_file` has its body
    there: a call for each use, since each use needs a descriptor of its own. `length` counts the
    body's bytes; a HEAD request gets the prefix alone.

    Until `fresh_until` (monotonic seconds) the connection gives the same response for the same head
    without asking. Only a handler whose answer depends on nothing but the head may set it, and one
    that looks at the client's address, say, may not. `wire` is the connection's: all that goes out
    for a GET of HTTP/1.1 that leaves the connection open, right until `wire_until`.
    """

    __slots__ = (
        "body",
        "fresh_until",
        "length",
        "open_file",
        "prefix",
        "status",
        "wire",
        "wire_until",
    )

    def __init__(
        self,
        status: int,
        prefix: bytes,
        body: bytes = b"",
        open_file: Callable[[], FileRange] | None = None,
        length: int | None = None,
    ) -> None:
        self.status = status
        self.prefix = prefix
        self.body = body
        self.open_file = open_file
        self.length = len(body) if length is None else length
        self.fresh_until = 0.0
        self.wire = b""
        self.wire_until = 0.0


def make_response(
    status: int, headers: Headers, body: bytes, rules: HeaderChanges | None = None
) -> Response:
    """A response whose body is in memory. Content-Length is added."""
    own = [*headers, (b"Content-Length", b"%d" % len(body))]
    return Response(status, make_prefix(status, apply_rules(own, rules)), body)


def apply_rules(headers: Headers, rules: HeaderChanges | None) -> list[tuple[bytes, bytes]]:
    """A route's `headers` option: remove, then set, then add (each name in any case)."""
    result = list(headers)
    if rules is None or not (rules.remove or rules.set or rules.add):
        return result
    gone = {name.lower().encode() for name in (*rules.remove, *rules.set)}
    result = [(name, value) for name, value in result if name.lower() not in gone]
    for fields in (rules.set, rules.add):
        result += [(name.encode(), value.encode()) for name, value in fields.items()]
    return result


class Exchange(Protocol):
    """The connection's side of a request that is answered bit by bit."""

    request: Request

    @property
    def loop(self) -> Loop: ...

    @property
    def queued(self) -> int:
        """Bytes that the client has not taken yet: a job pauses its source above PAUSE_ABOVE."""

    @property
    def begun(self) -> bool:
        """Whether the head of the response has gone out."""

    @property
    def over(self) -> bool:
        """Whether the answer is, or will never be."""

    @property
    def complete(self) -> bool:
        """Whether what is written now is thrown away: the answer has no body, or has all of it."""

    def begin(
        self, status: int, reason: bytes, headers: Headers, length: int | None, body: bytes = b""
    ) -> None:
        """Send the head. Without a length the body is chunked (HTTP/1.1) or ended by closing.

        body: its beginning, which goes out with the head.
        """

    def begin_raw(
        self, status: int, data: bytes, length: int | None, closes: bool, body: bytes = b""
    ) -> None:
        """Send a head that is whole already, as it is; what is written then is sent as it is too.

        length: bytes of the body. Without one the body says itself where it ends, or `closes` and
        ends with the connection. body: its beginning, which goes out with the head.
        """

    def close_after(self) -> None:
        """End the connection with this answer, although its head did not say so."""

    def write(self, data: bytes) -> None:
        """Send a piece of the body."""

    def send_file(self, file: FileRange) -> None:
        """Send a range of a file as a piece of the body of known length. Takes the file over."""

    def finish(self) -> None:
        """The body is complete. The exchange is over."""

    def answer(self, response: Response) -> None:
        """Give a whole response, in memory, instead of begin, write, finish. It is over."""

    def fail(self, status: int) -> None:
        """Give an error page or, where the head is out, break the connection. It is over."""

    def redirect(self, target: bytes) -> None:
        """Answer as a GET of another target of this server would be. The exchange is over."""

    def pass_on(self, target: bytes) -> None:
        """Let what is at another target of this server answer this very request: method, headers,
        body and the target that programs are told stay what they are. The exchange is over."""

    def pause_body(self) -> None:
        """Read no more of the request's body for now."""

    def resume_body(self) -> None:
        """Give the job the request's body as it comes (and ask for it: 100 Continue)."""


class Job(Protocol):
    """A request under way. After the exchange is over nothing of it is called any more."""

    def start(self, exchange: Exchange) -> None: ...

    def body(self, data: bytes) -> None:
        """A piece of the request's body."""

    def body_ended(self) -> None: ...

    def drained(self) -> None:
        """The client has taken all that was queued."""

    def disconnected(self) -> None:
        """The client is gone. The exchange is over."""


RETRY_AFTER_S = 5
"""For clients who were told that there is no room (503; RFC 9110 section 10.2.3)."""
PAUSE_ABOVE = 64 * 1024
"""Bytes queued for a client above which a job stops reading from its source."""


class Handler(Protocol):
    """What a route leads to."""

    @property
    def methods(self) -> frozenset[str] | None:
        """What it answers to; None: any token is given to the application."""

    def answer(self, request: Request) -> Response | Job: ...


class Route:
    """A pattern of a site with its handler and the options that every route has."""

    __slots__ = ("clients", "figures", "handler", "max_body", "methods", "pattern", "rules")

    def __init__(
        self,
        pattern: str,
        handler: Handler,
        figures: RouteFigures,
        *,
        max_body: int,
        methods: frozenset[str] | None,
        rules: HeaderChanges | None,
        clients: Clients | None = None,
    ) -> None:
        self.pattern = pattern
        self.handler = handler
        self.figures = figures
        self.max_body = max_body
        self.methods = methods
        """What is allowed here; None: every method, known or not."""
        self.rules = rules
        self.clients = clients
        """Who is answered; None: everybody."""


class Match:
    """How a path meets a route: `prefix` is the part that the route took, `rest` what is left.

    For `/git/` and /git/a/b: prefix /git, rest /a/b. For `*.php` and /x/y.php/z: prefix empty, rest
    the whole path, and `segment_end` 8, where the segment that matched ends.
    """

    __slots__ = ("prefix", "rest", "route", "segment_end")

    def __init__(self, route: Route, prefix: str, rest: str, segment_end: int = 0) -> None:
        self.route = route
        self.prefix = prefix
        self.rest = rest
        self.segment_end = segment_end
