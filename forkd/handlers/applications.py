"""Importing all that a configuration names: once in each worker, or once for all in a template."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from forkd.config.address import Address
from forkd.config.settings import (
    ApplicationRoute,
    HandlerRoute,
    MetricsRoute,
    PagesRoute,
    Settings,
    WsgiRoute,
)
from forkd.handlers.imports import load, load_metrics, offer_cgi_class, prepare, prepare_pages
from forkd.handlers.raw import HandlerClass, load_class

Told = Callable[[str], None]
"""Called with a text about an import."""


@dataclass(slots=True)
class Applications:
    """What was imported. It holds nothing that a process cannot share with those it forks."""

    routes: dict[tuple[int, str], object] = field(default_factory=dict)
    """Applications and handler classes by number of the site and pattern of the route."""
    listeners: dict[Address, HandlerClass] = field(default_factory=dict)


def _no_matter(_text: str) -> None:
    pass


def import_applications(
    settings: Settings, importing: Told = _no_matter, imported: Told = _no_matter
) -> Applications:
    """Import it all, in the order of the file. Pages are imported when they are first asked for.

    importing: told what comes next, as a person would say it. imported: told the place in the
    configuration of what has been imported; it may raise.

    Raises OperationError. Changes the directory, the path of modules and the environment of this
    process where anything is imported.
    """
    found = Applications()
    if not has_applications(settings):
        return found
    _prepare(settings)
    for number, site in enumerate(settings.sites):
        for pattern, route in site.routes.items():
            key = f"sites.{number}.routes.{pattern}"
            if isinstance(route, WsgiRoute):
                importing(f"{route.wsgi} ({key}.wsgi)")
                found.routes[number, pattern] = load(route.wsgi, f"{key}.wsgi")
            elif isinstance(route, HandlerRoute):
                # What serves them takes memory that most workers can do without.
                import forkd.handlers.http_handler  # noqa: F401

                importing(f"{route.handler} ({key}.handler)")
                found.routes[number, pattern] = load(route.handler, f"{key}.handler")
            elif isinstance(route, MetricsRoute):
                load_metrics(f"{key}.metrics")  # to be shared, where this is a template
            else:
                continue
            imported(key)
    for number, listen in enumerate(settings.listen):
        if listen.handler is not None:
            key = f"listen.{number}.handler"
            importing(f"{listen.handler} ({key})")
            found.listeners[listen.address] = load_class(listen, key)
            imported(key)
    return found


def has_applications(settings: Settings) -> bool:
    """Whether anything that is configured is called in threads."""
    return any(listen.handler is not None for listen in settings.listen) or any(
        isinstance(route, ApplicationRoute | PagesRoute)
        for site in settings.sites
        for route in site.routes.values()
    )


def _prepare(settings: Settings) -> None:
    """What all applications share: the directory, the path of modules, and the environment."""
    os.chdir(settings.root)
    for site in settings.sites:
        for route in site.routes.values():
            if isinstance(route, ApplicationRoute):
                prepare((*route.path, settings.root), route.env)
            if isinstance(route, PagesRoute):
                prepare((settings.root,), {})
                prepare_pages(route.pages)
            if isinstance(route, HandlerRoute):
                offer_cgi_class()
    for listen in settings.listen:
        if listen.handler is not None:
            prepare((*listen.path, settings.root), {})
