"""Answers that the server gives before any handler is asked."""

from __future__ import annotations

from collections.abc import Iterable

from forkd.handlers.base import KNOWN_METHODS, Response, make_response
from forkd.handlers.quoting import quote_path
from forkd.proto.http1.head import Head
from forkd.proto.http1.response import error_page
from forkd.server.context import Server


def route_missing(server: Server, head: Head) -> Response:
    """No route takes the path: a redirection where only its slash is missing, else 404."""
    if head.path == "*":
        return _options({"GET", "HEAD", "OPTIONS"})
    site = server.router.site(head.host)
    if site is None or not site.wants_slash(head.path):
        return server.error(404)
    location = quote_path(head.path) + b"/" + (b"?" + head.query if head.query else b"")
    # 308 keeps the method and the body of what is no GET (RFC 9110 15.4.9).
    status = 301 if head.method in ("GET", "HEAD") else 308
    headers = [(b"Location", location), (b"Content-Type", b"text/plain; charset=utf-8")]
    return make_response(status, headers, b"See " + location + b"\n")


def refuse_method(server: Server, method: str, allowed: Iterable[str]) -> Response:
    """405 with Allow, 501 for a method that nobody knows, and the answer to OPTIONS."""
    if method == "OPTIONS":
        return _options({*allowed, "OPTIONS"})
    if method not in KNOWN_METHODS:
        return server.error(501)
    headers = [
        (b"Allow", ", ".join(sorted({*allowed, "OPTIONS"})).encode()),
        (b"Content-Type", b"text/html; charset=utf-8"),
    ]
    return make_response(405, headers, error_page(405))


def _options(allowed: Iterable[str]) -> Response:
    return make_response(200, [(b"Allow", ", ".join(sorted(allowed)).encode())], b"")
