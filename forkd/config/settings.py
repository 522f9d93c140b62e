"""What running processes are given of a configuration: plain data, read and checked.

The fields are those of the models in model.py and routes.py, which say what they mean, how they are
written and what stands for them when they are left out. Nothing here may import what reads files:
every process that serves has this module in its memory (decision 0013).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from forkd.config.address import Address
from forkd.config.networks import Network
from forkd.config.targets import Target

MAX_WORKERS: Final = 512


@dataclass(frozen=True, slots=True)
class Listen:
    """One listener."""

    protocol: Literal["http", "tcp", "udp"]
    address: Address
    mode: int
    owner: str | None
    group: str | None
    handler: Target | None
    path: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Workers:
    """The pool of processes that serve."""

    count: int | Literal["auto"]
    min: int | None
    max: int | None
    idle_timeout: float
    threads: int
    preload: bool
    dev: bool
    max_requests: int
    max_requests_jitter: int
    max_rss: int
    request_timeout: float
    boot_timeout: float
    hang_timeout: float
    shutdown_timeout: float

    def number(self, cpus: int) -> int:
        """How many workers run at first on a machine with `cpus` usable CPUs."""
        if self.min is not None:
            return self.min
        return min(max(cpus, 1), MAX_WORKERS) if self.count == "auto" else self.count

    def most(self, cpus: int) -> int:
        """How many may run there, however the load grows."""
        return self.max if self.max is not None else self.number(cpus)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may ask for, and how long it may take. Seconds, bytes and numbers."""

    header_timeout: float
    body_timeout: float
    write_timeout: float
    keepalive_timeout: float
    keepalive_requests: int
    max_request_line: int
    max_header_size: int
    max_headers: int
    max_body: int
    max_connections: int


@dataclass(frozen=True, slots=True)
class AccessLog:
    """A line for each request."""

    file: Path | Literal["stdout", "stderr"]
    format: str
    """common, combined, json, or a template (config/access_template.py)."""


@dataclass(frozen=True, slots=True)
class ErrorLog:
    """What happened, and what a person must do."""

    file: Path | Literal["stdout", "stderr"]
    level: Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Log:
    """The two logs."""

    access: AccessLog | None
    error: ErrorLog


@dataclass(frozen=True, slots=True)
class HeaderChanges:
    """What is done to the headers of a response: remove first, then set, then add."""

    add: dict[str, str]
    set: dict[str, str]
    remove: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RouteOptions:
    """What every route has beside its action."""

    max_body: int | None
    methods: tuple[str, ...]
    headers: HeaderChanges
    allow: tuple[Network, ...]
    deny: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class StaticRoute(RouteOptions):
    """Files."""

    static: Path
    index: tuple[str, ...]
    listing: bool
    compress: bool
    cache_control: str | None
    fallback: str | None
    follow_symlinks: Literal["within", "owner", "all", "none"]


@dataclass(frozen=True, slots=True)
class CgiLimits:
    """What each program may use; None: no limit."""

    cpu: float | None
    """Seconds."""
    memory: int | None
    processes: int | None
    file_size: int | None
    open_files: int | None


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What programs may reach beside what they need to run at all."""

    read: tuple[Path, ...]
    write: tuple[Path, ...]
    network: bool
    best_effort: bool


@dataclass(frozen=True, slots=True)
class CgiRoute(RouteOptions):
    """Programs, RFC 3875."""

    cgi: Path
    timeout: float
    env: dict[str, str]
    pass_env: tuple[str, ...]
    pass_authorization: bool
    on_disconnect: Literal["kill", "finish"]
    no_new_privileges: bool
    user: str | None
    group: str | None
    interpreters: dict[str, Path]
    limits: CgiLimits
    sandbox: Sandbox | None
    max_concurrent: int | None
    max_queued: int
    x_sendfile: tuple[Path, ...]
    record: Path | None
    warm: Literal[False]


@dataclass(frozen=True, slots=True)
class ApplicationRoute(RouteOptions):
    """What applications that are imported into the workers have in common."""

    path: tuple[Path, ...]
    env: dict[str, str]
    timeout: float | None


@dataclass(frozen=True, slots=True)
class WsgiRoute(ApplicationRoute):
    """An application, PEP 3333."""

    wsgi: Target


@dataclass(frozen=True, slots=True)
class HandlerRoute(ApplicationRoute):
    """A subclass of http.server.BaseHTTPRequestHandler."""

    handler: Target
    strip_prefix: bool


@dataclass(frozen=True, slots=True)
class PagesRoute(RouteOptions):
    """Python files that answer."""

    pages: Path
    timeout: float | None


@dataclass(frozen=True, slots=True)
class RedirectRoute(RouteOptions):
    """Another place."""

    redirect: str
    status: int


@dataclass(frozen=True, slots=True)
class RespondRoute(RouteOptions):
    """A fixed text."""

    respond: str
    status: int
    content_type: str


@dataclass(frozen=True, slots=True)
class StatusRoute(RouteOptions):
    """What forkd is doing, as a page and as JSON."""

    status: Literal[True]


@dataclass(frozen=True, slots=True)
class HealthRoute(RouteOptions):
    """Whether this host is in service, for load balancers."""

    health: Literal[True]


@dataclass(frozen=True, slots=True)
class MetricsRoute(RouteOptions):
    """Figures for Prometheus."""

    metrics: Literal[True]


Route = (
    StaticRoute
    | CgiRoute
    | WsgiRoute
    | HandlerRoute
    | PagesRoute
    | RedirectRoute
    | RespondRoute
    | StatusRoute
    | HealthRoute
    | MetricsRoute
)


@dataclass(frozen=True, slots=True)
class Site:
    """Hosts and what is served under them."""

    host: tuple[str, ...]
    max_body: int | None
    allow: tuple[Network, ...]
    deny: tuple[Network, ...]
    routes: dict[str, Route]


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration of forkd."""

    root: Path
    user: str | None
    group: str | None
    pid_file: Path | None
    control: Path
    listen: tuple[Listen, ...]
    workers: Workers
    limits: Limits
    log: Log
    sites: tuple[Site, ...]

    def max_body(self, site: Site, route: Route) -> int:
        """The largest request body of a route in bytes: its own, its site's, or that of limits."""
        for limit in (route.max_body, site.max_body):
            if limit is not None:
                return limit
        return self.limits.max_body

    def request_timeout(self, route: ApplicationRoute | PagesRoute) -> float:
        """Seconds that an application may take for a request: its route's own, or the workers'."""
        return self.workers.request_timeout if route.timeout is None else route.timeout

    @property
    def request_timeouts(self) -> list[float]:
        """Those of all routes that application code answers for."""
        return [
            self.request_timeout(route)
            for site in self.sites
            for route in site.routes.values()
            if isinstance(route, ApplicationRoute | PagesRoute)
        ]
