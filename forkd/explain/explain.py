"""From a URL to its route, in the order in which a worker decides; then to what the route does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import NoReturn

from forkd.config.settings import (
    CgiRoute,
    HandlerRoute,
    HealthRoute,
    MetricsRoute,
    PagesRoute,
    RedirectRoute,
    RespondRoute,
    StaticRoute,
    StatusRoute,
    WsgiRoute,
)
from forkd.config.settings import Route as RouteSettings
from forkd.errors import OperationError, ProtocolError
from forkd.explain.files import explain_page, explain_static
from forkd.explain.programs import Users, explain_program
from forkd.explain.question import Question, parse_question, request_head, usual_host
from forkd.explain.report import Ends, Report
from forkd.explain.serving import Serving
from forkd.explain.sites import Sites, action, is_program, named, written
from forkd.handlers.base import KNOWN_METHODS, Match, Peer, Request
from forkd.handlers.clients import Clients
from forkd.handlers.pages import Pages
from forkd.handlers.respond import Redirect, Respond
from forkd.handlers.routes import SiteRoutes
from forkd.proto.http1.head import Head, parse_head
from forkd.proto.http1.limits import HeadLimits
from forkd.system.credentials import current_user
from forkd.system.impersonation import wearing

_MOST_PASSED_ON = 10
_FILE_METHODS = frozenset({"GET", "HEAD"})
_PEER = Peer("127.0.0.1", 0, "", 80, "http")


def explain(serving: Serving, request: Mapping[str, object]) -> dict[str, object]:
    """What would answer a request: `url`, and where they matter `method` and `client`.

    Raises OperationError where the question makes no sense.
    """
    question = parse_question(request)
    report = Report()
    try:
        _Search(serving, question, report).run()
    except Ends as how:
        report.end(how)
    return report.answer()


class _Search:
    """Ends by raising Ends."""

    def __init__(self, serving: Serving, question: Question, report: Report) -> None:
        self._serving = serving
        self._settings = serving.settings
        self._question = question
        self._report = report
        self._sites = Sites(self._settings)

    def run(self) -> None:
        head = self._head(request_head(self._question, self._authority()))
        for _ in range(_MOST_PASSED_ON + 1):
            target = self._answer(head)
            self._report.say("passed on to", target.decode("latin-1"))
            # As server.dispatch does it: the site stays, whatever form the target had.
            line = b"%b http://%b%b HTTP/1.1" % (head.method.encode(), head.authority, target)
            head = self._head(line + head.raw[head.raw.index(b"\r\n") :])
        raise Ends(500, f"it is passed on more than {_MOST_PASSED_ON} times")

    def _authority(self) -> str:
        if self._question.authority is not None:
            return self._question.authority
        host = usual_host(self._settings)
        self._report.say("host", f"{host} (none was given)")
        return host

    def _head(self, data: bytes) -> Head:
        limits = self._settings.limits
        try:
            return parse_head(
                data,
                HeadLimits(limits.max_request_line, limits.max_header_size, limits.max_headers),
            )
        except ProtocolError as error:
            raise Ends(error.status, error.reason) from None

    def _answer(self, head: Head) -> bytes:
        """Give the target that is to answer instead, where the request does not end here."""
        found = self._sites.find(head.host)
        if found is None:
            raise Ends(404, f"no site has the host {head.host}, and none is for all others")
        number, site = found
        hosts = ", ".join(site.hosts) or "any host that no other site names"
        self._report.say("site", f"sites.{number} ({hosts})")
        match = site.find(head.path)
        if match is None:
            self._end_without_route(site, head)
        route = named(match).settings
        self._report.say("route", f"{match.route.pattern} ({action(route)})")
        allow, deny = route.allow or named(match).site.allow, route.deny or named(match).site.deny
        if allow or deny:
            self._report.say("allow", written(allow) or "all")
            self._report.say("deny", written(deny) or "none")
        self._refuse_client(match.route.clients, match.route.pattern)
        return self._ask(site, head, match)

    def _end_without_route(self, site: SiteRoutes, head: Head) -> NoReturn:
        path = head.path
        self._refuse_client(site.clients_of(path), "the site")
        if path == "*":
            raise Ends(200, "and the methods that there are")
        if site.wants_slash(path):
            status = 301 if head.method in _FILE_METHODS else 308
            raise Ends(status, f"to {path}/, which is a route: {path} is none")
        raise Ends(404, f"no route of the site takes {path}")

    def _ask(self, site: SiteRoutes, head: Head, match: Match) -> bytes:
        """What the route's handler would do."""
        report, settings = self._report, self._settings
        route, number = named(match).settings, named(match).number
        request = Request(head, match, _PEER, 0.0, 0)
        match route:
            case StaticRoute():
                # Behind a fallback there may be an application, which has methods of its own.
                self._check_method(None if route.fallback else _FILE_METHODS, route)
                with wearing(self._serving.workers):
                    report.say("user", current_user())
                    return explain_static(route, request, partial(is_program, site), report)
            case CgiRoute():
                self._check_method(None, route)
                policy = self._serving.policies[number, match.route.pattern]
                users = Users(self._serving.workers, self._serving.programs[policy])
                site_settings = named(match).site
                explain_program(settings, site_settings, route, policy, request, users, report)
            case PagesRoute():
                self._check_method(Pages.methods, route)
                report.say("timeout", f"{settings.request_timeout(route):g} s")
                with wearing(self._serving.workers):
                    report.say("user", current_user())
                    explain_page(route, request)
            case WsgiRoute() | HandlerRoute():
                self._check_method(None, route)
                report.say("timeout", f"{settings.request_timeout(route):g} s")
                target = route.wsgi if isinstance(route, WsgiRoute) else route.handler
                raise Ends(None, f"the application {target}")
            case RedirectRoute():
                self._check_method(Redirect.methods, route)
                response = Redirect(route).answer(request)
                location = response.body.decode("latin-1").removeprefix("See ").strip()
                raise Ends(response.status, f"to {location}")
            case RespondRoute():
                self._check_method(Respond.methods, route)
                size = len(route.respond.encode())
                raise Ends(route.status, f"and the text of the route ({size} bytes)")
            case StatusRoute() | HealthRoute() | MetricsRoute():
                self._check_method(_FILE_METHODS, route)
                raise Ends(None, f"forkd itself ({action(route)})")
        raise AssertionError("every other route has ended it")

    def _check_method(self, methods: Iterable[str] | None, route: RouteSettings) -> None:
        """methods: those of the action; None: any."""
        allowed = None if methods is None else set(methods)
        if route.methods:
            allowed = set(route.methods) if allowed is None else allowed & set(route.methods)
        self._report.say("methods", "any" if allowed is None else ", ".join(sorted(allowed)))
        method = self._question.method
        if allowed is None or method in allowed:
            return
        if method == "OPTIONS":
            raise Ends(200, "and the methods that are allowed")
        if method not in KNOWN_METHODS:
            raise Ends(501, f"nobody knows the method {method}")
        raise Ends(405, f"the route does not allow the method {method}")

    def _refuse_client(self, clients: Clients | None, whose: str) -> None:
        client = self._question.client
        if clients is None or client is None:
            return
        try:
            welcome = clients.welcome("" if client == "unix:" else client)
        except ValueError:
            raise OperationError(f"{client!r} is no address of a client") from None
        if not welcome:
            raise Ends(403, f"client {client}: refused by allow and deny of {whose}")
