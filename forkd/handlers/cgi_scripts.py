"""Which file a path of a CGI route names, and whether it can be run at all."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field

from forkd.handlers.cgi_failures import interpreter_of
from forkd.system.credentials import current_user, denied_directory


@dataclass(frozen=True, slots=True)
class Script:
    """A program with the two parts of the path that led to it, decoded."""

    path: str
    name: str
    """SCRIPT_NAME."""
    path_info: str
    was_found: bool = field(default=False, compare=False)
    """It has been looked at: a regular file is there."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why there is no program to run: a status, and a reason for the log."""

    status: int
    reason: str


def find_script(directory: str, prefix: str, rest: str) -> Script | Unusable:
    """Split rest at the first regular file below directory (RFC 3875 3.3).

    The split is made at a file that is there, never at an ending: what a path looks like says
    nothing about what it names.
    """
    path = directory
    names = rest.split("/")[1:]
    for count, name in enumerate(names, start=1):
        if name.startswith("."):
            return Unusable(404, f"{path}/{name} is hidden")
        if not name:
            return Unusable(403, f"{path} is a directory")
        path = f"{path}/{name}"
        looked = _look(path)
        if isinstance(looked, Unusable):
            return looked
        if looked:
            done = "/".join(names[:count])
            left = "/".join(names[count:])
            info = f"/{left}" if count < len(names) else ""
            return Script(path, f"{prefix}/{done}", info, was_found=True)
    return Unusable(403, f"{path} is a directory")


def check_program(path: str) -> Unusable | None:
    """Why the program at path cannot be run by this user; None where it can be tried."""
    looked = _look(path)
    if isinstance(looked, Unusable):
        return looked
    if not looked:
        return Unusable(403, f"{path} is a directory")
    return check_rights(path)


def check_rights(path: str) -> Unusable | None:
    """The same of a regular file that is there."""
    if not os.access(path, os.X_OK, effective_ids=True):
        if _is_on_noexec(path):
            return Unusable(500, f"{path} is on a file system that is mounted noexec")
        return Unusable(403, f"user {current_user()} may not run {path} (chmod +x {path})")
    return None


def readable(path: str) -> Unusable | None:
    """Why an interpreter that is run by this user cannot read the script at path."""
    looked = _look(path)
    if isinstance(looked, Unusable):
        return looked
    if not looked:
        return Unusable(403, f"{path} is a directory")
    if not os.access(path, os.R_OK, effective_ids=True):
        return Unusable(403, f"user {current_user()} may not read {path} (chmod +r {path})")
    return None


def first_line(path: str) -> bytes:
    """How a script begins; nothing where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.readline(256)
    except OSError:
        return b""


def interpreter_exists(line: bytes) -> bool:
    """Whether there is what a first line names, if it names something."""
    return not line.startswith(b"#!") or os.path.exists(interpreter_of(line))


def _is_on_noexec(path: str) -> bool:
    """Whether it is for this that a program may not be run, whatever its mode says (access(2))."""
    try:
        has_run_bit = os.stat(path).st_mode & 0o111
        return bool(has_run_bit and os.statvfs(path).f_flag & os.ST_NOEXEC)
    except OSError:
        return False


def _look(path: str) -> bool | Unusable:
    """True for a regular file, False for a directory."""
    try:
        mode = os.stat(path).st_mode
    except PermissionError:
        where = denied_directory(path) or os.path.dirname(path)
        return Unusable(403, f"user {current_user()} may not search the directory {where}")
    except (OSError, ValueError):
        return Unusable(404, f"{path} does not exist")
    if stat.S_ISDIR(mode):
        return False
    if stat.S_ISREG(mode):
        return True
    return Unusable(404, f"{path} is neither a file nor a directory")
