"""The life of an HTTP/1 connection around its answers: what is sent, what is left over, the end."""

from __future__ import annotations

import logging
import socket
import struct
from typing import TYPE_CHECKING

from forkd.errors import ProtocolError
from forkd.handlers.base import Peer, Request
from forkd.handlers.fate import Fate
from forkd.logs.access import beginning
from forkd.loop.stream import Stream
from forkd.loop.timers import NEVER
from forkd.proto.http1.head import Head
from forkd.proto.http1.reader import END_OF_BODY, RequestReader
from forkd.server.context import DISCARD_BYTES, HALF_CLOSED_S, LINGER_MOST_S, LINGER_S, Server
from forkd.server.states import CLOSED, DISCARD, EXCHANGE, HEAD, LINGER, SENDING

if TYPE_CHECKING:
    from forkd.server.exchange import HttpExchange

log = logging.getLogger("forkd.server")


class Connection(Stream):
    """Keeps the state and the deadlines, logs answers, reads away what nobody wants, and closes so
    that the client gets what was sent. HttpConnection derives from it, and says what is answered.
    """

    __slots__ = (
        "_begun",
        "_client",
        "_closing",
        "_discarded",
        "_exchange",
        "_fate",
        "_half_closed",
        "_head_of",
        "_linger_until",
        "_log_beginning",
        "_peer",
        "_queued_s",
        "_served",
        "_server",
        "_serving",
        "_state",
        "_unlogged",
        "_untaken",
        "body_pending",
        "figures",
        "head",
        "reader",
        "request",
    )

    may_be_shared = False  # a worker never forks

    def __init__(
        self, server: Server, sock: socket.socket, peer: Peer, queued_s: float | None = None
    ) -> None:
        """queued_s: how long it had waited to be accepted, where that was looked at."""
        super().__init__(server.loop, sock)
        self._server = server
        self._peer = peer
        self._client = (peer.address or "unix:").encode()
        self._log_beginning = beginning(self._client)
        self._state = HEAD
        self._exchange: HttpExchange | None = None
        self._served = 0
        self._head_of = 0
        """Which request the deadline of a head is for, counted from 0."""
        self._serving = False
        self._begun = 0.0
        """When the first byte of the request came that is not answered yet; 0 for none."""
        self._closing = False
        """The answer under way is the last one."""
        self._half_closed = False
        self._discarded = 0
        self._linger_until = 0.0
        self._unlogged: tuple[int, int] | None = None
        """Status and body length of an answer that the client is still taking."""
        self._untaken = 0
        """Bytes that the client never took, once it is gone."""
        self.reader = RequestReader(server.head_limits, server.memo)
        self.head: Head | None = None
        """Of the request being answered, as it came."""
        self.body_pending = False
        """Some of its body has not been read yet."""
        self.figures = server.figures.unrouted
        """Of the route that answers the request."""
        self.request: Request | None = None
        """As the last handler was given it. Only where the access log wants to know."""
        self._fate: Fate | None = None
        """Of the last program that was run for it. Likewise."""
        self._queued_s = queued_s
        """None as soon as it has been told."""
        server.connections.add(self)
        server.tally.connections += 1
        server.loop.timers.set(self, server.loop.now + server.limits.header_timeout)

    def _serve_pending(self) -> None:
        """Go on with what has arrived, after an answer."""
        raise NotImplementedError

    # After an answer.

    def answered(self, status: int, length: int, closing: bool) -> None:
        """The answer is out, or queued: count it, and see to what comes next."""
        if self._state is CLOSED:
            self._record(status, length - self._untaken)
            return
        self._exchange = None
        self._closing = closing
        if self.queued:
            self._unlogged = (status, length)
            self._state = SENDING
        else:
            self._record(status, length)
            self._after_answer()

    def _after_answer(self) -> None:
        if self._closing:
            head = self.head
            # Who asked for the close sends nothing more: no need to wait for it.
            unread = (
                self.body_pending or head is None or head.keep_alive or self.reader.buffered > 0
            )
            self._close_politely(unread)
        elif self.body_pending:
            self._state = DISCARD
            self._discarded = 0
            self.resume_reading()
            self._discard()
        else:
            self._state = HEAD
            self._serve_pending()

    def _record(self, status: int, length: int) -> None:
        head = self.head
        loop = self.loop
        took = loop.read_clock() - (self._begun or loop.now)
        self._begun = 0.0
        if head is None:
            self._server.figures.unrouted.count("", status, took)
        else:
            self.figures.count(head.method, status, took)
        length = max(0, length)
        self._server.record(self._log_beginning, head, status, length)
        if (lines := self._server.lines) is not None:
            request, self.request = self.request, None
            fate, self._fate = self._fate, None
            log_time = self._server.clock.log_time
            queued, self._queued_s = self._queued_s, None
            lines.tell(self._client, head, request, status, length, took, log_time, fate, queued)

    def _record_unlogged(self) -> None:
        """The answer has been taken, or the rest of it never will be."""
        if self._unlogged is not None:
            status, length = self._unlogged
            self._unlogged = None
            self._server.clock.tick(self.loop.now)
            self._record(status, length - self.queued)

    def _discard(self) -> None:
        """Read the rest of a body that nobody wants, within bounds."""
        try:
            while (event := self.reader.next_event()) is not None:
                if event is END_OF_BODY:
                    self.body_pending = False
                    self._state = HEAD
                    self._serve_pending()
                    return
                assert isinstance(event, bytes)
                self._discarded += len(event)
                if self._discarded > DISCARD_BYTES:
                    self._close_politely(True)
                    return
        except ProtocolError:
            self._close_politely(True)
            return
        if self._half_closed:
            self.finish()
        else:
            self.loop.timers.set(self, self.loop.now + self._server.limits.body_timeout)

    # Deadlines.

    def set_deadline(self) -> None:
        """How long the client may take in an exchange. Output that waits has a deadline already."""
        if self.queued or self._exchange is None:
            return
        now = self.loop.now
        if self._exchange.wants_body:
            when = now + self._server.limits.body_timeout
        elif self._half_closed:
            when = now + HALF_CLOSED_S
        else:
            when = NEVER
        self.loop.timers.set(self, when)

    def stalled(self) -> None:
        # From here until all is taken nothing but progress moves the deadline.
        self.loop.timers.set(self, self.loop.now + self._server.limits.write_timeout)

    def progressed(self) -> None:
        self.stalled()

    def drained(self) -> None:
        if self._state is EXCHANGE and self._exchange is not None:
            self.set_deadline()
            self._exchange.drained()
        elif self._state is SENDING:
            self._record_unlogged()
            self._after_answer()

    # The end.

    def _close_politely(self, unread: bool) -> None:
        """Close so that the client can read the answer.

        unread: bytes of the client may still arrive. Closing at once would then send a reset, which
        makes the client's kernel throw away what it has not read yet (RFC 9112 9.6).
        """
        if not unread or self._half_closed:
            self.finish()
            return
        self._state = LINGER
        self._linger_until = self.loop.now + LINGER_MOST_S
        self.end_output()
        if not self.closed:
            self.loop.timers.set(self, self.loop.now + LINGER_S)
            self.resume_reading()

    def drain(self) -> None:
        """The worker leaves: a connection without a request has a bounded time to send one."""
        if self._state is HEAD and not self.reader.partial:
            self.loop.timers.set(self, min(self.deadline, self._server.idle_until))

    def finish(self) -> None:
        """Close now, whatever is under way."""
        if self._state is CLOSED:
            return
        self._state = CLOSED
        self._untaken = self.queued
        self._record_unlogged()
        exchange, self._exchange = self._exchange, None
        self.close()
        self._server.connections.discard(self)
        self._server.under_way.pop(self, None)
        if exchange is not None and (gone := exchange.client_gone()) is not None:
            status, length = gone
            self._record(status, length - self._untaken)
        self._server.on_closed()

    def break_off(self, status: int, length: int) -> None:
        """Close so that the client cannot take half an answer for a whole one: by a reset."""
        self._unlogged = (status, length)
        if not self.closed:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.finish()
