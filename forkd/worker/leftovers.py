"""What an import leaves behind in its process, and which of it a fork cannot pass on.

A forked process has one thread, whatever its parent had; and a socket, a pipe or an epoll set that
several processes hold is read by whoever comes first.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import stat
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from forkd.errors import OperationError

log = logging.getLogger("forkd.worker")

_REMEDY = "make it when it is first needed, or set workers.preload: false"


@dataclass(frozen=True, slots=True)
class Holdings:
    """The threads and descriptors of this process at one time."""

    threads: frozenset[int]
    """Thread ids of the kernel."""
    descriptors: frozenset[int]

    @classmethod
    def now(cls) -> Holdings:
        return cls(
            frozenset(map(int, os.listdir("/proc/self/task"))),
            # The descriptor of the listing itself is gone again.
            frozenset(n for n in map(int, os.listdir("/proc/self/fd")) if _what(n) is not None),
        )


def refuse_leftovers(before: Holdings, key: str) -> Holdings:
    """Compare with what there was before what `key` names was imported; gives what there is now.

    Raises OperationError for the first thing that cannot be shared. A file that is open for writing
    but not for appending is warned of: all workers would share its position.
    """
    now = Holdings.now()
    for thread in sorted(now.threads - before.threads):
        raise OperationError(
            f"{key}: the import has started {_thread(thread)}, which forked workers would not "
            f"have ({_REMEDY})"
        )
    for number in sorted(now.descriptors - before.descriptors):
        what = _what(number)
        if what is None:
            continue
        if not os.path.isabs(what):
            raise OperationError(
                f"{key}: the import has left {what} open (descriptor {number}), which workers "
                f"cannot share ({_REMEDY})"
            )
        if _is_written_anywhere(number):
            log.warning(
                "%s: the import has left %s open for writing (descriptor %d): all workers write to "
                "the same place in it (%s)",
                *(key, what, number, _REMEDY),
            )
    return now


def _thread(ident: int) -> str:
    """A thread's name and the place in the code where it is, as far as they can be known."""
    for thread in threading.enumerate():
        if thread.native_id == ident:
            frame = sys._current_frames().get(thread.ident or 0)
            return f"the thread {thread.name!r}{_where(frame)}"
    try:
        name = Path(f"/proc/self/task/{ident}/comm").read_text().strip()
    except OSError:
        name = str(ident)
    return f"a thread of a library ({name})"


def _where(frame: FrameType | None) -> str:
    """The outermost place that is not in the threading module itself."""
    place = ""
    while frame is not None:
        if frame.f_code.co_filename != threading.__file__:
            place = f" ({frame.f_code.co_filename}, line {frame.f_lineno})"
        frame = frame.f_back
    return place


def _what(number: int) -> str | None:
    """What a descriptor is: a path, or words for what has none; None where it is closed."""
    try:
        mode = os.fstat(number).st_mode
        link = os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return None
    if stat.S_ISSOCK(mode):
        return _socket(number)
    if stat.S_ISFIFO(mode):
        return "a pipe"
    if link.startswith("anon_inode:"):
        return f"an {link.removeprefix('anon_inode:').strip('[]')} descriptor"
    return link


def _socket(number: int) -> str:
    with socket.socket(fileno=os.dup(number)) as copy:
        try:
            peer = copy.getpeername()
        except OSError:
            return f"a socket ({_address(copy.getsockname())})"
        return f"a connection to {_address(peer)}"


def _address(address: object) -> str:
    if isinstance(address, tuple):
        return f"{address[0]}:{address[1]}"
    return str(address) or "without a name"


def _is_written_anywhere(number: int) -> bool:
    flags = fcntl.fcntl(number, fcntl.F_GETFL)
    regular = stat.S_ISREG(os.fstat(number).st_mode)
    return regular and flags & os.O_ACCMODE != os.O_RDONLY and not flags & os.O_APPEND
