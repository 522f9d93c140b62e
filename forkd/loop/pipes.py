"""Our ends of pipes to programs: a source that can be paused, a sink that queues."""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable

from forkd.loop.loop import Loop

_READ_SIZE = 65536
_REST_READS = 16
"""A pipe of the usual size is empty by then also where little is read at a time (pipe(7))."""


class Source:
    """Reads a descriptor and gives what comes to `data`; at its end, or a fault, calls `ended`.

    Takes the descriptor over, also where it raises OSError because that cannot be watched.
    `read_size` bytes are read in one turn at most, but what is left at the end at once: less for
    what costs more than passing it on.
    `watched`: it is read as it comes; else from `watch` on, and by `read_rest` before that.
    """

    def __init__(
        self,
        loop: Loop,
        fd: int,
        data: Callable[[bytes], None],
        ended: Callable[[], None],
        read_size: int = _READ_SIZE,
        *,
        watched: bool = True,
    ) -> None:
        self._loop = loop
        self._data = data
        self._ended = ended
        self._read_size = read_size
        self.paused = False
        self._watched = False
        self.fd = fd
        try:
            os.set_blocking(fd, False)
            if watched:
                self.watch()
        except OSError:
            os.close(fd)
            raise

    @property
    def closed(self) -> bool:
        return self.fd < 0

    def watch(self) -> None:
        """Read it as it comes. Raises OSError."""
        if not self._watched and self.fd >= 0:
            self._loop.watch(self.fd, self._on_event)
            self._watched = True

    def pause(self) -> None:
        # Not watched at all: the end of a pipe is reported even to those who ask for nothing.
        if not self.paused and self.fd >= 0:
            self.paused = True
            self._watched = False
            self._loop.forget(self.fd)

    def resume(self) -> None:
        if self.paused and self.fd >= 0:
            self.paused = False
            self.watch()

    def close(self) -> None:
        if self.fd >= 0:
            if self._watched:
                self._watched = False
                self._loop.forget_closing(self.fd)  # nobody else has this end of the pipe
            self.paused = False
            os.close(self.fd)
            self.fd = -1
            # Whoever is called has this as well: without that, no collector is needed.
            self._data, self._ended = _no_data, _nothing

    def read_rest(self) -> None:
        """Take what is there already, without waiting for more, unless paused.

        Not without end: somebody may go on filling the pipe as fast as it is read.
        """
        for _ in range(_REST_READS):
            if self.fd < 0 or self.paused or not self._read():
                return

    def _on_event(self, mask: int) -> None:
        if mask & select.EPOLLHUP:
            self.read_rest()  # nobody writes any more: the end comes at once
        else:
            self._read()

    def _read(self) -> bool:
        try:
            data = os.read(self.fd, self._read_size)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data:
            self._data(data)
            return True
        ended = self._ended
        self.close()
        ended()
        return False


class Sink:
    """Writes to a descriptor what it takes and queues the rest. Takes the descriptor over.

    A reader that has gone is no error: a program need not read its input. What is written from then
    on is thrown away.
    """

    def __init__(self, loop: Loop, fd: int, progressed: Callable[[], None]) -> None:
        self._loop = loop
        self._queue: deque[bytes] = deque()
        self._progressed = progressed
        self._ending = False
        self._watched = False
        self.fd = fd
        self.queued = 0
        os.set_blocking(fd, False)

    @property
    def idle(self) -> bool:
        """Whether it waits to be given something: all is written, the reader there, the end not."""
        return not self._queue and self.fd >= 0

    def write(self, data: bytes) -> None:
        if self.fd < 0:
            return
        self._queue.append(data)
        self.queued += len(data)
        if len(self._queue) == 1:
            self._flush()

    def end(self) -> None:
        """Close when all is written."""
        self._ending = True
        if not self._queue:
            self.close()

    def drop(self) -> None:
        """Write no more, without that the reader comes to an end: it must not take what it has got
        for the whole."""
        if self.fd >= 0:
            self._watch(False)
        self._queue.clear()
        self.queued = 0

    def close(self) -> None:
        self.drop()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _on_event(self, _mask: int) -> None:
        before = self.queued
        self._flush()
        if self.queued < before:
            self._progressed()

    def _flush(self) -> None:
        while self._queue:
            data = self._queue[0]
            try:
                count = os.write(self.fd, data)
            except BlockingIOError:
                self._watch(True)
                return
            except OSError:
                self.close()
                return
            self.queued -= count
            if count == len(data):
                self._queue.popleft()
            else:
                self._queue[0] = data[count:]
        self._watch(False)
        if self._ending:
            self.close()

    def _watch(self, wanted: bool) -> None:
        if wanted and not self._watched:
            self._loop.watch(self.fd, self._on_event, select.EPOLLOUT)
        elif self._watched and not wanted:
            self._loop.forget(self.fd)
        self._watched = wanted


def _nothing() -> None:
    pass


def _no_data(_data: bytes) -> None:
    pass
