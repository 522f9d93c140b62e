"""Resource limits of one program, without a moment in which it has none.

Nothing runs in a program before it is executed, and prlimit(2) comes when it may have begun to run.
So the spawner has the limits itself while it starts it, as soft ones, which are inherited and which
it can take back; hard ones follow, for the program and for all that it has started by then.
"""

from __future__ import annotations

import logging
import resource
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from forkd.system.process_tree import descendants

log = logging.getLogger("forkd.spawner")

Limits = tuple[tuple[int, int], ...]
"""Pairs of a resource (getrlimit(2)) and a number."""

_TRIES = 3
_NO_CEILING = 2**63 - 1
_ROOM = 16 << 20
"""Address space that starting a program takes, and a thread for it."""


@contextmanager
def inherited(limits: Limits) -> Iterator[None]:
    """Have this process's soft limits be these, as far as it can itself live with them."""
    before = [(kind, resource.getrlimit(kind)) for kind, _ in limits]
    try:
        for kind, number in limits:
            if kind != resource.RLIMIT_AS or number > _address_space() + _ROOM:
                hard = resource.getrlimit(kind)[1]
                resource.setrlimit(kind, (min(number, _ceiling(hard)), hard))
        yield
    finally:
        for kind, both in before:
            resource.setrlimit(kind, both)


def impose(pid: int, limits: Limits, others: Callable[[], Collection[int]]) -> None:
    """Limit a program that has just been started, and what it has started meanwhile.

    others: processes that have come since then and whose parent is not known.
    """
    limited: set[int] = set()
    while todo := {pid, *descendants(pid), *others()} - limited:
        for one in todo:
            _impose_on(one, limits)
        limited |= todo


def _impose_on(pid: int, limits: Limits) -> None:
    for kind, number in limits:
        for _ in range(_TRIES):
            try:
                own = resource.prlimit(pid, kind)[1]
                ceiling = min(_ceiling(resource.getrlimit(kind)[1]), _ceiling(own))
                # SIGXCPU comes first, which a program may handle.
                hard = number + 1 if kind == resource.RLIMIT_CPU else number
                resource.prlimit(pid, kind, (min(number, ceiling), min(hard, ceiling)))
                break
            except ProcessLookupError:
                return
            except PermissionError:
                # It has lowered this one between the two calls; or it is a set-user-ID program,
                # which has what it inherited and may be root by now.
                continue
        else:
            log.warning("pid %d: no hard limits for a set-user-ID program", pid)
            return


def _ceiling(hard: int) -> int:
    return _NO_CEILING if hard == resource.RLIM_INFINITY else hard


def _address_space() -> int:
    """Bytes, proc_pid_statm(5)."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
