"""From the head of a request to its handler, and to what the handler gives back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from forkd.errors import ProtocolError
from forkd.handlers.base import Job, Peer, Request, Response
from forkd.handlers.clients import Clients
from forkd.handlers.files import refusal
from forkd.loop.stream import FileRange
from forkd.proto.http1.head import Head, parse_head
from forkd.server.context import Server
from forkd.server.refusals import refuse_method, route_missing

if TYPE_CHECKING:
    from forkd.server.http import HttpConnection

log = logging.getLogger("forkd.server")

_TRIES = 3
"""A file may be replaced between the moment it is looked at and that when it is opened. Then the
handler looks again, so that nobody gets a 404 for it."""

_NOT_REDIRECTED = frozenset(
    {
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"expect",
        b"host",
        b"transfer-encoding",
    }
)


def dispatch(
    connection: HttpConnection,
    server: Server,
    head: Head,
    peer: Peer,
    started: float,
    redirects: int,
) -> None:
    """Find the route and its handler, and have the connection send or start the answer."""
    match = server.router.find(head.host, head.path)
    if match is None:
        connection.figures = server.figures.unrouted
        site = server.router.site(head.host)
        clients = site.clients_of(head.path) if site is not None else None
        if clients is not None and _refuses(clients, peer, "the site"):
            connection.respond(server.error(403))
        else:
            connection.respond(route_missing(server, head))
        return
    route = match.route
    connection.figures = route.figures
    if route.clients is not None and _refuses(route.clients, peer, route.pattern):
        connection.respond(server.error(403))
        return
    allowed = route.methods
    if allowed is not None and head.method not in allowed:
        connection.respond(refuse_method(server, head.method, allowed))
        return
    if head.has_body:
        try:
            connection.reader.limit_body(route.max_body)
        except ProtocolError as error:
            connection.reject(error)
            return
    request = Request(head, match, peer, started, redirects)
    if server.lines is not None:
        connection.request = request
    answer, file = _ask(server, request)
    if isinstance(answer, Response):
        if answer.fresh_until > started and not head.has_body and route.clients is None:
            # What is remembered is given to whoever sends the same bytes, before anybody looks at
            # the client: so nothing is, where that matters.
            server.remember(request, answer)
        connection.respond(answer, file)
    else:
        connection.start(request, answer)


def _refuses(clients: Clients, peer: Peer, whose: str) -> bool:
    if clients.welcome(peer.address):
        return False
    log.info("client %s: refused by allow and deny of %s", peer.address or "unix:", whose)
    return True


def _ask(server: Server, request: Request) -> tuple[Response | Job, FileRange | None]:
    """What the handler answers, and the file that is the body where it is one."""
    route = request.match.route
    refused = 500
    for _ in range(_TRIES):
        try:
            answer = route.handler.answer(request)
        except Exception:
            log.exception("fault in a handler route=%s id=%s", route.pattern, request.id)
            break
        if not isinstance(answer, Response) or answer.open_file is None:
            return answer, None
        try:
            return answer, answer.open_file()
        except OSError as error:
            refused = refusal(error).value
    return server.error(refused), None


def as_get(target: bytes, head: Head, server: Server) -> Head:
    """The head of a local redirect (RFC 3875 6.2.2): the same client asks for another target.

    HEAD stays what it is, all else becomes GET. Raises ProtocolError where target is none.
    """
    method = b"HEAD" if head.method == "HEAD" else b"GET"
    lines = [b"%b %b HTTP/1.%d" % (method, target, head.version - 10)]
    if head.authority:
        # Of an absolute target the Host does not count: both requests must be for one site.
        lines.append(b"Host: " + head.authority)
    lines += [b"%b: %b" % pair for pair in head.headers if pair[0] not in _NOT_REDIRECTED]
    return parse_head(b"\r\n".join(lines) + b"\r\n\r\n", server.head_limits)


def at_target(target: bytes, head: Head, server: Server) -> Head:
    """The head of the same request for another target, of which programs are told nothing: a front
    controller wants to know what the client asked for. Raises ProtocolError where it is none."""
    if not head.target.startswith(b"/"):
        # Of an absolute target the Host does not count: both must be for one site.
        target = b"http://" + head.authority + target
    line = b"%b %b HTTP/1.%d" % (head.method.encode("ascii"), target, head.version - 10)
    other = parse_head(line + head.raw[head.raw.index(b"\r\n") :], server.head_limits)
    other.target = head.target
    return other
