"""`metrics: true`: all figures for Prometheus, in its text format or as OpenMetrics.

Imported only where a route wants it, since prometheus_client is an option and takes memory.
"""

from __future__ import annotations

import json

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from forkd.config.settings import MetricsRoute
from forkd.handlers.asking import AskingJob, Master
from forkd.handlers.base import Request, Response, make_response
from forkd.handlers.exposition import Collector


class Metrics:
    """Whichever worker is asked, the figures are those of all."""

    methods = frozenset({"GET", "HEAD"})

    def __init__(self, settings: MetricsRoute, master: Master) -> None:
        self._settings = settings
        self._master = master

    def answer(self, request: Request) -> AskingJob:
        return AskingJob(request, self._settings.headers, self._master, self._respond)

    def _respond(self, request: Request, answer: bytes) -> Response:
        accept = [value for name, value in request.head.headers if name == b"accept"]
        try:
            encode, content_type = choose_encoder(b",".join(accept).decode("latin-1"))
        except (TypeError, ValueError):  # a version in it that is none
            encode, content_type = choose_encoder("")
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Collector(json.loads(answer)))
        headers = ((b"Content-Type", content_type.encode()), (b"Cache-Control", b"no-store"))
        return make_response(200, headers, encode(registry), self._settings.headers)
