"""Programs that a static route sends as files, since they lie in its directory: their source."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from forkd.config.policy import cgi_routes
from forkd.config.settings import Settings, StaticRoute

_ANY_NAME = "x"


def exposed_programs(settings: Settings) -> Iterator[str]:
    """A line for each route of programs that a static route shows at an address of its own. Looks
    at the file system, for links."""
    for number, site in enumerate(settings.sites):
        for pattern, route in site.routes.items():
            if not isinstance(route, StaticRoute):
                continue
            for cgi_number, cgi_pattern, cgi in cgi_routes(settings):
                target = _target(pattern, str(route.static), cgi_pattern, str(cgi.cgi))
                if target is not None and taker(site.routes, target) == pattern:
                    yield (
                        f"sites.{number}.routes.{pattern}.static: sends the source of the programs "
                        f"of sites.{cgi_number}.routes.{cgi_pattern}, as at {target} (keep "
                        f"{cgi.cgi} out of {route.static})"
                    )


def taker(patterns: Iterable[str], path: str) -> str | None:
    """The pattern of a site that takes a path: itself, else the longest suffix that a name in it
    ends with, else the longest prefix.

    As handlers/routes.py finds it, of which the master, who asks here, loads nothing.
    """
    known = set(patterns)
    if path in known and not path.endswith("/"):
        return path
    names = path.split("/")[1:]
    suffixes = [
        pattern
        for pattern in known
        if pattern.startswith("*")
        and any(name.endswith(pattern[1:]) and name != pattern[1:] for name in names)
    ]
    if suffixes:
        return max(suffixes, key=len)
    if f"{path}/" in known:
        return None  # redirected there
    prefixes = [pattern for pattern in known if pattern.endswith("/") and path.startswith(pattern)]
    return max(prefixes, key=len, default=None)


def _target(pattern: str, static: str, cgi_pattern: str, cgi: str) -> str | None:
    """Where a static route would have a program; None where it has none."""
    is_directory = os.path.isdir(cgi)
    static, cgi = os.path.realpath(static), os.path.realpath(cgi)
    if static == cgi and not is_directory:
        return pattern if not pattern.startswith("*") else None
    if os.path.commonpath((static, cgi)) != static:
        return None
    parts = [part for part in os.path.relpath(cgi, static).split("/") if part != "."]
    if any(part.startswith(".") for part in parts):
        return None  # hidden from everybody
    if is_directory:
        parts.append(_ANY_NAME + (cgi_pattern[1:] if cgi_pattern.startswith("*") else ""))
    if pattern.startswith("*"):
        if not parts[-1].endswith(pattern[1:]) and not (is_directory and parts[-1] == _ANY_NAME):
            return None
        return "/" + "/".join(parts).removesuffix(pattern[1:]) + pattern[1:]
    return pattern + "/".join(parts)
