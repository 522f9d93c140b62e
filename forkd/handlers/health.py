"""`health: true`: whether a load balancer should send requests to this host."""

from __future__ import annotations

from collections.abc import Callable

from forkd.config.settings import HealthRoute
from forkd.handlers.base import Request, Response, make_response

_HEADERS = ((b"Content-Type", b"text/plain; charset=utf-8"), (b"Cache-Control", b"no-store"))


class Health:
    """200 and `ok`, or 503 and `draining` where this host is about to stop or out of service."""

    methods = frozenset({"GET", "HEAD"})

    def __init__(self, settings: HealthRoute, is_leaving: Callable[[], bool]) -> None:
        self._is_leaving = is_leaving
        self._well = make_response(200, _HEADERS, b"ok\n", settings.headers)
        self._leaving = make_response(503, _HEADERS, b"draining\n", settings.headers)

    def answer(self, request: Request) -> Response:  # noqa: ARG002 every handler is given it
        return self._leaving if self._is_leaving() else self._well
