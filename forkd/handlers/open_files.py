"""Open files that are kept from one request to the next.

To open a file safely takes five system calls, more than to send a hundred kilobytes of it. A file
that is in demand stays open, therefore; one that is not for a second or two is closed, so that a
deleted file gives its space back and a file system can be unmounted.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from forkd.loop.stream import SharedFile
from forkd.loop.timers import Timer, Wheel

Identity = tuple[int, int]
"""Device and inode: nobody else gets these numbers while the file is open."""

KEPT_S = 1.0
"""A file that has not been asked for between two looks, this far apart, is closed."""
MOST_KEPT = 512


class OpenFiles:
    """The files that a process keeps open."""

    def __init__(self, timers: Wheel) -> None:
        self._timers = timers
        self._timer = Timer(self._look)
        self._files: dict[Identity, SharedFile] = {}
        self._idle: set[Identity] = set()
        """Those that nobody has asked for since the last look."""

    def take(self, identity: Identity, open_it: Callable[[], int]) -> SharedFile:
        """The file of that identity, opened where it is not; the caller releases it.

        What `open_it` raises comes through.
        """
        file = self._files.get(identity)
        if file is None:
            file = SharedFile(open_it())
            if len(self._files) >= MOST_KEPT:
                self.close()
            if not self._files:
                self._timers.set(self._timer, monotonic() + KEPT_S)
            self._files[identity] = file
        elif identity in self._idle:
            self._idle.discard(identity)
        return file.hold()

    def close(self) -> None:
        """Keep none of them. Those who send one go on."""
        for file in self._files.values():
            file.release()
        self._files.clear()
        self._idle.clear()

    def _look(self, now: float) -> None:
        for identity in self._idle:
            self._files.pop(identity).release()
        self._idle = set(self._files)
        if self._files:
            self._timers.set(self._timer, now + KEPT_S)
