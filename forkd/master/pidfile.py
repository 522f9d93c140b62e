"""The PID file: written whole, so that a reader never sees half a number."""

from __future__ import annotations

import os
from pathlib import Path

from forkd.errors import OperationError


def write_pid_file(path: Path, pid: int) -> None:
    """Raises OperationError."""
    temporary = path.with_name(f".{path.name}.{pid}")
    try:
        temporary.write_text(f"{pid}\n")
        temporary.replace(path)
    except OSError as error:
        hint = ""
        if isinstance(error, FileNotFoundError):
            hint = f" (make the directory {path.parent})"
        raise OperationError(f"cannot write pid_file {path}: {error.strerror}{hint}") from None


def remove_pid_file(path: Path, pid: int) -> None:
    """Remove it if it is still ours: another master may have written its own meanwhile."""
    try:
        if path.read_text().strip() == str(pid):
            os.unlink(path)
    except OSError:
        pass
