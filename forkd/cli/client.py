"""Commands that talk to the running master over its control socket."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from forkd.cli.report import describe

NOT_RUNNING = 3
PATIENCE_S = 10.0

Answer = dict[str, Any]
"""A parsed JSON object: the shape is the master's affair and is read key by key."""


def run(arguments: argparse.Namespace, find_control: Callable[[], Path]) -> int:
    """Send the command, print the answer, give the exit status. Raises ForkdError for a
    configuration that cannot be read."""
    path = find_control()
    request = _request(arguments)
    waits = arguments.command in ("stop", "upgrade") or "diff" in request or "wait" in request
    try:
        answer = ask(path, request, None if waits else PATIENCE_S)
    except OSError as error:
        print(f"forkd: {not_there(path, error)}", file=sys.stderr)
        return 1 if isinstance(error, PermissionError) else NOT_RUNNING
    if not answer.get("ok"):
        for reason in answer.get("reasons") or ["the master refused and did not say why"]:
            print(f"forkd: {reason}", file=sys.stderr)
        return 1
    if arguments.command == "status":
        del answer["ok"]
        print(json.dumps(answer, indent=2) if arguments.json else _described(answer))
    if "diff" in request:
        print("\n".join(answer["changes"] or ["nothing would change but the code of applications"]))
    return 0


def _request(arguments: argparse.Namespace) -> dict[str, object]:
    """What the master is asked."""
    request: dict[str, object] = {"command": arguments.command}
    for option in ("wait", "diff"):
        if getattr(arguments, option, False):
            request[option] = True
    if arguments.command == "drain":
        request["undo"] = arguments.undo
        if arguments.grace is not None:
            request["grace"] = arguments.grace
    return request


def _described(answer: Answer) -> str:
    # COLUMNS, or the terminal's width; a file gets 100 columns.
    width = shutil.get_terminal_size((100, 0)).columns
    return describe(answer, time.time(), width)


def ask(
    path: Path,
    request: dict[str, object],
    timeout: float | None,
    descriptors: Sequence[int] = (),
) -> Answer:
    """One request and its answer. descriptors: handed over with it.

    Raises OSError where nobody answers.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        sock.connect(os.fspath(path))
        # So short a line goes out in one piece, and what is handed over with it.
        socket.send_fds(sock, [json.dumps(request).encode() + b"\n"], descriptors)
        with sock.makefile("rb") as stream:
            line = stream.readline()
    if not line:
        if request["command"] == "stop":
            return {"ok": True}  # it was stopped at once, by somebody with less patience
        raise ConnectionResetError("the master closed the connection without an answer")
    answer: Answer = json.loads(line)
    return answer


def not_there(path: Path, error: OSError) -> str:
    """Why the master does not answer, and what to do."""
    if isinstance(error, PermissionError):
        return f"no right to connect to the control socket {path}: it belongs to another user"
    if isinstance(error, TimeoutError):
        return f"the master at {path} does not answer within {PATIENCE_S:g} s"
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return (
            f"nothing is running at {path} (is it another configuration? give -c FILE, or "
            f"--control PATH where forkd runs as a service with a runtime directory of its own)"
        )
    return f"nothing answers at {path}: {error}"
