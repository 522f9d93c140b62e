"""What each command does."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from forkd.cli import client, daemon
from forkd.config import load
from forkd.config.model import Settings
from forkd.errors import ConfigError, OperationError

_PLACES = ("forkd.yaml", "conf/forkd.yaml", "/etc/forkd/forkd.yaml")


def run(arguments: argparse.Namespace) -> int:
    """Carry out a parsed command line; the exit status. Raises ForkdError."""
    command: str | None = arguments.command
    if command == "schema":
        print(json.dumps(load.schema(), indent=2))
        return 0
    if command == "serve":
        return _serve(arguments)
    if command is not None:
        return client.run(arguments, partial(_control_path, arguments))
    file = _config_file(arguments.config)
    if arguments.check:
        return daemon.check(file, _loader(file))
    return daemon.serve(file, _loader(file), background=arguments.daemon)


def _loader(file: str) -> Callable[[], Settings]:
    return lambda: load.load(file, os.environ)


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
    return load.find_control(file, os.environ)


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

    def read() -> Settings:
        try:
            return load.load_text(text, "forkd serve", os.environ)
        except ConfigError as error:
            # The person has typed options, not a file: places in it would say nothing.
            raise OperationError("\n".join(p.message for p in error.problems)) from None

    if sys.stdout.isatty():
        print(f"Serving {directory.resolve()}; Ctrl-C stops.", flush=True)
    return daemon.serve("forkd serve", read, background=False)
