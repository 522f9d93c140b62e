"""A request that application code answers: a job for the connection, a call for the crew.

What is here is on both sides. `start`, `body` and the like come from the loop; `run` and what it
uses are in whichever thread makes the call, and reach the connection through the stage.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial

from forkd.handlers.base import PAUSE_ABOVE, Exchange, Headers, Request, Response
from forkd.handlers.request_body import RequestBody
from forkd.loop.crew import Crew, Pace, Stage
from forkd.loop.stream import FileRange

log = logging.getLogger("forkd.application")

WHOLE_BODY = 1 << 20
"""Bytes. A larger body is read by the application while it is still coming."""
_AHEAD = 4 * PAUSE_ABOVE
"""Bytes that the application may write ahead of what its client takes."""


class ClientGone(ConnectionError):
    """Nobody reads what the application writes."""


class ApplicationCall:
    """A class derives from it and says in `answer` what is to be done."""

    _pauses = 0
    """How often a writer has begun to wait."""
    _is_held = False
    """It is waiting now."""

    def __init__(self, crew: Crew, pace: Pace, request: Request) -> None:
        self.pace = pace
        self.request = request
        self.gone = False
        """The client is: what is written now is lost."""
        self.body_read: RequestBody | None = None
        self._crew = crew
        self._submitted = False
        self._given = 0
        self._taken = 0
        """Bytes written by the application, and those of them that count no more."""
        self._held = 0
        """Bytes that will count no more as soon as the client has taken what is queued."""
        self._room: threading.Event | None = None
        """Set when there may be room again. Only a writer that has to wait needs one."""

    # From the loop.

    def start(self, exchange: Exchange) -> None:
        self.exchange = exchange
        if self.request.head.has_body:
            self.body_read = RequestBody()
            exchange.resume_body()
        else:
            self._submit()

    def _submit(self) -> None:
        self._submitted = True
        self._crew.submit(self)

    def body(self, data: bytes) -> None:
        body = self.body_read
        assert body is not None
        try:
            body.feed(data)
        except OSError as error:
            log.error("the body of a request cannot be kept: %s id=%s", error, self.request.id)
            self.cut_off(lambda: self.exchange.fail(500))
            return
        if body.size > WHOLE_BODY and not self._submitted:
            self._submit()

    def body_ended(self) -> None:
        if self.body_read is not None:
            self.body_read.end()
        if not self._submitted:
            self._submit()

    def drained(self) -> None:
        self._taken += self._held
        self._held = 0
        self._wake()

    def disconnected(self) -> None:
        self.gone = True
        self._wake()
        if self.body_read is not None:
            self.body_read.fail()
        self._crew.withdraw(self)

    @property
    def progress(self) -> int:
        """A number that changes as the application gives its client something, or waits for it."""
        read = self.body_read.pauses if self.body_read is not None else 0
        return self._given + self._pauses + read + self.exchange.over

    @property
    def waits_for_client(self) -> bool:
        """Whether it cannot go on before the client has taken or sent something."""
        return self._is_held or (self.body_read is not None and self.body_read.is_awaited)

    def cut_off(self, answer: Callable[[], None]) -> None:
        """Have the exchange end now, by `answer`. What the application does goes nowhere then."""
        answer()
        self.disconnected()

    def _pass_on(self, data: bytes) -> None:
        self.exchange.write(data)
        self._wrote(len(data))

    def _begin_with(
        self, status: int, reason: bytes, headers: Headers, length: int | None, body: bytes
    ) -> None:
        self.exchange.begin(status, reason, headers, length, body)
        self._wrote(len(body))

    def _wrote(self, count: int) -> None:
        if self.exchange.queued > PAUSE_ABOVE:
            self._held += count
        else:
            self._taken += count
            self._wake()

    def _wake(self) -> None:
        if self._room is not None:
            self._room.set()

    # From the thread that makes the call.

    def run(self, stage: Stage) -> None:
        self.stage = stage
        try:
            if not self.gone:
                self.answer()
        finally:
            if self.body_read is not None:
                # In the loop, behind the answer: until that is over more of the body may come.
                stage.do(self.body_read.close)

    def answer(self) -> None:
        """Answer the request."""
        raise NotImplementedError

    def give(self, response: Response) -> None:
        """Answer with a whole response."""
        self.stage.do(partial(self.exchange.answer, response))

    def begin(
        self, status: int, reason: bytes, headers: Headers, length: int | None, body: bytes = b""
    ) -> None:
        self._given += len(body)
        self.stage.do(partial(self._begin_with, status, reason, headers, length, body))

    def write(self, data: bytes) -> None:
        """Send a piece of the body. Waits while the client is slow; raises ClientGone."""
        if self.gone:
            raise ClientGone("the client is gone")
        self._given += len(data)
        self.stage.do(partial(self._pass_on, data))
        self._wait_for_room()

    def _wait_for_room(self) -> None:
        while self._is_ahead():
            self.stage.let_go()
            room = self._room = self._room or threading.Event()
            room.clear()
            if self._is_ahead():  # it may have changed before the event was cleared
                self._pauses += 1
                self._is_held = True
                room.wait()
                self._is_held = False

    def _is_ahead(self) -> bool:
        return self._given - self._taken > _AHEAD and not self.gone

    def send_file(self, file: FileRange) -> None:
        """Send a range of a file as a piece of the body."""
        self.stage.do(partial(self.exchange.send_file, file))

    def finish(self) -> None:
        self.stage.do(self.exchange.finish)

    def fail(self, status: int) -> None:
        self.stage.do(partial(self.exchange.fail, status))

    def waits(self) -> None:
        """The thread is going to wait for the client."""
        self.stage.let_go()
