"""Finds the route of a request: by host the site, by path the route."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from forkd.handlers.base import Match, Route
from forkd.handlers.clients import Clients

_REMEMBERED = 4096
_LONGEST_REMEMBERED = 256
"""Paths are chosen by clients: without a bound they could fill the memory with long ones."""


class SiteRoutes:
    """The routes of one site. An exact match wins; then a suffix; then the longest prefix."""

    def __init__(
        self, hosts: Sequence[str], routes: Iterable[Route], clients: Clients | None = None
    ) -> None:
        """clients: who is answered where no route takes a path; None: everybody."""
        self.hosts = tuple(hosts)
        """Empty: any host that no other site names."""
        self._clients = clients
        self._exact: dict[str, Route] = {}
        self._suffixes: list[tuple[str, Route]] = []
        self._prefixes: dict[str, Route] = {}
        for route in routes:
            if route.pattern.startswith("*"):
                self._suffixes.append((route.pattern[1:], route))
            elif route.pattern.endswith("/"):
                self._prefixes[route.pattern] = route
            else:
                self._exact[route.pattern] = route
        # The longer suffix is the more particular one: .tar.gz before .gz.
        self._suffixes.sort(key=lambda pair: -len(pair[0]))

    def find(self, path: str) -> Match | None:
        if route := self._exact.get(path):
            return Match(route, path, "")
        if self._suffixes and (match := self._by_suffix(path)):
            return match
        if path + "/" in self._prefixes:
            return None  # redirected there, also where a shorter prefix would take it
        end = len(path)
        while (end := path.rfind("/", 0, end)) >= 0:
            if route := self._prefixes.get(path[: end + 1]):
                return Match(route, path[:end], path[end:])
        return None

    def wants_slash(self, path: str) -> bool:
        """Whether /prefix was asked for where /prefix/ is a route and /prefix is none."""
        return path + "/" in self._prefixes and path not in self._exact

    def clients_of(self, path: str) -> Clients | None:
        """Who is answered at a path that no route takes: where it is redirected to a route, those
        that this one answers, so that a redirection tells nobody else of it."""
        if self.wants_slash(path):
            return self._prefixes[path + "/"].clients
        return self._clients

    def _by_suffix(self, path: str) -> Match | None:
        for suffix, route in self._suffixes:
            start = 0
            while (at := path.find(suffix, start)) >= 0:
                end = at + len(suffix)
                # A whole name ends here, and it is more than the suffix alone.
                if (end == len(path) or path[end] == "/") and at > 0 and path[at - 1] != "/":
                    return Match(route, "", path, end)
                start = at + 1
        return None


class Router:
    """All sites of a configuration."""

    def __init__(self, sites: Iterable[SiteRoutes]) -> None:
        self._exact: dict[str, SiteRoutes] = {}
        self._wildcards: list[tuple[str, SiteRoutes]] = []
        self._default: SiteRoutes | None = None
        for site in sites:
            if not site.hosts:
                self._default = site
            for host in site.hosts:
                if host.startswith("*."):
                    self._wildcards.append((host[1:], site))
                else:
                    self._exact[host] = site
        self._wildcards.sort(key=lambda pair: -len(pair[0]))
        self._known: dict[tuple[str, str], Match] = {}

    def find(self, host: str, path: str) -> Match | None:
        """The route for a path, decoded and normalised; None where no route takes it."""
        match = self._known.get((host, path))
        if match is None:
            site = self.site(host)
            match = site.find(path) if site else None
            if match is not None and len(host) + len(path) <= _LONGEST_REMEMBERED:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[host, path] = match
        return match

    def site(self, host: str) -> SiteRoutes | None:
        """The site for a host: exact, then the longest wildcard, then the one without a host."""
        if found := self._exact.get(host):
            return found
        for suffix, site in self._wildcards:
            if host.endswith(suffix) and len(host) > len(suffix):
                return site
        return self._default
