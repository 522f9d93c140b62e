"""Opening the files below a static root, so that no path and no link leads out of it.

What is checked is the open descriptor, not the name: between a check of a name and its use somebody
may put a link there. /proc/self/fd tells where a descriptor really is (proc(5)).
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from dataclasses import dataclass
from enum import Enum

log = logging.getLogger("forkd.static")

_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL})
"""Also a file where a directory should be, a loop of links, a name no file can have (open(2))."""


class Refusal(Enum):
    """Why a path is not served."""

    NOT_FOUND = 404
    FORBIDDEN = 403
    UNAVAILABLE = 503
    """The machine lacks something: it says nothing about the file."""


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file or a directory, not opened for reading yet."""

    path: bytes
    is_directory: bool
    size: int
    mtime_ns: int
    ctime_ns: int
    """Changes with rights and owners too, which the time of the content does not."""
    device: int
    inode: int

    def is_same(self, now: os.stat_result) -> bool:
        """Whether neither the file nor anything known of it has changed."""
        return (
            now.st_ino == self.inode
            and now.st_ctime_ns == self.ctime_ns
            and now.st_mtime_ns == self.mtime_ns
            and now.st_size == self.size
            and now.st_dev == self.device
        )


def locate(root: bytes, path: bytes) -> Found | Refusal:
    """Look at root + path, where path begins with a slash and holds no dot segments.

    Symbolic links are followed as long as they stay below root, wherever root itself really is by
    now. Special files (FIFO, socket, device) are not found, and never opened.
    """
    try:
        descriptor = os.open(root + path, os.O_PATH | os.O_CLOEXEC)
    except ValueError:
        return Refusal.NOT_FOUND  # a NUL
    except OSError as error:
        return refusal(error)
    try:
        if not _is_below(descriptor, root, path):
            return Refusal.NOT_FOUND
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    is_directory = stat.S_ISDIR(found.st_mode)
    if not is_directory and (not stat.S_ISREG(found.st_mode) or path.endswith(b"/")):
        return Refusal.NOT_FOUND
    return Found(
        root + path,
        is_directory,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_dev,
        found.st_ino,
    )


def refusal(error: OSError) -> Refusal:
    """What a file that cannot be opened is answered with. Logs what is nobody's fault but ours."""
    if isinstance(error, PermissionError):
        return Refusal.FORBIDDEN
    if error.errno in _NOT_THERE:
        return Refusal.NOT_FOUND
    log.error("a file cannot be opened: %s", error)
    return Refusal.UNAVAILABLE


def open_checked(root: bytes, found: Found) -> int:
    """Open what `locate` found for reading. Raises OSError where it is not what it was."""
    path = found.path[len(root) :]
    handle = os.open(found.path, os.O_PATH | os.O_CLOEXEC)
    try:
        now = os.fstat(handle)
        same = (now.st_ino, now.st_dev) == (found.inode, found.device)
        # An inode's number is soon given anew: it may be a FIFO, which must not be waited for.
        if not same or not stat.S_ISREG(now.st_mode) or not _is_below(handle, root, path):
            raise FileNotFoundError(errno.ENOENT, "replaced meanwhile", found.path)
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
