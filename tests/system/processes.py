"""What /proc and the status say about the processes of a daemon."""

from __future__ import annotations

import os
from pathlib import Path

from tests.system.daemon import Daemon, children_of


def pids(daemon: Daemon) -> set[int]:
    """Of the workers that are ready."""
    return {worker["pid"] for worker in daemon.workers()}


def descendants(pid: int) -> set[int]:
    """All processes below pid."""
    found: set[int] = set()
    for child in children_of(pid):
        try:
            found |= {child} | descendants(child)
        except OSError:
            continue  # gone meanwhile
    return found


def open_files(pid: int) -> list[str]:
    """What the links in /proc/PID/fd say; empty where the process is gone."""
    directory = Path(f"/proc/{pid}/fd")
    try:
        numbers = os.listdir(directory)
    except FileNotFoundError:
        return []
    links = []
    for number in numbers:
        try:
            links.append(os.readlink(directory / number))
        except FileNotFoundError:
            continue  # closed meanwhile
    return links


def status_field(pid: int, name: str) -> int:
    """A mask of /proc/PID/status."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1], 16)
    raise AssertionError(f"no {name}")
