"""`respond: TEXT` and `redirect: TARGET`: answers that need nothing but the configuration."""

from __future__ import annotations

from forkd.config.settings import RedirectRoute, RespondRoute
from forkd.handlers.base import KNOWN_METHODS, Request, Response, make_response
from forkd.handlers.quoting import quote_path


class Respond:
    """The same text for every request."""

    methods = frozenset({"GET", "HEAD"})

    def __init__(self, settings: RespondRoute) -> None:
        headers = [(b"Content-Type", settings.content_type.encode())]
        body = settings.respond.encode()
        self._response = make_response(settings.status, headers, body, settings.headers)

    def answer(self, request: Request) -> Response:  # noqa: ARG002 every handler is given it
        return self._response


class Redirect:
    """Sends the client elsewhere. On a prefix the rest of the path and the query are kept."""

    methods = KNOWN_METHODS - {"CONNECT", "TRACE"}

    def __init__(self, settings: RedirectRoute) -> None:
        self._settings = settings

    def answer(self, request: Request) -> Response:
        location = self._settings.redirect.encode()
        if rest := request.match.rest.removeprefix("/"):
            # Quoted anew from the decoded path: what a client wrote cannot break out of the header.
            location = location.removesuffix(b"/") + b"/" + quote_path(rest)
        if request.head.query:
            joint = b"&" if b"?" in location else b"?"
            location += joint + request.head.query
        return see(self._settings.status, location, request)


def see(status: int, location: bytes, request: Request) -> Response:
    """A redirection with the short text that RFC 9110 15.4 asks for."""
    body = b"See " + location + b"\n"
    headers = [(b"Location", location), (b"Content-Type", b"text/plain; charset=utf-8")]
    return make_response(status, headers, body, request.match.route.rules)
