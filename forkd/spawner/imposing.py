"""What a spawner imposes on itself, once, so that all it starts inherits it; and the sandbox."""

from __future__ import annotations

import logging
import resource

from forkd.config import settings
from forkd.system.confinement import Confinement
from forkd.system.sandbox import Sandbox

log = logging.getLogger("forkd.spawner")


def make_sandbox(wanted: settings.Sandbox) -> Sandbox:
    """Raises OperationError where the kernel lacks something, or a path is missing."""
    sandbox = Sandbox(confinement_of(wanted))
    if sandbox.lacking:
        log.warning("sandbox: the kernel cannot restrict %s", ", ".join(sandbox.lacking))
    return sandbox


def confinement_of(wanted: settings.Sandbox) -> Confinement:
    return Confinement(
        read=tuple(map(str, wanted.read)),
        write=tuple(map(str, wanted.write)),
        network=wanted.network,
        best_effort=wanted.best_effort,
    )


def limit_processes(most: int) -> None:
    """Of this user, by what is inherited: the kernel refuses the fork that would be one too many
    (setrlimit(2), RLIMIT_NPROC)."""
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
