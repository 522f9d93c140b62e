"""Starting the master, in the foreground or the background, or seeing whether it would start."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import setproctitle

from forkd.child import Kind
from forkd.config.settings import Settings
from forkd.errors import ConfigError, ForkdError
from forkd.master.check import check_in_child
from forkd.master.daemonize import Background
from forkd.master.inheritance import Inheritance, inherited
from forkd.master.master import Master
from forkd.master.reading import Load, Reading
from forkd.master.upgrade import Predecessor
from forkd.spawner.process import run_spawner
from forkd.system.systemd import Given, given
from forkd.worker.check import check_as_worker
from forkd.worker.process import run_worker
from forkd.worker.template import run_template

_MAINS = {Kind.WORKER: run_worker, Kind.SPAWNER: run_spawner, Kind.TEMPLATE: run_template}


def serve(name: str, load: Load, reading: Reading, *, background: bool) -> int:
    """Run the master until it is stopped; the exit status. Raises ForkdError if it cannot start.

    load reads the configuration at each reload; reading does so for the start, and has begun.
    """
    found = given(os.environ, os.getpid())
    heritage = inherited(os.environ)
    if heritage is not None:
        found = replace(found, sockets=heritage.unused)
    try:
        return _serve(
            name, load, reading, found, heritage, background=background and heritage is None
        )
    except ForkdError as error:
        if heritage is not None:
            Predecessor(heritage.channel).refuse(str(error).splitlines())
        else:
            # The last that the service manager hears: `systemctl status` shows it.
            found.notifier.status(f"Cannot start: {error}")
        raise


def _serve(
    name: str,
    load: Load,
    reading: Reading,
    found: Given,
    heritage: Inheritance | None,
    *,
    background: bool,
) -> int:
    settings = reading.wait()
    if background and _writes_to_terminal(settings):
        print(
            "forkd: -D closes stdout and stderr: what log.access and log.error write there is lost "
            "(give them a file)",
            file=sys.stderr,
        )
    behind = Background.enter() if background else None
    setproctitle.setproctitle(f"forkd: master [{name}]")
    on_ready = behind.ready if behind else _nothing
    return Master(name, load, settings, _MAINS, found, on_ready, heritage).run()


def check(file: str, reading: Reading) -> int:
    """`-t`: 0 and `FILE: ok`, or 1 and every error."""
    try:
        settings = reading.wait()
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
