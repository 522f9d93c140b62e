"""What each command does."""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path

from forkd.cli import client
from forkd.config.settings import Settings
from forkd.errors import ConfigError, OperationError
from forkd.master.reading import Load, Reading

_PLACES = ("forkd.yaml", "conf/forkd.yaml", "/etc/forkd/forkd.yaml")


def run(arguments: argparse.Namespace) -> int:
    """Carry out a parsed command line; the exit status. Raises ForkdError."""
    command: str | None = arguments.command
    if command == "schema":
        from forkd.config import load

        print(json.dumps(load.schema(), indent=2))
        return 0
    if command == "serve":
        return _serve(arguments)
    if command == "top":
        from forkd.cli import top

        return top.run(arguments, partial(_control_path, arguments))
    if command == "stack":
        from forkd.cli import stack

        return stack.run(arguments, partial(_control_path, arguments))
    if command == "explain":
        from forkd.cli import explain

        return explain.run(arguments, partial(_control_path, arguments))
    if command == "replay":
        from forkd.cli import replay

        return replay.run(arguments, partial(_control_path, arguments))
    if command is not None:
        return client.run(arguments, partial(_control_path, arguments))
    file = _config_file(arguments.config)
    if arguments.check:
        return _check(file)
    return _start(file, partial(_load, file), background=arguments.daemon)


def _load(file: str) -> Settings:
    # Here, since this runs in a child: in the memory of the master it has no place.
    from forkd.config.load import load

    return load(file, os.environ)


def _start(name: str, load: Load, *, background: bool) -> int:
    reading = Reading(load)
    # Here, so that the child reads while this process imports what it is going to need.
    from forkd.cli import daemon

    return daemon.serve(name, load, reading, background=background)


def _check(file: str) -> int:
    reading = Reading(partial(_load, file))
    from forkd.cli import daemon

    return daemon.check(file, reading)


def _config_file(given: str | None) -> str:
    """The file that -c names, or the first of the usual places. Raises OperationError."""
    if given is not None:
        return given
    if named := os.environ.get("FORKD_CONFIG"):
        return named
    for place in _PLACES:
        if os.path.exists(place):
            return place
    raise OperationError(
        f"no configuration: give -c FILE, or set FORKD_CONFIG, or make one of "
        f"{', '.join(_PLACES)} (to serve a directory without one: forkd serve DIR)"
    )


def _control_path(arguments: argparse.Namespace) -> Path:
    if arguments.control is not None:
        return Path(arguments.control)
    try:
        file = _config_file(arguments.config)
    except OperationError as error:
        # Whom to talk to was not said: that is wrong usage, not a refusal.
        print(f"forkd: {error}", file=sys.stderr)
        sys.exit(2)
    from forkd.config.load import find_control

    return find_control(file, os.environ)


def _serve(arguments: argparse.Namespace) -> int:
    from forkd.cli.serve import configuration

    directory = Path(arguments.directory)
    if not directory.is_dir():
        raise OperationError(f"cannot serve {directory}: no such directory")
    text = configuration(
        directory.resolve(),
        bind=arguments.bind,
        port=arguments.port,
        cgi=arguments.cgi,
        listing=arguments.listing,
        wsgi=arguments.wsgi,
        dev=arguments.dev,
    )

    def load() -> Settings:
        from forkd.config.load import load_text

        try:
            return load_text(text, "forkd serve", os.environ)
        except ConfigError as error:
            # The person has typed options, not a file: places in it would say nothing.
            raise OperationError("\n".join(p.message for p in error.problems)) from None

    if sys.stdout.isatty():
        print(f"Serving {directory.resolve()}; Ctrl-C stops.", flush=True)
    return _start("forkd serve", load, background=False)
