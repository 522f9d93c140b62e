"""The sites of a configuration with their routes to be found, and no handlers behind them."""

from __future__ import annotations

import ipaddress

from forkd.config.networks import ALL, Family, Network
from forkd.config.settings import (
    CgiRoute,
    HandlerRoute,
    HealthRoute,
    MetricsRoute,
    PagesRoute,
    RedirectRoute,
    RespondRoute,
    Settings,
    Site,
    StaticRoute,
    StatusRoute,
    WsgiRoute,
)
from forkd.config.settings import Route as RouteSettings
from forkd.figures.counting import Figures
from forkd.handlers.base import Match, Request, Response, Route
from forkd.handlers.clients import Clients
from forkd.handlers.routes import Router, SiteRoutes


class Named:
    """Stands where a route needs a handler, and is not asked: it tells which route it is."""

    methods = None

    def __init__(self, number: int, site: Site, settings: RouteSettings) -> None:
        self.number = number
        self.site = site
        self.settings = settings

    def answer(self, request: Request) -> Response:
        raise AssertionError(f"asked for {request.head.target!r}")


class Sites:
    """All of them."""

    def __init__(self, settings: Settings) -> None:
        self.routes = {
            number: SiteRoutes(
                site.host,
                [_route(number, site, pattern, route) for pattern, route in site.routes.items()],
                _clients(site.allow, site.deny),
            )
            for number, site in enumerate(settings.sites)
        }
        self._router = Router(self.routes.values())

    def find(self, host: str) -> tuple[int, SiteRoutes] | None:
        """The site for a host, with its number."""
        found = self._router.site(host)
        return next(((number, one) for number, one in self.routes.items() if one is found), None)


def named(match: Match) -> Named:
    """Which route it is."""
    found = match.route.handler
    assert isinstance(found, Named)
    return found


def is_program(routes: SiteRoutes, path: str) -> bool:
    """Whether a path of a site belongs to a route of programs."""
    match = routes.find(path)
    programs = CgiRoute | WsgiRoute | HandlerRoute | PagesRoute
    return match is not None and isinstance(named(match).settings, programs)


def action(route: RouteSettings) -> str:
    """As it is written: the action and what it names."""
    match route:
        case StaticRoute():
            return f"static: {route.static}"
        case CgiRoute():
            return f"cgi: {route.cgi}"
        case WsgiRoute():
            return f"wsgi: {route.wsgi}"
        case HandlerRoute():
            return f"handler: {route.handler}"
        case PagesRoute():
            return f"pages: {route.pages}"
        case RedirectRoute():
            return f"redirect: {route.redirect}"
        case RespondRoute():
            return "respond"
        case StatusRoute():
            return "status: true"
        case HealthRoute():
            return "health: true"
        case MetricsRoute():
            return "metrics: true"


def written(networks: tuple[Network, ...]) -> str:
    """Clients as a configuration names them."""
    return ", ".join(map(_written, networks))


def _written(network: Network) -> str:
    match network.family:
        case Family.IPV4:
            return str(ipaddress.IPv4Network((network.first, network.length)))
        case Family.IPV6:
            return str(ipaddress.IPv6Network((network.first, network.length)))
        case _:
            return "all" if network == ALL else "unix:"


def _route(number: int, site: Site, pattern: str, route: RouteSettings) -> Route:
    return Route(
        pattern,
        Named(number, site, route),
        Figures().unrouted,
        max_body=0,
        methods=None,
        rules=route.headers,
        clients=_clients(route.allow or site.allow, route.deny or site.deny),
    )


def _clients(allow: tuple[Network, ...], deny: tuple[Network, ...]) -> Clients | None:
    return Clients(allow, deny) if allow or deny else None
