"""Requests that are answered with what only the master knows.

It is asked over the worker's channel, so that an answer comes while all threads of all workers are
busy.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from forkd.config.settings import HeaderChanges
from forkd.handlers.base import Exchange, Request, Response, make_response
from forkd.loop.timers import Timer

log = logging.getLogger("forkd.status")

PATIENCE_S = 2.0
_HEADERS = ((b"Content-Type", b"text/plain; charset=utf-8"), (b"Cache-Control", b"no-store"))


class Listener(Protocol):
    """Who waits for an answer of the master."""

    def told(self, answer: bytes) -> None: ...


class Master(Protocol):
    """Whom to ask; see worker/questions.py."""

    def ask(self, listener: Listener) -> None:
        """Have it told, perhaps at once."""

    def forget(self, listener: Listener) -> None:
        """It does not wait any more."""


class AskingJob:
    """Waits for the master's answer, for some time, and makes a response of it."""

    def __init__(
        self,
        request: Request,
        rules: HeaderChanges,
        master: Master,
        respond: Callable[[Request, bytes], Response],
    ) -> None:
        """rules: for the answer where the master is silent."""
        self._request = request
        self._rules = rules
        self._master = master
        self._respond = respond
        self._timer = Timer(self._on_late)

    def start(self, exchange: Exchange) -> None:
        self._exchange = exchange
        exchange.loop.timers.set(self._timer, exchange.loop.now + PATIENCE_S)
        self._master.ask(self)

    def told(self, answer: bytes) -> None:
        self._exchange.loop.timers.remove(self._timer)
        try:
            response = self._respond(self._request, answer)
        except Exception:
            # Others may wait for the same answer, and this request for none.
            log.exception("fault in a handler id=%s", self._request.id)
            self._exchange.fail(500)
        else:
            self._exchange.answer(response)

    def _on_late(self, _now: float) -> None:
        self._master.forget(self)
        log.error("the master has not answered for %g s id=%s", PATIENCE_S, self._request.id)
        body = b"The master does not answer within %g s.\n" % PATIENCE_S
        self._exchange.answer(make_response(503, _HEADERS, body, self._rules))

    def body(self, data: bytes) -> None:
        """A body was not asked for."""

    def body_ended(self) -> None: ...

    def drained(self) -> None: ...

    def disconnected(self) -> None:
        self._exchange.loop.timers.remove(self._timer)
        self._master.forget(self)
