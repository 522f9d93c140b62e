"""`handler: MODULE:CLASS`: request handler classes of http.server, unchanged.

An instance is made for each request, in an application thread, and runs as it would under
http.server: it reads the request as bytes and writes the response as bytes, which are sent as they
are. What it says of the connection is believed only where it cannot harm the next request.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import replace
from functools import partial

from forkd.config.settings import HeaderChanges
from forkd.errors import ProtocolError
from forkd.handlers.application import ApplicationCall
from forkd.handlers.base import PAUSE_ABOVE, Request
from forkd.handlers.handler_class import adapt
from forkd.handlers.handler_head import HandlerHead, request_bytes
from forkd.handlers.handler_socket import (
    HandlerServer,
    HandlerSocket,
    as_address,
    client_gone,
    no_body,
)
from forkd.handlers.header_rules import with_rules
from forkd.loop.crew import Crew, Pace
from forkd.loop.timers import NEVER
from forkd.proto.http1.head import Head
from forkd.proto.http1.raw_response import RawHead, RawResponse
from forkd.proto.http1.reader import MEMO_HEAD

log = logging.getLogger("forkd.handler")

_MOST_SERVERS = 64
_MOST_REMEMBERED = 1024
_TOGETHER = PAUSE_ABOVE
"""Bytes of a body that are kept at most before they are sent."""


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
        timeout_s: float = NEVER,
    ) -> None:
        """found: the class, or a functools.partial of one; key: where it is configured.

        Raises OperationError where it is neither.
        """
        self.make = adapt(found, name, key)
        self.name = name
        self.rules = rules if rules.add or rules.set or rules.remove else None
        self.strip_prefix = strip_prefix
        self._crew = crew
        self._pace = Pace(timeout_s)
        self._servers: dict[tuple[str, int], HandlerServer] = {}
        self._heads: dict[Head, HandlerHead] = {}
        self.known_heads: dict[bytes, RawHead] = {}
        """Of responses."""

    def answer(self, request: Request) -> HandlerCall:
        return HandlerCall(self, self._crew, self._pace, request)

    def head(self, request: Request, size: int | None) -> HandlerHead:
        """What an instance reads of the head; size: see request_bytes. From any thread.

        Clients send the same heads again and again, and then forkd gives the same Head.
        """
        head, match = request.head, request.match
        found = self._heads.get(head)
        if found is None:
            stripped = (match.prefix, match.rest) if self.strip_prefix else None
            found = HandlerHead(request_bytes(head, stripped, size))
            if not head.chunked and len(head.raw) <= MEMO_HEAD:
                if len(self._heads) >= _MOST_REMEMBERED:
                    self._heads.clear()
                self._heads[head] = found
        return found

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
    """One instance, and what becomes of its output.

    What it writes is kept until its call is over or the loop has left it, so that head and body go
    out in one and the connection is asked once. An instance that waits between two writes is left
    by the loop within milliseconds, and what it wrote before goes out then.
    """

    _head: RawHead | None = None
    """As it is to be sent, once it has been written."""
    _sent = False
    """The head is. For the loop."""
    _due = False
    """The loop is going to look at what there is to send."""
    _wants_more = False
    """The instance asked for a next request: it would keep the connection."""
    _done = False
    """What is written now is thrown away: the answer is over."""

    def __init__(self, handler: HttpHandler, crew: Crew, pace: Pace, request: Request) -> None:
        super().__init__(crew, pace, request)
        self._handler = handler
        head = request.head
        self._response = RawResponse(head.method, head.version, handler.known_heads)
        self._pieces: deque[bytes] = deque()
        """What was written of the body. The instance's thread adds to it, the loop takes it."""

    # From the loop.

    def _submit(self) -> None:
        # The class reads as much as Content-Length says, which chunks do not tell before the end.
        if self.body_read is None or self.body_read.ended or not self.request.head.chunked:
            super()._submit()
            # Comes behind the call, or in the middle of it where another thread runs the loop then.
            self._flush_soon()

    def _flush_soon(self) -> None:
        self._due = True
        self._crew.loop.call_soon(self._flush)

    def _flush(self) -> None:
        # Before anything is taken: what is written from here on asks for another look.
        self._due = False
        head, pieces = self._head, self._pieces
        if head is None or (self._sent and not pieces):
            return
        taken = []
        while pieces:
            taken.append(pieces.popleft())
        body = b"".join(taken)
        if not self._sent:
            self._sent = True
            first = body if len(body) <= _TOGETHER else b""
            closes = not head.keeps
            self.exchange.begin_raw(head.status, head.data, head.length, closes, first)
            if not first:
                self.exchange.write(body)
        else:
            self.exchange.write(body)
        self._wrote(len(body))

    def _finish(self, closing: bool) -> None:
        self._flush()
        if closing:
            self.exchange.close_after()
        self.exchange.finish()

    # From the thread that makes the call.

    def answer(self) -> None:
        peer, body = self.request.peer, self.body_read
        whole = body.size if body is not None and body.ended else None
        connection = HandlerSocket(
            self,
            self._handler.head(self.request, whole),
            no_body() if body is None else body.open(self.waits),
            self.request,
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

    def fail(self, status: int) -> None:
        # A head that was written counts as sent: what the client gets can no longer be changed.
        self.stage.do(self._flush)
        super().fail(status)

    # From the instance.

    def put(self, data: bytes) -> None:
        """Send what the class wrote, as far as it belongs to one response."""
        if self.gone:
            raise client_gone()
        if self._done:
            return
        response = self._response
        was_cut = response.cut
        try:
            body = response.feed(data)
        except ProtocolError as error:
            self._refuse(error)
            return
        if self._head is None and response.head is not None:
            self._head = self._with_rules(response.head)
        if body:
            self._pieces.append(body)
            self._given += len(body)
        if self._given - self._taken > _TOGETHER:
            self.stage.do(self._flush)
            self._wait_for_room()
        elif not self._due and self._head is not None:
            self._due = True
            self.stage.do(self._flush_soon)
        if response.cut and not was_cut:
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
        self._wants_more = self._wants_more or self._head is not None

    # The response.

    def _with_rules(self, head: RawHead) -> RawHead:
        rules = self._handler.rules
        return head if rules is None else replace(head, data=with_rules(head.data, rules))

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
        self.stage.do(partial(self._finish, not self._wants_more or response.cut))

    def _refuse(self, error: ProtocolError) -> None:
        self._done = True
        log.error("%s %s id=%s", self._handler.name, error.reason, self.request.id)
        self.fail(error.status)
