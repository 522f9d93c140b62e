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

_HANDLE = os.O_PATH | os.O_CLOEXEC

_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL})
"""Also a file where a directory should be, a loop of links, a name no file can have (open(2))."""


class Follow(Enum):
    """Which symbolic links below a root are followed. The root itself may always be one."""

    WITHIN = "within"
    """Those that lead to something below the root."""
    OWNER = "owner"
    """Those whose owner owns what they lead to, wherever that is."""
    ALL = "all"
    NONE = "none"


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


def locate(root: bytes, path: bytes, follow: Follow = Follow.WITHIN) -> Found | Refusal:
    """Look at root + path, where path begins with a slash and holds no dot segments.

    A link that is not to be followed is not found. "Below root" means wherever root itself really
    is by now. Special files (FIFO, socket, device) are not found, and never opened.
    """
    try:
        descriptor = _reach(root, path, follow)
    except ValueError:
        return Refusal.NOT_FOUND  # a NUL
    except OSError as error:
        return refusal(error)
    try:
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


def open_checked(root: bytes, found: Found, follow: Follow = Follow.WITHIN) -> int:
    """Open what `locate` found for reading. Raises OSError where it is not what it was."""
    handle = _reach(root, found.path[len(root) :], follow)
    try:
        now = os.fstat(handle)
        same = (now.st_ino, now.st_dev) == (found.inode, found.device)
        # An inode's number is soon given anew: it may be a FIFO, which must not be waited for.
        if not same or not stat.S_ISREG(now.st_mode):
            raise FileNotFoundError(errno.ENOENT, "replaced meanwhile", found.path)
        # The name below /proc stands for this very inode, whatever lies at the path by now.
        return os.open(b"/proc/self/fd/%d" % handle, os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(handle)


def _reach(root: bytes, path: bytes, follow: Follow) -> int:
    """A descriptor (O_PATH) of what lies there, by links that may be followed. Raises OSError."""
    if follow is Follow.OWNER:
        return _walk(root, path)
    descriptor = os.open(root + path, _HANDLE)
    if follow is Follow.ALL:
        return descriptor
    try:
        if not _is_below(descriptor, root, path, direct=follow is Follow.NONE):
            raise FileNotFoundError(errno.ENOENT, "behind a link", root + path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_below(descriptor: int, root: bytes, path: bytes, *, direct: bool) -> bool:
    """Whether a descriptor is of something below root; `direct`: without a link on the way."""
    real = os.readlink(b"/proc/self/fd/%d" % descriptor)
    inner = path.rstrip(b"/")
    if real == root + inner:
        return True  # no link was on the way
    real_root = os.path.realpath(root)
    if direct:
        return real == (real_root.rstrip(b"/") + inner or b"/")
    return real == real_root or real.startswith(real_root.rstrip(b"/") + b"/")


def _walk(root: bytes, path: bytes) -> int:
    """Reach root + path name by name. Each link must belong to the owner of what it leads to.

    What lies between a link and that is of no account: who owns both ends could have served a copy.
    Each step starts from a descriptor, so that nobody can put a link where one has been checked.
    """
    here = os.open(root, _HANDLE)
    for name in filter(None, path.split(b"/")):
        try:
            there = _step(here, name)
        finally:
            os.close(here)
        here = there
    return here


def _step(here: int, name: bytes) -> int:
    """What a name in a directory stands for, or where it leads if it is a link. Raises OSError."""
    there = os.open(name, _HANDLE | os.O_NOFOLLOW, dir_fd=here)
    link = os.fstat(there)
    if not stat.S_ISLNK(link.st_mode):
        return there
    try:
        # An empty name means the link that the descriptor stands for (readlink(2)).
        target = os.open(os.readlink(b"", dir_fd=there), _HANDLE, dir_fd=here)
    finally:
        os.close(there)
    if os.fstat(target).st_uid != link.st_uid:
        os.close(target)
        raise FileNotFoundError(errno.ENOENT, "the owner of a link does not own its target", name)
    return target
