"""One HTTP/1 connection: requests in order, one answered at a time."""

from __future__ import annotations

import logging
import socket
import struct

from forkd.errors import ProtocolError
from forkd.handlers.base import Job, Peer, Request, Response
from forkd.logs.access import beginning
from forkd.loop.loop import READABLE
from forkd.loop.stream import FileRange, Stream
from forkd.loop.timers import NEVER
from forkd.proto.http1.head import Head
from forkd.proto.http1.reader import END_OF_BODY, RequestReader
from forkd.server.context import (
    CORKED_SIZE,
    DISCARD_BYTES,
    HALF_CLOSED_S,
    LINGER_MOST_S,
    LINGER_S,
    READ_AHEAD,
    Ready,
    Server,
)
from forkd.server.dispatch import dispatch
from forkd.server.exchange import HttpExchange
from forkd.server.states import State

log = logging.getLogger("forkd.server")

_HEAD = State.HEAD
"""Looking a member up in its enumeration takes longer than all else that a comparison needs."""


class HttpConnection(Stream):
    """Reads requests, finds their routes, sends the answers, keeps the deadlines."""

    __slots__ = (
        "_client",
        "_closing",
        "_discarded",
        "_exchange",
        "_half_closed",
        "_head_of",
        "_linger_until",
        "_log_beginning",
        "_peer",
        "_served",
        "_server",
        "_serving",
        "_state",
        "_unlogged",
        "_untaken",
        "body_pending",
        "head",
        "reader",
    )

    may_be_shared = False  # a worker never forks

    def __init__(self, server: Server, sock: socket.socket, peer: Peer) -> None:
        super().__init__(server.loop, sock)
        self._server = server
        self._peer = peer
        self._client = (peer.address or "unix:").encode()
        self._log_beginning = beginning(self._client)
        self._state = State.HEAD
        self._exchange: HttpExchange | None = None
        self._served = 0
        self._head_of = 0
        """Which request the deadline of a head is for, counted from 0."""
        self._serving = False
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
        server.connections.add(self)
        server.tally.connections += 1
        server.loop.timers.set(self, server.loop.now + server.limits.header_timeout)

    # Input.

    def received(self, data: bytes) -> None:
        state, server = self._state, self._server
        if state is _HEAD:
            ready = server.ready.get(data)
            if (
                ready is not None
                and ready.repeatable
                and self.reader.idle
                and self.loop.now < ready.response.wire_until
                and self._served + 1 < server.last_request
                and self._repeat(ready)
            ):
                return
            self.reader.receive(data)
            self._serve_pending()
            return
        if state is State.LINGER:
            patience = self.loop.now + LINGER_S
            self.loop.timers.set(self, min(patience, self._linger_until))
            return
        self.reader.receive(data)
        if state is State.EXCHANGE and self._exchange is not None:
            self._exchange.pump()
        elif state is State.DISCARD:
            self._discard()
        if self.reader.buffered > READ_AHEAD and self._state is not _HEAD:
            self.pause_reading()

    def input_ended(self) -> None:
        self._half_closed = True
        if self._state is State.EXCHANGE and self._exchange is not None:
            self._exchange.input_ended()
        elif self._state is not State.SENDING:
            self.finish()

    def lost(self, error: OSError) -> None:
        log.debug("client %s is lost: %s", self._client.decode(), error)
        self.finish()

    def _serve_pending(self) -> None:
        """Answer what has arrived, in order, until more is needed or an answer takes time."""
        if self._serving:
            return  # an answer given inside the loop below has ended: that loop goes on
        self._serving = True
        try:
            while self._state is _HEAD:
                try:
                    event = self.reader.next_event()
                except ProtocolError as error:
                    self.head = None
                    self.reject(error)
                    return
                if event is None:
                    self._await_request()
                    return
                assert isinstance(event, Head)
                self._serve(event)
        finally:
            self._serving = False

    def _await_request(self) -> None:
        loop, limits = self.loop, self._server.limits
        if self._half_closed:
            self.finish()
            return
        if self.reader.partial:
            # From its first byte on the whole head has this long; bytes that trickle gain nothing.
            if self._head_of != self._served:
                self._head_of = self._served
                loop.timers.set(self, loop.now + limits.header_timeout)
        elif self._served:
            when = loop.now + limits.keepalive_timeout
            if self.deadline <= when <= self._server.idle_until:
                self.deadline = when  # later than it was: the wheel need not know
            else:
                loop.timers.set(self, min(when, self._server.idle_until))
        if not self._mask & READABLE:
            self.resume_reading()

    def _serve(self, head: Head) -> None:
        server = self._server
        self._served += 1
        server.tally.requests += 1
        self.head = head
        ready = server.ready.get(head.raw)
        if ready is not None and ready.response.fresh_until > self.loop.now:
            response = ready.response
            if ready.repeatable:
                clock = server.clock
                clock.tick(self.loop.now)
                response.wire = response.prefix + clock.keeping + response.body
                response.wire_until = min(clock.until, response.fresh_until)
            try:
                file = response.open_file() if response.open_file is not None else None
            except OSError:
                pass  # not what it was: the handler sees to that
            else:
                self.respond(response, file)
                return
        self.body_pending = head.has_body
        dispatch(self, server, head, self._peer, self.loop.now, 0)

    def _repeat(self, ready: Ready) -> bool:
        """Answer a request that is the same, byte for byte, as one before; whether that was done.

        The way of most requests for files. What `_serve`, `respond`, `Server.record` and
        `_await_request` do for any request is here as the little that is left of it for this one.
        """
        server, tally, access_log = self._server, self._server.tally, self._server.access_log
        response = ready.response
        file = None
        if response.open_file is not None:
            try:
                file = response.open_file()
            except OSError:
                return False  # not what it was: the handler sees to that
        self._served += 1
        tally.requests += 1
        self.head = ready.head
        if file is None:
            self.send(response.wire)
        else:
            self._send_with_file(response.wire, file)
        if self.queued or self._state is not _HEAD:
            self.answered(response.status, ready.length, closing=False)
            return True
        tally.bytes_sent += ready.length
        if access_log is not None:
            access_log.write(self._log_beginning + server.clock.log_time + ready.log_ending)
        when = self.loop.now + server.limits.keepalive_timeout
        if self.deadline <= when:
            self.deadline = when  # later than it was: the wheel need not know
        else:
            self.loop.timers.set(self, when)
        return True

    # An answer at once.

    def respond(self, response: Response, file: FileRange | None = None) -> None:
        """Send a whole response and go on to what comes next. `file` is its body, if opened."""
        head, server = self.head, self._server
        assert head is not None
        clock = server.clock
        if self.loop.now >= clock.until:
            clock.refresh(self.loop.now)
        closing = self.must_close()
        if closing:
            tail = clock.closing
        else:
            tail = clock.keeping if head.version == 11 else clock.keeping_1_0
        length = response.length
        if head.method == "HEAD":
            length = 0
            self.send(response.prefix + tail)
            if file is not None:
                file.close()
        elif file is None:
            self.send(response.prefix + tail + response.body)
        else:
            self._send_with_file(response.prefix + tail, file)
        if self._state is _HEAD and not (closing or self.queued or self.body_pending):
            # What `answered` comes to for most requests; `_serve_pending` goes on by itself.
            self._record(response.status, length)
        else:
            self.answered(response.status, length, closing)

    def _send_with_file(self, head: bytes, file: FileRange) -> None:
        self.send(head, more=file.count <= CORKED_SIZE)
        self.send_file(file)

    def must_close(self) -> bool:
        """Whether the connection ends with the answer to this request."""
        head = self.head
        assert head is not None
        return (
            not head.keep_alive
            or self._served >= self._server.last_request
            # Reading a body that nobody wants can cost more than a new connection.
            or (
                self.body_pending and (head.expects_continue or head.content_length > DISCARD_BYTES)
            )
        )

    def answered(self, status: int, length: int, closing: bool) -> None:
        """The answer is out, or queued: count it, and see to what comes next."""
        if self._state is State.CLOSED:
            self._record(status, length - self._untaken)
            return
        self._exchange = None
        self._closing = closing
        if self.queued:
            self._unlogged = (status, length)
            self._state = State.SENDING
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
            self._state = State.DISCARD
            self._discarded = 0
            self.resume_reading()
            self._discard()
        else:
            self._state = State.HEAD
            self._serve_pending()

    def _record(self, status: int, length: int) -> None:
        self._server.record(self._log_beginning, self.head, status, max(0, length))

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
                    self._state = State.HEAD
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

    # An answer bit by bit.

    def start(self, request: Request, job: Job) -> None:
        """Let a job make the answer."""
        self._state = State.EXCHANGE
        self._exchange = exchange = HttpExchange(self, self._server, request, job)
        self._server.under_way[self] = request
        self.set_deadline()
        exchange.start()

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
        if self._state is State.EXCHANGE and self._exchange is not None:
            self.set_deadline()
            self._exchange.drained()
        elif self._state is State.SENDING:
            self._record_unlogged()
            self._after_answer()

    # The end.

    def reject(self, error: ProtocolError) -> None:
        """Answer what is no request, and close: what follows it cannot be trusted."""
        response = self._server.error(error.status)
        log.info("client %s: %d, %s", self._client.decode(), error.status, error.reason)
        self._server.clock.refresh(self.loop.now)
        self.body_pending = True
        body = b"" if self.head is not None and self.head.method == "HEAD" else response.body
        self.send(response.prefix + self._server.clock.closing + body)
        self.answered(error.status, len(body), closing=True)

    def _close_politely(self, unread: bool) -> None:
        """Close so that the client can read the answer.

        unread: bytes of the client may still arrive. Closing at once would then send a reset, which
        makes the client's kernel throw away what it has not read yet (RFC 9112 9.6).
        """
        if not unread or self._half_closed:
            self.finish()
            return
        self._state = State.LINGER
        self._linger_until = self.loop.now + LINGER_MOST_S
        self.end_output()
        if not self.closed:
            self.loop.timers.set(self, self.loop.now + LINGER_S)
            self.resume_reading()

    def on_deadline(self, now: float) -> None:  # noqa: ARG002 the wheel gives it
        state = self._state
        if state is _HEAD and self.reader.partial:
            self.head = None
            self.reject(ProtocolError(408, "the head of the request came too slowly"))
        elif state is State.EXCHANGE and self._exchange is not None and not self.queued:
            self._exchange.on_deadline()
        else:
            if self.queued:
                log.info("client %s: takes no data for write_timeout", self._client.decode())
            self.finish()

    def drain(self) -> None:
        """The worker leaves: a connection without a request has a bounded time to send one."""
        if self._state is _HEAD and not self.reader.partial:
            self.loop.timers.set(self, min(self.deadline, self._server.idle_until))

    def finish(self) -> None:
        """Close now, whatever is under way."""
        if self._state is State.CLOSED:
            return
        self._state = State.CLOSED
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
