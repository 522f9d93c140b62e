"""Opening the files below a static root, so that no path and no link leads out of it.

What is checked is the open descriptor, not the name: between a check of a name and its use somebody
may put a link there. /proc/self/fd tells where a descriptor really is (proc(5)).
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from enum import Enum


class Refusal(Enum):
    """Why a path is not served."""

    NOT_FOUND = 404
    FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file or a directory, not opened for reading yet."""

    path: bytes
    is_directory: bool
    size: int
    mtime_ns: int
    inode: int


def locate(root: bytes, path: bytes) -> Found | Refusal:
    """Look at root + path, where path begins with a slash and holds no dot segments.

    Symbolic links are followed as long as they stay below root, wherever root itself really is by
    now. Special files (FIFO, socket, device) are not found, and never opened.
    """
    try:
        descriptor = os.open(root + path, os.O_PATH | os.O_CLOEXEC)
    except PermissionError:
        return Refusal.FORBIDDEN
    except (OSError, ValueError):
        # Also a name that is too long, a file where a directory should be, a loop of links.
        return Refusal.NOT_FOUND
    try:
        if not _is_below(descriptor, root, path):
            return Refusal.NOT_FOUND
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    is_directory = stat.S_ISDIR(found.st_mode)
    if not is_directory and (not stat.S_ISREG(found.st_mode) or path.endswith(b"/")):
        return Refusal.NOT_FOUND
    return Found(root + path, is_directory, found.st_size, found.st_mtime_ns, found.st_ino)


def open_checked(root: bytes, found: Found) -> int:
    """Open what `locate` found for reading. Raises OSError where it is not what it was."""
    path = found.path[len(root) :]
    handle = os.open(found.path, os.O_PATH | os.O_CLOEXEC)
    try:
        now = os.fstat(handle)
        if now.st_ino != found.inode or not _is_below(handle, root, path):
            raise FileNotFoundError(found.path)
        # The name below /proc stands for this very inode, whatever lies at the path by now.
        return os.open(b"/proc/self/fd/%d" % handle, os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(handle)


def _is_below(descriptor: int, root: bytes, path: bytes) -> bool:
    real = os.readlink(b"/proc/self/fd/%d" % descriptor)
    if real == root + path.rstrip(b"/"):
        return True  # no link was on the way
    real_root = os.path.realpath(root)
    return real == real_root or real.startswith(real_root.rstrip(b"/") + b"/")
