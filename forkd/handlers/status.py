"""`status: true`: what forkd is doing, as a page for people, and with `?json` for programs.

The master knows. It is asked over the worker's channel, so that an answer comes while all threads
of all workers are busy.
"""

from __future__ import annotations

import json

from forkd.config.settings import StatusRoute
from forkd.handlers.asking import AskingJob, Master
from forkd.handlers.base import Request, Response, make_response
from forkd.handlers.status_page.page import StatusPage

_NO_STORE = (b"Cache-Control", b"no-store")


class Status:
    """The page and the figures."""

    methods = frozenset({"GET", "HEAD"})

    def __init__(self, settings: StatusRoute, master: Master) -> None:
        self._settings = settings
        self._master = master
        self._page = StatusPage()

    def answer(self, request: Request) -> AskingJob:
        return AskingJob(request, self._settings.headers, self._master, self._respond)

    def _respond(self, request: Request, answer: bytes) -> Response:
        if b"json" in request.head.query.split(b"&"):
            headers = [(b"Content-Type", b"application/json"), _NO_STORE]
            body = answer
        else:
            headers = [
                (b"Content-Type", b"text/html; charset=utf-8"),
                _NO_STORE,
                (b"Content-Security-Policy", self._page.policy),
                (b"X-Content-Type-Options", b"nosniff"),
                (b"Referrer-Policy", b"no-referrer"),
            ]
            own = request.head.target.partition(b"?")[0].decode("latin-1")
            body = self._page.render(json.loads(answer), own).encode("utf-8", "replace")
        return make_response(200, headers, body, self._settings.headers)
