"""A non-blocking socket whose output is queued: bytes and ranges of files, sent as they are taken.

Stream is a base class: a protocol derives from it and says what to do with what arrives. One object
for each connection instead of two, and one call less for each event, is what the inheritance buys.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections import deque

from forkd.loop.loop import Loop
from forkd.loop.timers import Timed

_IN = select.EPOLLIN
_OUT = select.EPOLLOUT
_HANGUP = select.EPOLLHUP | select.EPOLLERR

READ_SIZE = 65536
FILE_BURST = 2 << 20
"""Bytes of a file sent in one turn; then the other connections have theirs."""


class SharedFile:
    """A descriptor with several holders. Who lets go of it last closes it."""

    __slots__ = ("_holders", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._holders = 1

    def hold(self) -> SharedFile:
        self._holders += 1
        return self

    def release(self) -> None:
        """To be called once by each holder."""
        self._holders -= 1
        if not self._holders:
            os.close(self.fd)
            self.fd = -1


class FileRange:
    """Bytes [offset, offset + count) of an open file, of which it is one holder."""

    __slots__ = ("_file", "count", "fd", "offset")

    def __init__(self, file: SharedFile, offset: int, count: int) -> None:
        self._file = file
        self.fd = file.fd
        self.offset = offset
        self.count = count

    def close(self) -> None:
        if self.fd >= 0:
            self.fd = -1
            self._file.release()


class Stream(Timed):
    """Reads are given to `received`, the end of input to `input_ended`, a broken peer to `lost`.

    `queued` is the number of bytes that the kernel has not taken yet. When it rises from 0,
    `stalled` is called, and when it falls, `progressed` or `drained`: a peer that stops reading is
    noticed by the deadline that these set, and by nothing else.
    """

    __slots__ = ("_mask", "_queue", "fd", "loop", "queued", "sent", "sock")

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        super().__init__()
        self.loop = loop
        self.sock = sock
        self.fd = sock.fileno()
        self._mask = _IN
        self._queue: deque[bytes | memoryview | FileRange] | None = None
        self.queued = 0
        self.sent = 0
        """Bytes that the kernel has taken in all."""
        loop.watch(self.fd, self.on_event, _IN)

    may_be_shared = True
    """Whether a forked process may hold a copy of the descriptor."""

    # What a protocol says.

    def received(self, data: bytes) -> None:
        raise NotImplementedError

    def input_ended(self) -> None:
        """The peer has sent its last byte (FIN). Reading has been paused."""
        raise NotImplementedError

    def stalled(self) -> None:
        """Some output has to wait from now on."""

    def progressed(self) -> None:
        """Some of the output that waits has been taken."""

    def drained(self) -> None:
        """All output has been taken by the kernel, after some had to wait."""
        raise NotImplementedError

    def lost(self, error: OSError) -> None:
        """The peer is gone: reset, or a write failed. Nothing more can be sent or read."""
        raise NotImplementedError

    # What a protocol uses.

    @property
    def closed(self) -> bool:
        return self.fd < 0

    def send(self, data: bytes, more: bool = False) -> None:
        """Send now what the kernel takes, queue the rest. `more`: a file follows at once."""
        if self._queue:
            self._queue.append(data)
            self.queued += len(data)
            return
        try:
            count = self.sock.send(data, socket.MSG_MORE) if more else self.sock.send(data)
        except BlockingIOError:
            count = 0
        except OSError as error:
            if self.fd >= 0:
                self.queued = len(data)  # what is lost with the peer
                self.lost(error)
            return
        self.sent += count
        if count != len(data):
            self._queue = deque((memoryview(data)[count:],))
            self.queued = len(data) - count
            self._interest(self._mask | _OUT)
            self.stalled()

    def send_file(self, file: FileRange) -> None:
        """Send a range of a file after what is queued. Takes the descriptor over."""
        if self.fd < 0:
            file.close()
            return
        if self._queue:
            self._queue.append(file)
            self.queued += file.count
            return
        try:
            self.sent += self._send_range(file, min(file.count, FILE_BURST))
        except BlockingIOError:
            pass
        except OSError as error:
            self.queued = file.count
            file.close()
            self.lost(error)
            return
        if file.count:
            self._queue = deque((file,))
            self.queued = file.count
            self._interest(self._mask | _OUT)
            self.stalled()

    def pause_reading(self) -> None:
        self._interest(self._mask & ~_IN)

    def resume_reading(self) -> None:
        self._interest(self._mask | _IN)

    def end_output(self) -> None:
        """Half-close: the peer reads the end, and we go on reading (RFC 9112 9.6)."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.lost(error)

    def close(self) -> None:
        """Close at once; what is queued is given up."""
        if self.fd < 0:
            return
        if self.may_be_shared:
            self.loop.forget(self.fd)
        else:
            self.loop.forget_closing(self.fd)
        self.sock.close()
        self.fd = -1
        self._mask = 0
        self.loop.timers.remove(self)
        if self._queue:
            for item in self._queue:
                if isinstance(item, FileRange):
                    item.close()
            self._queue = None
        self.queued = 0

    # Events.

    def on_event(self, mask: int) -> None:
        if mask & _OUT:
            self._writable()
        if mask & self._mask & _IN:
            try:
                data = self.sock.recv(READ_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                self.lost(error)
                return
            if data:
                self.received(data)
            else:
                self.pause_reading()
                self.input_ended()
        elif mask & _HANGUP and self.fd >= 0:
            # The kernel tells of a reset also while reading is paused: it must not spin here.
            number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self.lost(OSError(number, os.strerror(number)) if number else ConnectionResetError())

    def _writable(self) -> None:
        before = self.queued
        self._flush()
        if self.fd < 0:
            return
        if not self._queue:
            self._interest(self._mask & ~_OUT)
            self.drained()
        elif self.queued != before:
            self.progressed()

    def _interest(self, mask: int) -> None:
        if mask != self._mask and self.fd >= 0:
            self._mask = mask
            self.loop.change(self.fd, mask)

    def _flush(self) -> None:
        """Send from the queue until it is empty, the kernel takes no more, or the turn is over."""
        queue = self._queue
        budget = FILE_BURST
        try:
            while queue and budget > 0:
                item = queue[0]
                if isinstance(item, FileRange):
                    wanted = min(item.count, budget)
                    count = self._send_range(item, wanted)
                    done = not item.count
                else:
                    wanted = len(item)
                    count = self.sock.send(item)
                    done = count == wanted
                    if not done:
                        queue[0] = memoryview(item)[count:]
                if done:
                    queue.popleft()
                budget -= count
                self.queued -= count
                self.sent += count
                if count < wanted:
                    break  # the kernel takes no more: to ask again would cost as much as to send
        except BlockingIOError:
            pass
        except OSError as error:
            self.lost(error)

    def _send_range(self, item: FileRange, wanted: int) -> int:
        """Send some of a file; the number of bytes. Lets go of the file with the last of it."""
        count = os.sendfile(self.fd, item.fd, item.offset, wanted)
        if count == 0:
            raise OSError(errno.EIO, "the file became shorter while it was sent")
        item.offset += count
        item.count -= count
        if not item.count:
            item.close()
        return count
