"""Starting the master, in the foreground or the background, or seeing whether it would start."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import setproctitle

from forkd.child import Kind
from forkd.config.model import Settings
from forkd.errors import ConfigError
from forkd.master.check import check_in_child
from forkd.master.daemonize import Background
from forkd.master.master import Master
from forkd.spawner.process import run_spawner
from forkd.system.systemd import Notifier, inherited_sockets
from forkd.worker.check import check_as_worker
from forkd.worker.process import run_worker
from forkd.worker.template import run_template

_MAINS = {Kind.WORKER: run_worker, Kind.SPAWNER: run_spawner, Kind.TEMPLATE: run_template}


def serve(name: str, read: Callable[[], Settings], *, background: bool) -> int:
    """Run the master until it is stopped; the exit status. Raises ForkdError if it cannot start."""
    settings = read()
    notifier = Notifier.from_environment(os.environ)
    sockets = inherited_sockets(os.environ, os.getpid())
    if background and _writes_to_terminal(settings):
        print(
            "forkd: -D closes stdout and stderr: what log.access and log.error write there is lost "
            "(give them a file)",
            file=sys.stderr,
        )
    behind = Background.enter() if background else None
    setproctitle.setproctitle(f"forkd: master [{name}]")
    master = Master(name, read, _MAINS, sockets, notifier, behind.ready if behind else _nothing)
    return master.run()


def check(file: str, read: Callable[[], Settings]) -> int:
    """`-t`: 0 and `FILE: ok`, or 1 and every error."""
    try:
        settings = read()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    reasons = check_in_child(settings, check_as_worker)
    for reason in reasons:
        print(f"{file}: {reason}", file=sys.stderr)
    if reasons:
        return 1
    print(f"{file}: ok")
    return 0


def _writes_to_terminal(settings: Settings) -> bool:
    access = settings.log.access
    targets = (settings.log.error.file, access.file if access is not None else None)
    return any(target in ("stdout", "stderr") for target in targets)


def _nothing() -> None:
    pass
