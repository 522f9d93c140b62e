"""One HTTP/1 connection: requests in order, one answered at a time."""

from __future__ import annotations

import logging

from forkd.errors import ProtocolError
from forkd.handlers.base import Job, Request, Response
from forkd.handlers.cgi_job import CgiJob
from forkd.loop.loop import READABLE
from forkd.loop.stream import FileRange
from forkd.proto.http1.head import Head
from forkd.server.connection import Connection
from forkd.server.context import (
    CORKED_SIZE,
    DISCARD_BYTES,
    LINGER_S,
    READ_AHEAD,
    Ready,
)
from forkd.server.dispatch import dispatch
from forkd.server.exchange import HttpExchange
from forkd.server.states import DISCARD, EXCHANGE, HEAD, LINGER, SENDING

log = logging.getLogger("forkd.server")


class HttpConnection(Connection):
    """Reads requests, finds their routes, sends the answers, keeps the deadlines."""

    __slots__ = ()

    # Input.

    def received(self, data: bytes) -> None:
        state, server = self._state, self._server
        if state is HEAD:
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
        if state is LINGER:
            patience = self.loop.now + LINGER_S
            self.loop.timers.set(self, min(patience, self._linger_until))
            return
        self.reader.receive(data)
        if state is EXCHANGE and self._exchange is not None:
            self._exchange.pump()
        elif state is DISCARD:
            self._discard()
        if self.reader.buffered > READ_AHEAD and self._state is not HEAD:
            self.pause_reading()

    def input_ended(self) -> None:
        self._half_closed = True
        if self._state is EXCHANGE and self._exchange is not None:
            self._exchange.input_ended()
        elif self._state is not SENDING:
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
            while self._state is HEAD:
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
            if not self._begun:
                self._begun = loop.now
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
        if not self._begun:
            self._begun = self.loop.now
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
                self.figures = ready.figures
                if server.lines is not None:
                    self.request = Request(head, ready.match, self._peer, self.loop.now, 0)
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
        if self.queued or self._state is not HEAD:
            self._begun = self.loop.now
            self.figures = ready.figures
            self.answered(response.status, ready.length, closing=False)
            return True
        ready.cell.at_once += 1
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
        elif file is not None:
            self._send_with_file(response.prefix + tail, file)
        elif length <= CORKED_SIZE:
            self.send(response.prefix + tail + response.body)
        else:
            # To copy so much would cost more than a second system call.
            self.send(response.prefix + tail, more=True)
            self.send(response.body)
        if self._state is HEAD and not (closing or self.queued or self.body_pending):
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

    # An answer bit by bit.

    def start(self, request: Request, job: Job) -> None:
        """Let a job make the answer."""
        self._state = EXCHANGE
        self._exchange = exchange = HttpExchange(self, self._server, request, job)
        if self._server.lines is not None and isinstance(job, CgiJob):
            self._fate = job.fate
        self._server.under_way[self] = request
        self.set_deadline()
        exchange.start()

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

    def on_deadline(self, now: float) -> None:  # noqa: ARG002 the wheel gives it
        state = self._state
        if state is HEAD and self.reader.partial:
            self.head = None
            self.reject(ProtocolError(408, "the head of the request came too slowly"))
        elif state is EXCHANGE and self._exchange is not None and not self.queued:
            self._exchange.on_deadline()
        else:
            if self.queued:
                log.info("client %s: takes no data for write_timeout", self._client.decode())
            self.finish()
