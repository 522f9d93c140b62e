"""From the configuration's routes to handlers. One case for each action; nothing else knows all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import assert_never, cast

from forkd.config.networks import Network
from forkd.config.policy import RouteKey
from forkd.config.settings import (
    ApplicationRoute,
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
from forkd.config.settings import (
    Route as AnyRoute,
)
from forkd.errors import OperationError
from forkd.figures.counting import Figures
from forkd.figures.kinds import route_numbers
from forkd.handlers.applications import Applications
from forkd.handlers.asking import Master
from forkd.handlers.base import Handler, Route
from forkd.handlers.black_box import BlackBox
from forkd.handlers.cgi import Cgi
from forkd.handlers.clients import Clients
from forkd.handlers.health import Health
from forkd.handlers.imports import load_metrics
from forkd.handlers.media_types import MediaTypes
from forkd.handlers.open_files import OpenFiles
from forkd.handlers.pages import Pages
from forkd.handlers.programs import Launcher
from forkd.handlers.respond import Redirect, Respond
from forkd.handlers.routes import Router, SiteRoutes
from forkd.handlers.static import Static
from forkd.handlers.status import Status
from forkd.handlers.wsgi import Application, Wsgi
from forkd.loop.crew import Crew
from forkd.system.credentials import current_user, denied_directory


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers need of the process they run in."""

    launcher: Callable[[RouteKey], Launcher]
    """The launcher of the programs of a route."""
    environ: Mapping[str, str]
    files: OpenFiles
    crew: Crew
    master: Master
    """Who knows what forkd is doing."""
    meter: Master
    """Who knows all figures."""
    figures: Figures
    """What this process counts."""
    is_leaving: Callable[[], bool]
    """Whether load balancers should send requests elsewhere."""


def build_router(settings: Settings, applications: Applications, services: Services) -> Router:
    """All handlers of a configuration, ready to answer.

    Raises OperationError where this process's user cannot read what a route names.
    """
    builder = _Builder(settings, applications, services)
    sites = []
    for number, site in enumerate(settings.sites):
        routes = [
            builder.route(number, site, pattern, route) for pattern, route in site.routes.items()
        ]
        found = SiteRoutes(site.host, routes, _clients(site.allow, site.deny))
        sites.append(found)
        for one in routes:
            if isinstance(one.handler, Static):
                one.handler.is_program = partial(_is_program, site, found)
    return Router(sites)


class _Builder:
    def __init__(self, settings: Settings, applications: Applications, services: Services) -> None:
        self._settings = settings
        self._applications = applications
        self._services = services
        self._numbers = route_numbers(settings)

    @cached_property
    def _types(self) -> MediaTypes:
        """Made for the first route that needs it: the table is half a megabyte."""
        return MediaTypes()

    def route(self, number: int, site: Site, pattern: str, route: AnyRoute) -> Route:
        handler: Handler
        match route:
            case StaticRoute():
                _check_readable(str(route.static), f"sites.{number}.routes.{pattern}.static")
                handler = Static(route, self._types, self._services.files)
            case CgiRoute():
                _check_readable(str(route.cgi), f"sites.{number}.routes.{pattern}.cgi", os.X_OK)
                launcher = self._services.launcher((number, pattern))
                record = route.record
                handler = Cgi(
                    route,
                    document_root(self._settings, site),
                    launcher,
                    self._services.environ,
                    None if record is None else BlackBox(record, number, pattern),
                )
            case WsgiRoute():
                application = cast(Application, self._applications.routes[number, pattern])
                handler = Wsgi(
                    application,
                    str(route.wsgi),
                    route.headers,
                    route.env,
                    self._services.crew,
                    self._settings.request_timeout(route),
                )
            case HandlerRoute():
                # Here, since http.server takes memory that most workers can do without.
                from forkd.handlers.http_handler import HttpHandler

                key = f"sites.{number}.routes.{pattern}.handler"
                handler = HttpHandler(
                    self._applications.routes[number, pattern],
                    str(route.handler),
                    key,
                    route.headers,
                    route.strip_prefix,
                    self._services.crew,
                    self._settings.request_timeout(route),
                )
            case PagesRoute():
                key = f"sites.{number}.routes.{pattern}.pages"
                _check_readable(str(route.pages), key, os.X_OK)
                timeout_s = self._settings.request_timeout(route)
                handler = Pages(route, key, self._services.crew, timeout_s)
            case RedirectRoute():
                handler = Redirect(route)
            case RespondRoute():
                handler = Respond(route)
            case HealthRoute():
                handler = Health(route, self._services.is_leaving)
            case StatusRoute():
                handler = Status(route, self._services.master)
            case MetricsRoute():
                key = f"sites.{number}.routes.{pattern}.metrics"
                handler = load_metrics(key)(route, self._services.meter)
            case _:
                assert_never(route)
        methods = handler.methods
        if route.methods:
            # An application gets any method that the route allows, our handlers what they have.
            wanted = frozenset(route.methods)
            methods = wanted if methods is None else methods & wanted
        max_body = self._settings.max_body(site, route)
        return Route(
            pattern,
            handler,
            self._services.figures.route(self._numbers[number, pattern]),
            max_body=max_body,
            methods=methods,
            rules=route.headers,
            clients=_clients(route.allow or site.allow, route.deny or site.deny),
        )


def _clients(allow: Sequence[Network], deny: Sequence[Network]) -> Clients | None:
    return Clients(allow, deny) if allow or deny else None


def _is_program(site: Site, routes: SiteRoutes, path: str) -> bool:
    match = routes.find(path)
    if match is None:
        return False
    route = site.routes[match.route.pattern]
    return isinstance(route, CgiRoute | ApplicationRoute | PagesRoute)


def document_root(settings: Settings, site: Site) -> str:
    """The static root of `/` where there is one, else `root`."""
    route = site.routes.get("/")
    return str(route.static if isinstance(route, StaticRoute) else settings.root)


def _check_readable(path: str, key: str, directory_rights: int = os.R_OK | os.X_OK) -> None:
    """Find out now what would be a 403 for every request. A program may be fixed while we run."""
    is_directory = os.path.isdir(path)
    rights = directory_rights if is_directory else os.F_OK
    if os.access(path, rights, effective_ids=True):
        return
    if denied := denied_directory(path):
        raise OperationError(
            f"{key}: user {current_user()} cannot read {path}: the directory {denied} does not let "
            f"that user in (chmod o+x {denied}, or set `user`)"
        )
    if not os.path.exists(path):
        raise OperationError(f"{key}: {path} does not exist any more")
    raise OperationError(f"{key}: user {current_user()} cannot read {path} (see: ls -ld {path})")
