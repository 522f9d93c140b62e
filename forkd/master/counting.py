"""The master's part in cgroups for programs: it makes room for them, and sees that somebody counts
what `limits.processes` limits."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from forkd.config.policy import RouteKey, SpawnPolicy, cgi_routes, has_own_user
from forkd.config.settings import Settings
from forkd.errors import OperationError
from forkd.system import cgroups
from forkd.system.credentials import Identity, current_user, user_id

log = logging.getLogger("forkd.master")

_ADVICE = (
    "give the route a `user` of its own, or run forkd in a delegated cgroup (Delegate=pids in its "
    "systemd unit)"
)


def prepare(
    base: Path | None,
    settings: Settings,
    of_routes: Mapping[RouteKey, SpawnPolicy],
    identities: Mapping[SpawnPolicy, Identity | None],
) -> None:
    """Make ready what the spawners of a generation need: to be called before they are forked, and
    for the first time before any child is.

    base: the cgroup that is delegated. Raises OperationError where nobody can count what
    `limits.processes` limits.
    """
    if base is not None:
        try:
            # Whatever this generation needs: the next one cannot move the children of this one.
            cgroups.settle(base)
        except OSError as error:
            log.warning("the delegated cgroup %s cannot be used: %s", base, error.strerror)
            base = None
    uncounted = [
        (key, user)
        for key, policy, user in _limited(settings, of_routes)
        if not has_own_user(policy, settings, _uid(identities[policy]))
    ]
    if not uncounted or (why := _why_not_counted(base)) is None:
        return
    raise OperationError(
        "\n".join(
            f"{key}: counts every process of user {user}: {_ADVICE}{why}" for key, user in uncounted
        )
    )


def sweep() -> None:
    """Remove what spawners that are gone have left."""
    if (base := cgroups.delegated()) is not None:
        cgroups.sweep(base)


def notes(
    base: Path | None, settings: Settings, of_routes: Mapping[RouteKey, SpawnPolicy]
) -> list[str]:
    """For `forkd -t`, which is run by hand as a rule, while the service has a cgroup of its own:
    what is right only there."""
    if base is not None and cgroups.offers_pids(base):
        return []
    return [
        f"{key}: needs a delegated cgroup (Delegate=pids in the systemd unit) or a `user` of the "
        f"route's own, or else counts every process of user {user} and forkd does not start; this "
        "check was run in no such cgroup"
        for key, policy, user in _limited(settings, of_routes)
        if not has_own_user(policy, settings, None if os.geteuid() else _named_uid(policy))
    ]


def _limited(
    settings: Settings, of_routes: Mapping[RouteKey, SpawnPolicy]
) -> Iterator[tuple[str, SpawnPolicy, str]]:
    """Each route that limits processes: the key, its policy, and whose programs they are."""
    workers = settings.user if settings.user and os.geteuid() == 0 else current_user()
    for number, pattern, _ in cgi_routes(settings):
        policy = of_routes[number, pattern]
        if policy.processes is not None:
            key = f"sites.{number}.routes.{pattern}.limits.processes"
            yield key, policy, policy.user or workers


def _why_not_counted(base: Path | None) -> str | None:
    """After the advice, what is wrong with the cgroup that there is; None where it counts now."""
    if base is None:
        return ""
    if not cgroups.offers_pids(base):
        return f": {base} is one, and has no pids controller"
    try:
        cgroups.count_pids(base)
    except OSError as error:
        if error.errno == errno.EBUSY:
            return f": {base} is one, and other processes than forkd's are in it"
        return f": {base} is one, and the pids controller is denied: {error.strerror}"
    return None


def _uid(identity: Identity | None) -> int | None:
    return None if identity is None else identity.uid


def _named_uid(policy: SpawnPolicy) -> int | None:
    return None if policy.user is None else user_id(policy.user)
