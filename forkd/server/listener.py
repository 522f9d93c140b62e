"""Accepting connections on the listeners that all workers share."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable

from forkd.loop.loop import EXCLUSIVE, READABLE, Loop
from forkd.loop.timers import Timer

log = logging.getLogger("forkd.server")

_AT_ONCE = 16
"""Accepted in one turn. More would let one worker take a burst that others could share."""
_PAUSE_S = 0.5
"""Without descriptors accepting only spins: wait until some may have been closed."""

_QUEUE = 4096
"""The longest queue of a listener."""
_OF_THE_CLIENT = frozenset(
    {
        errno.ECONNABORTED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENONET,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EPERM,
        errno.EPROTO,
    }
)
"""What is wrong with one connection, not with accepting (accept(2), "Error handling")."""

Accepted = Callable[[socket.socket, object], None]


class Listener:
    """One worker's view of a listening socket."""

    def __init__(
        self, loop: Loop, sock: socket.socket, accepted: Accepted, shared: bool = False
    ) -> None:
        """shared: other processes accept on the same socket, each its part."""
        self._loop = loop
        self._sock = sock
        self._family, self._type, self._protocol = int(sock.family), int(sock.type), sock.proto
        self._accepted = accepted
        self._shared = shared
        self._resume_timer = Timer(lambda _now: self.resume())
        self._listening = False
        self._closed = False
        self._held = False
        self.resume()

    def resume(self) -> None:
        if not (self._listening or self._closed or self._held):
            # EXCLUSIVE: a new connection wakes one worker, not all of them (epoll_ctl(2)).
            self._loop.watch(self._sock.fileno(), self._on_ready, READABLE | EXCLUSIVE)
            self._listening = True

    def pause(self) -> None:
        """Leave what comes to the other workers, or in the kernel's queue."""
        if self._listening:
            self._loop.forget(self._sock.fileno())
            self._listening = False

    def hold(self) -> None:
        """Accept nothing until `release`, whoever resumes: this host is out of service."""
        self._held = True
        self.pause()

    def release(self) -> None:
        self._held = False
        self.resume()

    def close(self, last: bool) -> None:
        """Close this process's copy; the master's keeps the queue.

        last: nobody else is going to accept, so that all that wait are taken. Otherwise only some
        are: the kernel may have woken this process, and no other, for a connection.
        """
        if self._closed:
            return
        self.pause()
        self._closed = True
        left = _QUEUE if last else (0 if self._held else _AT_ONCE)
        while left and self._accept():
            left -= 1
        self._loop.timers.remove(self._resume_timer)
        self._sock.close()

    def _on_ready(self, _mask: int) -> None:
        for _ in range(_AT_ONCE):
            if not self._listening or not self._accept():
                break
        if self._listening and self._shared:
            # Watched anew, this process goes to the end of those that the kernel wakes; otherwise
            # the same one would get nearly all connections. Readiness is looked at again as well.
            self.pause()
            self.resume()

    def _accept(self) -> bool:
        try:
            # What socket.accept() does, without asking its enumerations for family and type on each
            # connection, which takes longer than the system call.
            descriptor, address = self._sock._accept()  # type: ignore[attr-defined]
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _OF_THE_CLIENT:
                return True
            log.error("cannot accept: %s; paused for %g s", error.strerror, _PAUSE_S)
            self.pause()
            self._loop.timers.set(self._resume_timer, self._loop.now + _PAUSE_S)
            return False
        sock = socket.socket(self._family, self._type, self._protocol, descriptor)
        sock.setblocking(False)
        self._accepted(sock, address)
        return True
