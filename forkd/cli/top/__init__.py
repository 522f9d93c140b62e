"""`forkd top`: what the running forkd does, live.

Most of it needs no terminal: figures, view, layout, keys and model are pure, tables and screen make
renderables of rich. program and terminal do the rest.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import NoReturn

from forkd.cli import client
from forkd.cli.top.figures import Figures, compare
from forkd.cli.top.model import NOT_UNDERSTOOD, Model

_PATIENCE_S = 10.0
_WIDTH_OF_A_FILE = 120


def run(arguments: argparse.Namespace, find_control: Callable[[], Path]) -> int:
    """Show it until somebody leaves, or one frame; the exit status. Raises ForkdError for a
    configuration that cannot be read."""
    if find_spec("rich") is None:
        print("forkd top needs rich: pip install 'forkd[top]'", file=sys.stderr)
        return 1
    if not arguments.once and not _has_terminal():
        print(
            "forkd: top needs a terminal (for one frame: forkd top --once; for programs: "
            "forkd status --json)",
            file=sys.stderr,
        )
        return 2
    path, interval = find_control(), arguments.interval
    try:
        if arguments.once:
            figures = _two_looks(path, interval)
        else:
            model = Model(path, interval, _look(path), time.monotonic())
    except OSError as error:
        print(f"forkd: {client.not_there(path, error)}", file=sys.stderr)
        return 1 if isinstance(error, PermissionError) else client.NOT_RUNNING
    except (KeyError, TypeError, ValueError):
        print(f"forkd: {NOT_UNDERSTOOD} (forkd status --json shows it)", file=sys.stderr)
        return 1
    if arguments.once:
        _print(figures)
    else:
        _show(path, interval, model)
    return 0


def _has_terminal() -> bool:
    capable = os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    return capable and sys.stdin.isatty() and sys.stdout.isatty()


def _look(path: Path) -> client.Answer:
    return client.ask(path, {"command": "status"}, _PATIENCE_S)


def _two_looks(path: Path, interval: float) -> Figures:
    """One look has counters and no rates."""
    before = compare(_look(path), time.monotonic(), None)
    time.sleep(interval)
    return compare(_look(path), time.monotonic(), before)


def _print(figures: Figures) -> None:
    from rich.console import Console

    from forkd.cli.top.screen import Frame, Scene
    from forkd.cli.top.view import View

    _never_fail_to_write()
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH_OF_A_FILE
    console = Console(highlight=False, width=width)
    console.print(Frame(Scene(figures, (), 0.0, time.time()), View(), None))


def _show(path: Path, interval: float, model: Model) -> None:
    from rich.console import Console

    from forkd.cli.top.program import Program

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        # Through the blocks that give the terminal back; the status is what a shell would say.
        raise SystemExit(128 + number)

    _never_fail_to_write()
    before = signal.signal(signal.SIGTERM, leave)
    try:
        Program(path, interval, model).run(Console(highlight=False), sys.stdin.fileno())
    except KeyboardInterrupt:
        pass  # Ctrl-C is one of the ways to leave
    finally:
        signal.signal(signal.SIGTERM, before)


def _never_fail_to_write() -> None:
    """A locale without a character of ours, or of a request, gets a question mark."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
