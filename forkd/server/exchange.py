"""The connection's side of a request that a job answers bit by bit."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from forkd.errors import ProtocolError
from forkd.handlers.base import Headers, Job, Request, Response, apply_rules
from forkd.loop.loop import Loop
from forkd.loop.stream import FileRange
from forkd.proto.http1.head import Head
from forkd.proto.http1.reader import END_OF_BODY
from forkd.proto.http1.response import CONTINUE, FINAL_CHUNK, chunk, make_prefix
from forkd.server.context import Server
from forkd.server.dispatch import as_get, at_target, dispatch

if TYPE_CHECKING:
    from forkd.server.http import HttpConnection

log = logging.getLogger("forkd.server")

MOST_REDIRECTS = 10
CLIENT_GONE = 499
"""No status of HTTP: logged where the client left before there was one, as others log it."""


class HttpExchange:
    """See handlers.base.Exchange. Once it is over, calls of the job do nothing."""

    __slots__ = (
        "_chunked",
        "_closing",
        "_connection",
        "_continued",
        "_frames_itself",
        "_job",
        "_left",
        "_over",
        "_pumping",
        "_sent",
        "_server",
        "_silent",
        "_status",
        "_taken",
        "request",
        "wants_body",
    )

    def __init__(
        self, connection: HttpConnection, server: Server, request: Request, job: Job
    ) -> None:
        self._connection = connection
        self._server = server
        self._job = job
        self.request = request
        self.wants_body = False
        """The job waits for the request's body."""
        self._continued = False
        self._pumping = False
        self._over = False
        self._status = 0
        """0 until the head has gone out."""
        self._closing = False
        self._chunked = False
        self._frames_itself = False
        """The job's own bytes say where the answer ends."""
        self._silent = False
        """Nothing of what the job writes is sent: HEAD, 204, 304, and beyond Content-Length."""
        self._left: int | None = None
        """Bytes that Content-Length still promises."""
        self._sent = 0
        self._taken = connection.sent
        """What the client had taken when it was last looked at: of use once it has half-closed."""

    # What the job sees.

    @property
    def loop(self) -> Loop:
        return self._server.loop

    @property
    def queued(self) -> int:
        return self._connection.queued

    @property
    def begun(self) -> bool:
        return self._status > 0

    @property
    def over(self) -> bool:
        return self._over

    @property
    def complete(self) -> bool:
        return self._silent or self._left == 0

    def begin(
        self, status: int, reason: bytes, headers: Headers, length: int | None, body: bytes = b""
    ) -> None:
        if self._over:
            return
        head = self._connection.head
        assert head is not None
        own = apply_rules(headers, self.request.match.route.rules)
        self._status = status
        self._silent = head.method == "HEAD" or status in (204, 304)
        self._closing = self._connection.must_close()
        self._left = None if self._silent else length
        if length is not None and status != 204:
            own.append((b"Content-Length", b"%d" % length))
        elif not self._silent:
            if head.version == 11:
                self._chunked = True
                own.append((b"Transfer-Encoding", b"chunked"))
            else:
                self._closing = True
        prefix = make_prefix(status, own, reason)
        self._connection.send(prefix + self._tail(head) + self._framed(body))

    def begin_raw(
        self, status: int, data: bytes, length: int | None, closes: bool, body: bytes = b""
    ) -> None:
        if self._over:
            return
        head = self._connection.head
        assert head is not None
        self._status = status
        self._silent = head.method == "HEAD" or status in (204, 304)
        self._closing = closes or self._connection.must_close()
        self._left = None if self._silent else length
        self._frames_itself = not closes
        self._connection.send(data + self._framed(body))

    def close_after(self) -> None:
        self._closing = True

    def _tail(self, head: Head) -> bytes:
        clock = self._server.clock
        clock.tick(self.loop.now)
        if self._closing:
            return clock.closing
        return clock.keeping if head.version == 11 else clock.keeping_1_0

    def write(self, data: bytes) -> None:
        if not self._over and (framed := self._framed(data)):
            self._connection.send(framed)

    def _framed(self, data: bytes) -> bytes:
        """A piece of the body as it goes out, counted."""
        if self._silent or not data:
            return b""
        if self._left is not None:
            if len(data) > self._left:
                log.warning(
                    "more body than its Content-Length: the rest is cut off route=%s id=%s",
                    self.request.match.route.pattern,
                    self.request.id,
                )
                self._silent = True
                data = data[: self._left]
            self._left -= len(data)
        self._sent += len(data)
        return chunk(data) if self._chunked else data

    def send_file(self, file: FileRange) -> None:
        if self._over or self._silent or self._left is None or file.count > self._left:
            # A body of its own framing is nothing that sendfile(2) can make.
            file.close()
            return
        self._left -= file.count
        self._sent += file.count
        self._connection.send_file(file)

    def finish(self) -> None:
        if self._over:
            return
        if self._left:
            log.warning(
                "%d bytes less than Content-Length: the connection is closed route=%s id=%s",
                self._left,
                self.request.match.route.pattern,
                self.request.id,
            )
            self._break()
            return
        self._end()
        if self._chunked:
            self._connection.send(FINAL_CHUNK)
        self._connection.answered(self._status, self._sent, self._closing)

    def _break(self) -> None:
        """End an answer that has begun and will never be whole, so that the client can tell."""
        self._end()
        framed = self._chunked or self._frames_itself or self._left is not None
        if framed or self._silent:
            self._connection.answered(self._status, self._sent, closing=True)
        else:
            # Only the close would end this body: an orderly one would say that it is whole.
            self._connection.break_off(self._status, self._sent)

    def answer(self, response: Response) -> None:
        assert response.open_file is None, "a job has its answer in memory"
        if not self._over and not self.begun:
            self._end()
            self._connection.respond(response)

    def fail(self, status: int) -> None:
        if self._over:
            return
        if not self.begun:
            self.answer(self._server.error(status))
            return
        self._break()

    def redirect(self, target: bytes) -> None:
        self._go_to(target, as_get)

    def pass_on(self, target: bytes) -> None:
        self._go_to(target, at_target)

    def _go_to(self, target: bytes, make: Callable[[bytes, Head, Server], Head]) -> None:
        if self._over:
            return
        request = self.request
        if request.redirects >= MOST_REDIRECTS:
            log.error(
                "%d internal redirects, the last to %r id=%s", MOST_REDIRECTS, target, request.id
            )
            self.fail(500)
            return
        try:
            head = make(target, request.head, self._server)
        except ProtocolError as error:
            log.error("internal redirect to %r: %s id=%s", target, error.reason, request.id)
            self.fail(502)
            return
        self._end()
        again = request.redirects + 1
        dispatch(self._connection, self._server, head, request.peer, request.started, again)

    def pause_body(self) -> None:
        if self._over:
            return
        self.wants_body = False
        self._connection.pause_reading()
        self._connection.set_deadline()

    def resume_body(self) -> None:
        connection = self._connection
        if self._over or not connection.body_pending:
            return
        self.wants_body = True
        head = self.request.head
        if head.expects_continue and not self._continued:
            self._continued = True
            if not connection.reader.buffered:
                connection.send(CONTINUE)
        connection.resume_reading()
        self.pump()

    # What the connection calls.

    def start(self) -> None:
        self._call(partial(self._job.start, self))

    def pump(self) -> None:
        """Give the job what has arrived of the body, as long as it wants it."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while self.wants_body and not self._over:
                event = self._connection.reader.next_event()
                if event is None:
                    break
                if event is END_OF_BODY:
                    self.wants_body = False
                    self._connection.body_pending = False
                    self._call(self._job.body_ended)
                else:
                    assert isinstance(event, bytes)
                    self._call(partial(self._job.body, event))
        except ProtocolError as error:
            self.reject(error)
            return
        finally:
            self._pumping = False
        if not self._over:
            self._connection.set_deadline()

    def input_ended(self) -> None:
        """The client sends nothing more."""
        if self.wants_body:
            self.reject(ProtocolError(400, "the body ended early"))
        else:
            # It may still read: an answer that comes soon is for it (RFC 9112 9.6).
            self._taken = self._connection.sent
            self._connection.set_deadline()

    def drained(self) -> None:
        self._call(self._job.drained)

    def on_deadline(self) -> None:
        """Nothing is queued, and yet a deadline has passed."""
        if self.wants_body:
            self.reject(ProtocolError(408, "the body of the request came too slowly"))
        elif self._connection.sent > self._taken:
            # Half-closed, but it takes what we write: it is there.
            self._taken = self._connection.sent
            self._connection.set_deadline()
        else:
            self._connection.finish()

    def reject(self, error: ProtocolError) -> None:
        """The request turns out to be none: the job is told that nobody waits."""
        if self._over:
            return
        self._end()
        self._call(self._job.disconnected)
        if self.begun:
            self._break()
        else:
            self._connection.reject(error)

    def client_gone(self) -> tuple[int, int] | None:
        """The connection has closed. What to log: status (499 for none) and body bytes."""
        if self._over:
            return None
        self._end()
        self._call(self._job.disconnected)
        return self._status or CLIENT_GONE, self._sent

    def _end(self) -> None:
        self._over = True
        self.wants_body = False
        self._server.clock.tick(self.loop.now)  # the log line that follows says when it ended
        self._server.under_way.pop(self._connection, None)

    def _call(self, call: Callable[[], None]) -> None:
        """A fault in a job ends its own request and nothing else."""
        try:
            call()
        except Exception:
            log.exception(
                "fault in a handler route=%s id=%s",
                self.request.match.route.pattern,
                self.request.id,
            )
            self.fail(500)
