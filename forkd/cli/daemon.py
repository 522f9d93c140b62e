"""Starting the master, in the foreground or the background, or seeing whether it would start."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import setproctitle

from forkd.child import Kind
from forkd.config.exposed import exposed_programs
from forkd.config.policy import policies
from forkd.config.settings import Settings
from forkd.errors import ConfigError, ForkdError
from forkd.master.check import check_in_child
from forkd.master.counting import notes
from forkd.master.daemonize import Background
from forkd.master.generation import Generation
from forkd.master.inheritance import Inheritance, inherited
from forkd.master.master import Master
from forkd.master.reading import Load, Reading
from forkd.master.upgrade import Predecessor
from forkd.spawner.process import run_spawner
from forkd.system.cgroups import delegated
from forkd.system.systemd import Given, given
from forkd.worker.check import check_as_worker
from forkd.worker.process import run_worker
from forkd.worker.template import run_template

if TYPE_CHECKING:
    from forkd.explain.serving import Serving

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
    return Master(name, load, settings, _MAINS, found, on_ready, _INQUIRERS, heritage).run()


def _explain(generation: Generation, request: Mapping[str, object]) -> dict[str, object]:
    # Here, since this runs in a child: in the memory of the master it has no place.
    from forkd.explain.explain import explain

    return explain(_serving(generation), request)


def _records(generation: Generation, _request: Mapping[str, object]) -> dict[str, object]:
    from forkd.explain.records import list_records

    return list_records(_serving(generation))


def _replay(generation: Generation, request: Mapping[str, object]) -> dict[str, object]:
    from forkd.explain.records import prepare

    return prepare(_serving(generation), request)


def _serving(generation: Generation) -> Serving:
    from forkd.explain.serving import Serving

    return Serving(
        generation.settings, generation.identity, generation.policies, generation.identities
    )


_INQUIRERS: Final = MappingProxyType({"explain": _explain, "records": _records, "replay": _replay})


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
    of_cgroups = notes(delegated(), settings, policies(settings))
    for note in (*of_cgroups, *exposed_programs(settings)):
        print(f"{file}: {note}", file=sys.stderr)
    print(f"{file}: ok")
    return 0


def _writes_to_terminal(settings: Settings) -> bool:
    access = settings.log.access
    targets = (settings.log.error.file, access.file if access is not None else None)
    return any(target in ("stdout", "stderr") for target in targets)


def _nothing() -> None:
    pass
