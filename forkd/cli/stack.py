"""`forkd stack`: what the threads of a worker are doing now, or those of all workers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from forkd.cli.client import NOT_RUNNING, PATIENCE_S, Answer, ask, not_there
from forkd.cli.words import printable


def run(arguments: argparse.Namespace, find_control: Callable[[], Path]) -> int:
    """Print the stacks; the exit status. Raises ForkdError for a configuration that cannot be
    read."""
    path = find_control()
    status = 0
    try:
        for number, answer in enumerate(_answers(path, arguments.worker)):
            if answer.get("ok"):
                lines = answer["stacks"].splitlines()
                print(("\n\n" if number else "") + "\n".join(map(printable, lines)))
                continue
            status = 1
            for reason in answer.get("reasons") or ["the master refused and did not say why"]:
                print(f"forkd: {reason}", file=sys.stderr)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        print(f"forkd: {not_there(path, error)}", file=sys.stderr)
        return 1 if isinstance(error, PermissionError) else NOT_RUNNING
    return status


def _answers(path: Path, worker: int | None) -> Iterator[Answer]:
    """worker: None for all of them, one after the other."""
    if worker is not None:
        yield ask(path, {"command": "stack", "worker": worker}, PATIENCE_S)
        return
    for one in ask(path, {"command": "status"}, PATIENCE_S)["workers"]:
        yield ask(path, {"command": "stack", "worker": one["slot"]}, PATIENCE_S)
