"""Log files: opened by the master, inherited by its children, swapped underneath them on reopening.

A file keeps its descriptor's number for life: after a rotation the new file is put in its place
with dup2(2), so nobody who writes has to be told.
"""

from __future__ import annotations

import os
from pathlib import Path

from forkd.errors import OperationError

_MODE = 0o640


class LogFiles:
    """The open log files of one process, by path. `stdout` and `stderr` are never reopened."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    @property
    def descriptors(self) -> set[int]:
        return set(self._numbers.values())

    def open(self, target: str | Path) -> int:
        """The descriptor for a target of the configuration. Raises OperationError."""
        if target == "stdout":
            return 1
        if target == "stderr":
            return 2
        path = str(target)
        if path not in self._numbers:
            self._numbers[path] = _open(path)
        return self._numbers[path]

    def keep_only(self, targets: set[str]) -> None:
        """Close the files that the configuration names no more."""
        for path in self._numbers.keys() - targets:
            os.close(self._numbers.pop(path))

    def reopen(self) -> dict[str, int]:
        """Open every path again and put the new file in the old one's place.

        Gives the descriptors by path, to be handed to the children. Raises OperationError where one
        cannot be opened; that one and those after it stay as they were.
        """
        for path in self._numbers:
            self.replace(path, _open(path))
        return dict(self._numbers)

    def replace(self, path: str, descriptor: int) -> None:
        """Put descriptor, which is ours from now on, in the place of the file at path."""
        if (number := self._numbers.get(path)) is not None:
            os.dup2(descriptor, number, inheritable=False)
        os.close(descriptor)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
    except OSError as error:
        hint = ""
        if isinstance(error, FileNotFoundError):
            hint = f" (make the directory {os.path.dirname(path)})"
        raise OperationError(f"cannot open the log file {path}: {error.strerror}{hint}") from None


def write_whole(descriptor: int, data: bytes) -> None:
    """Write all of data, which may take the kernel several calls. Raises OSError."""
    count = os.write(descriptor, data)
    while count < len(data):
        data = data[count:]
        count = os.write(descriptor, data)
