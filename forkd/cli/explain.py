"""`forkd explain URL`: what would answer, or why it would fail."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from forkd.cli.client import NOT_RUNNING, PATIENCE_S, Answer, ask, not_there
from forkd.cli.words import printable


def run(arguments: argparse.Namespace, find_control: Callable[[], Path]) -> int:
    """Print the explanation; 0 also where the URL would fail. Raises ForkdError for a
    configuration that cannot be read."""
    path = find_control()
    request: dict[str, object] = {
        "command": "explain",
        "url": arguments.url,
        "method": arguments.method,
        "client": arguments.client,
    }
    try:
        answer = ask(path, request, PATIENCE_S)
    except OSError as error:
        print(f"forkd: {not_there(path, error)}", file=sys.stderr)
        return 1 if isinstance(error, PermissionError) else NOT_RUNNING
    if not answer.pop("ok", False):
        for reason in answer.get("reasons") or ["the master refused and did not say why"]:
            print(f"forkd: {reason}", file=sys.stderr)
        return 1
    print(json.dumps(answer, indent=2) if arguments.json else "\n".join(_lines(answer)))
    return 0


def _lines(answer: Answer) -> Iterator[str]:
    width = max((len(name) for name, _ in answer["facts"]), default=0)
    for name, value in answer["facts"]:
        yield f"{name:<{width}}  {printable(value)}".rstrip()
    yield printable(answer["result"])
