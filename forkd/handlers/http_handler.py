"""`handler: MODULE:CLASS`: request handler classes of http.server, unchanged.

An instance is made for each request, in an application thread, and runs as it would under
http.server: it reads the request as bytes and writes the response as bytes, which are sent as they
are. What it says of the connection is believed only where it cannot harm the next request.
"""

from __future__ import annotations

import logging
from functools import partial

from forkd.config.routes import HeaderChanges
from forkd.errors import ProtocolError
from forkd.handlers.application import ApplicationCall, ClientGone
from forkd.handlers.base import Request, apply_rules
from forkd.handlers.handler_class import adapt
from forkd.handlers.handler_socket import (
    HandlerServer,
    HandlerSocket,
    as_address,
    client_gone,
    no_body,
)
from forkd.handlers.quoting import quote_path
from forkd.loop.crew import Crew, Pace
from forkd.proto.http1.head import Head
from forkd.proto.http1.raw_response import RawHead, RawResponse
from forkd.proto.http1.target import resolve_path

log = logging.getLogger("forkd.handler")

_MOST_SERVERS = 64


class HttpHandler:
    """Answers with instances of one class, whatever the method."""

    methods = None

    def __init__(
        self,
        found: object,
        name: str,
        key: str,
        rules: HeaderChanges,
        strip_prefix: bool,
        crew: Crew,
    ) -> None:
        """found: the class, or a functools.partial of one; key: where it is configured.

        Raises OperationError where it is neither.
        """
        self.make = adapt(found, name, key)
        self.name = name
        self.rules = rules if rules.add or rules.set or rules.remove else None
        self.strip_prefix = strip_prefix
        self._crew = crew
        self._pace = Pace()
        self._servers: dict[tuple[str, int], HandlerServer] = {}

    def answer(self, request: Request) -> HandlerCall:
        return HandlerCall(self, self._crew, self._pace, request)

    def server(self, host: str, port: int) -> HandlerServer:
        """The same for all requests that come to one address. From any thread."""
        server = self._servers.get((host, port))
        if server is None:
            if len(self._servers) >= _MOST_SERVERS:
                self._servers.clear()
            made = HandlerServer(host, port, self.make)
            server = self._servers.setdefault((host, port), made)
        return server


class HandlerCall(ApplicationCall):
    """One instance, and what becomes of its output."""

    def __init__(self, handler: HttpHandler, crew: Crew, pace: Pace, request: Request) -> None:
        super().__init__(crew, pace, request)
        self._handler = handler
        self._response = RawResponse(request.head.method, request.head.version)
        self._begun = False
        self._wants_more = False
        """The instance asked for a next request: it would keep the connection."""
        self._done = False
        """What is written now is thrown away: the answer is over."""

    def _submit(self) -> None:
        # The class reads as much as Content-Length says, which chunks do not tell before the end.
        if self.body_read is None or self.body_read.ended or not self.request.head.chunked:
            super()._submit()

    def answer(self) -> None:
        peer, head, body = self.request.peer, self.request.head, self.body_read
        whole = body.size if body is not None and body.ended else None
        match = self.request.match
        stripped = (match.prefix, match.rest) if self._handler.strip_prefix else None
        connection = HandlerSocket(
            self,
            request_bytes(head, stripped, whole),
            no_body() if body is None else body.open(self.waits),
            peer,
            self.request.id,
        )
        server = self._handler.server(peer.server_address, peer.server_port)
        try:
            self._handler.make(connection, as_address(peer.address, peer.port), server)
        except BaseException as error:  # sys.exit() in it ends its request, no more
            if not (self.gone and isinstance(error, ConnectionError)):
                log.exception("%s failed id=%s", self._handler.name, self.request.id)
            self.fail(500)
        else:
            if not (self.gone or self._done):
                self._end()
        finally:
            self._done = True  # a buffer that is thrown away, or a thread, may still write

    # From the instance.

    def put(self, data: bytes) -> None:
        """Send what the class wrote, as far as it belongs to one response."""
        if self.gone:
            raise client_gone()
        if self._done:
            return
        was_cut = self._response.cut
        try:
            body = self._response.feed(data)
        except ProtocolError as error:
            self._refuse(error)
            return
        if not self._begun and self._response.head is not None:
            self._begun = True
            self._begin(self._response.head)
        if body:
            try:
                self.write(body)
            except ClientGone:
                raise client_gone() from None
        if self._response.cut and not was_cut:
            log.warning(
                "%s wrote more than its response: the rest is cut off id=%s",
                self._handler.name,
                self.request.id,
            )

    @property
    def answered(self) -> bool:
        return self._response.complete

    def asked_for_more(self) -> None:
        # A class that reads a body to its end before it answers asks for nothing.
        self._wants_more = self._wants_more or self._begun

    # The response.

    def _begin(self, head: RawHead) -> None:
        data = head.data
        if self._handler.rules is not None:
            data = with_rules(data, self._handler.rules)
        closes = not head.keeps
        self.stage.do(partial(self.exchange.begin_raw, head.status, data, head.length, closes))

    def _end(self) -> None:
        response = self._response
        if response.head is None:
            self._refuse(response.eof())
            return
        if response.head.chunked and not response.complete:
            log.warning(
                "%s wrote no last chunk: the connection is closed id=%s",
                self._handler.name,
                self.request.id,
            )
            self.fail(502)
            return
        if not self._wants_more or response.cut:
            self.stage.do(self.exchange.close_after)
        self.finish()

    def _refuse(self, error: ProtocolError) -> None:
        self._done = True
        log.error("%s %s id=%s", self._handler.name, error.reason, self.request.id)
        self.fail(error.status)


def request_bytes(head: Head, stripped: tuple[str, str] | None, size: int | None) -> bytes:
    """The head of a request as a class of http.server is to read it.

    stripped: the prefix of the path that is taken away, and what is left of the decoded path. size:
    that of a body which is whole, and takes the place of chunks. There is no Expect, since the body
    has been asked for; names with an underscore collide with others once they are variables.
    """
    line, _, rest = head.raw.partition(b"\r\n")
    if stripped is not None:
        target = _without_prefix(head, *stripped)
        line = b"%b %b HTTP/1.%d" % (head.method.encode(), target, head.version - 10)
    names = {name for name, _ in head.headers}
    unwanted = {name for name in names if b"_" in name} | (names & {b"expect"})
    if head.chunked:
        unwanted.add(b"transfer-encoding")
    elif not unwanted:
        return line + b"\r\n" + rest
    lines = [
        one
        for one in rest.removesuffix(b"\r\n\r\n").split(b"\r\n")
        if one.partition(b":")[0].lower() not in unwanted
    ]
    if head.chunked and size is not None:
        lines.append(b"Content-Length: %d" % size)
    return b"\r\n".join([line, *lines, b"", b""])


def _without_prefix(head: Head, prefix: str, rest: str) -> bytes:
    # As it was encoded, unless its spelling hides where the prefix ends.
    path = head.raw_path.removeprefix(quote_path(prefix))
    try:
        is_rest = path.startswith(b"/") and resolve_path(path) == rest
    except ProtocolError:
        is_rest = False
    if not is_rest:
        path = quote_path(rest or "/")
    mark = head.target.find(b"?")
    return path + (head.target[mark:] if mark >= 0 else b"")


def with_rules(data: bytes, rules: HeaderChanges) -> bytes:
    """A head of a response with a route's `headers` option applied. No rule names its framing."""
    line, *lines = data.rstrip(b"\r\n").split(b"\n")
    split = [one.partition(b":") for one in lines]
    fields = apply_rules([(name, value.strip()) for name, _, value in split], rules)
    changed = [b"%b: %b" % pair for pair in fields]
    return b"\r\n".join([line.rstrip(b"\r"), *changed, b"", b""])
