"""What is imposed on the programs of a route.

A spawner has one policy and imposes it on all that it starts, so routes that impose the same share
their spawners.
"""

from __future__ import annotations

import math
import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from forkd.config.settings import CgiLimits, CgiRoute, Sandbox, Settings


@dataclass(frozen=True, slots=True)
class SpawnPolicy:
    """What a spawner imposes on the programs that it starts. There is a pool for each."""

    user: str | None = None
    """Whom programs run as; None: as the workers."""
    group: str | None = None
    no_new_privileges: bool = True
    sandbox: Sandbox | None = None
    """With all that the programs of these routes must reach."""
    processes: int | None = None
    """The most that the user, or the program's cgroup, may have. On the spawner, since a program
    could be faster than one who limits it afterwards."""
    limits: tuple[tuple[int, int], ...] = ()
    """Those of each program (`resource_limits`). They come with each order; here, so that what
    programs leave behind is among those of the same limits."""
    max_concurrent: int | None = None
    max_queued: int = 0
    route: str = ""
    """Named only where its programs are counted."""


def policy_of(route: CgiRoute, name: str) -> SpawnPolicy:
    """The policy of a route. name: tells it from all others."""
    sandbox = route.sandbox
    if sandbox is not None:
        given = (_directory(route.cgi), *route.interpreters.values())
        sandbox = Sandbox(
            read=tuple(sorted({*sandbox.read, *given})),
            write=tuple(sorted(set(sandbox.write))),
            network=sandbox.network,
            best_effort=sandbox.best_effort,
        )
    counts = route.max_concurrent is not None
    return SpawnPolicy(
        user=route.user,
        group=route.group,
        no_new_privileges=route.no_new_privileges,
        sandbox=sandbox,
        processes=route.limits.processes,
        limits=resource_limits(route.limits),
        max_concurrent=route.max_concurrent,
        max_queued=route.max_queued if counts else 0,
        route=name if counts else "",
    )


RouteKey = tuple[int, str]
"""The number of a site, and a pattern of it."""


def policies(settings: Settings) -> Mapping[RouteKey, SpawnPolicy]:
    """The policy of each CGI route. Looks at the file system, so it is worked out once for all."""
    return {
        (number, pattern): policy_of(route, f"{number} {pattern}")
        for number, pattern, route in cgi_routes(settings)
    }


def cgi_routes(settings: Settings) -> Iterator[tuple[int, str, CgiRoute]]:
    """All routes of programs, with the number of the site and the pattern."""
    for number, site in enumerate(settings.sites):
        for pattern, route in site.routes.items():
            if isinstance(route, CgiRoute):
                yield number, pattern, route


def has_own_user(policy: SpawnPolicy, settings: Settings, uid: int | None) -> bool:
    """Whether the kernel can count a policy's processes by their user (setrlimit(2),
    RLIMIT_NPROC), who is then no other's: neither the workers' nor root, who has no such limit.

    uid: whom its spawners become; None: they stay who the master is.
    """
    return uid not in (None, 0) and policy.user not in (None, settings.user)


def resource_limits(limits: CgiLimits) -> tuple[tuple[int, int], ...]:
    """The limits of each program: pairs of a resource (getrlimit(2)) and a number."""
    wanted = (
        (resource.RLIMIT_CPU, None if limits.cpu is None else math.ceil(limits.cpu)),
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_FSIZE, limits.file_size),
        (resource.RLIMIT_NOFILE, limits.open_files),
    )
    return tuple((kind, number) for kind, number in wanted if number is not None)


def _directory(cgi: Path) -> Path:
    """Of one program, where it lies: it starts there."""
    return cgi if cgi.is_dir() else cgi.parent
