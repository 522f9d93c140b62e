"""Commands that talk to the running master over its control socket."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NOT_RUNNING = 3
_PATIENCE_S = 10.0

Answer = dict[str, Any]
"""A parsed JSON object: the shape is the master's affair and is read key by key."""


def run(arguments: argparse.Namespace, find_control: Callable[[], Path]) -> int:
    """Send the command, print the answer, give the exit status. Raises ForkdError for a
    configuration that cannot be read."""
    path = find_control()
    request: dict[str, object] = {"command": arguments.command}
    waits = arguments.command == "stop" or getattr(arguments, "wait", False)
    if waits:
        request["wait"] = True
    try:
        answer = ask(path, request, None if waits else _PATIENCE_S)
    except OSError as error:
        print(f"forkd: {_not_there(path, error)}", file=sys.stderr)
        return 1 if isinstance(error, PermissionError) else NOT_RUNNING
    if not answer.get("ok"):
        for reason in answer.get("reasons") or ["the master refused and did not say why"]:
            print(f"forkd: {reason}", file=sys.stderr)
        return 1
    if arguments.command == "status":
        del answer["ok"]
        print(json.dumps(answer, indent=2) if arguments.json else describe(answer))
    return 0


def ask(path: Path, request: dict[str, object], timeout: float | None) -> Answer:
    """One request and its answer. Raises OSError where nobody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        sock.connect(os.fspath(path))
        sock.sendall(json.dumps(request).encode() + b"\n")
        with sock.makefile("rb") as stream:
            line = stream.readline()
    if not line:
        if request["command"] == "stop":
            return {"ok": True}  # it was stopped at once, by somebody with less patience
        raise ConnectionResetError("the master closed the connection without an answer")
    answer: Answer = json.loads(line)
    return answer


def _not_there(path: Path, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"no right to connect to the control socket {path}: it belongs to another user"
    if isinstance(error, TimeoutError):
        return f"the master at {path} does not answer within {_PATIENCE_S:g} s"
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return (
            f"nothing is running at {path} (is it another configuration? give -c FILE, or "
            f"--control PATH where forkd runs as a service with a runtime directory of its own)"
        )
    return f"nothing answers at {path}: {error}"


def describe(answer: Answer) -> str:
    """`forkd status` for people."""
    lines = [
        f"forkd {answer['version']}  pid {answer['pid']}  {answer['state']}  "
        f"generation {answer['generation']}  up {_age(answer['uptime_s'])}",
        f"configuration  {answer['config']}",
    ]
    for listener in answer["listeners"]:
        queue = listener["queue"]
        waiting = f"  {queue} waiting" if queue else ""
        lines.append(f"listening      {listener['address']} ({listener['protocol']}){waiting}")
    total = answer["totals"]
    lines.append(
        f"answered       {total['requests']} requests on {total['connections']} connections, "
        f"{_size(total['bytes_sent'])}, {total['errors']} errors"
    )
    last = answer["last_reload"]
    if last is not None:
        result = "ok" if last["ok"] else "FAILED: " + "; ".join(last["reasons"])
        lines.append(f"last reload    {_age(time.time() - last['at'])} ago, {result}")
    lines += [
        "",
        f"{'SLOT':>4} {'PID':>8} {'GEN':>4} {'STATE':<9} {'REQUESTS':>9} {'CONN':>5} "
        f"{'MEMORY':>9}  BUSY WITH",
    ]
    lines += [_worker(worker) for worker in answer["workers"]]
    return "\n".join(lines)


def _worker(worker: Answer) -> str:
    request = worker["request"]
    memory = worker["memory_pss"]
    busy = (
        f"{request['method']} {request['target']} for {_age(request['since_s'])}" if request else ""
    )
    return (
        f"{worker['slot']:>4} {worker['pid']:>8} {worker['generation']:>4} {worker['state']:<9} "
        f"{worker['requests']:>9} {worker['connections']:>5} "
        f"{_size(memory) if memory else '-':>9}  {busy}"
    ).rstrip()


def _age(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if hours == 0:
        return f"{minutes}m{int(seconds % 60):02d}s"
    return f"{hours}h{minutes % 60:02d}m" if hours < 48 else f"{hours // 24}d{hours % 24}h"


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
