"""Requests as handlers are given them, without a connection."""

from __future__ import annotations

from forkd.config.settings import HeaderChanges
from forkd.figures.counting import Figures
from forkd.handlers.base import Handler, Job, Match, Peer, Request, Response, Route
from forkd.proto.http1.head import parse_head
from forkd.proto.http1.limits import HeadLimits

PEER = Peer("192.0.2.9", 51000, "127.0.0.1", 8080, "http")


class NoHandler:
    """Stands where a route needs a handler that is never asked."""

    methods: frozenset[str] | None = None

    def answer(self, request: Request) -> Response | Job:
        raise AssertionError(f"asked for {request.head.target!r}")


def route(
    pattern: str, handler: Handler | None = None, rules: HeaderChanges | None = None
) -> Route:
    figures = Figures().route(1)
    return Route(pattern, handler or NoHandler(), figures, max_body=1000, methods=None, rules=rules)


def request(
    target: str = "/",
    *headers: str,
    method: str = "GET",
    prefix: str = "",
    rest: str | None = None,
    segment_end: int = 0,
    started: float = 100.0,
    version: str = "1.1",
    rules: HeaderChanges | None = None,
) -> Request:
    """What a connection makes of these lines. `rest` is the decoded path behind `prefix`."""
    lines = [f"{method} {target} HTTP/{version}", "Host: example.org", *headers]
    data = ("\r\n".join(lines) + "\r\n\r\n").encode()
    head = parse_head(data, HeadLimits())
    if rest is None:
        rest = head.path.removeprefix(prefix)
    match = Match(route(prefix + "/", rules=rules), prefix, rest, segment_end)
    return Request(head, match, PEER, started, 0)


def fields(response: Response) -> dict[str, str]:
    """The header lines of a response by their names."""
    _, *lines = response.prefix.decode().removesuffix("\r\n").split("\r\n")
    return dict(line.split(": ", 1) for line in lines)
