"""Receiving datagrams on the sockets that all workers share."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

from forkd.loop.loop import EXCLUSIVE, READABLE, Loop
from forkd.loop.timers import Timer

log = logging.getLogger("forkd.server")

_AT_ONCE = 16
"""Received in one turn. More would let one worker take a burst that others could share."""
_AT_LAST = 1024
"""Received when nobody is left to receive what waits in the kernel."""
_LARGEST = 256 * 1024
"""Bytes. One of UDP has at most 65,507; one of a Unix socket what net.core.wmem_default lets."""
_PAUSE_S = 0.01
"""Without room: when to look again. The kernel keeps some, and drops the rest as UDP does."""

Received = Callable[[bytes, object], None]


class Datagrams:
    """One worker's view of a socket for datagrams."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        received: Received,
        has_room: Callable[[], bool],
        shared: bool = False,
    ) -> None:
        """has_room: whether another datagram can be dealt with soon.

        shared: other processes receive on the same socket, each its part.
        """
        self._loop = loop
        self._sock = sock
        self._received = received
        self._has_room = has_room
        self._shared = shared
        self._buffer = bytearray(_LARGEST)
        self._resume_timer = Timer(self._look_again)
        self._listening = False
        self._closed = False
        self._held = False
        self._resume()

    def hold(self) -> None:
        """Receive nothing until `release`: this host is out of service."""
        self._held = True
        self._pause()

    def release(self) -> None:
        self._held = False
        self._resume()

    def close(self, last: bool) -> None:
        """Close this process's copy; the master's keeps what waits.

        last: nobody else is going to receive, so that all that wait are taken. Otherwise only some
        are: the kernel may have woken this process, and no other, for one.
        """
        if self._closed:
            return
        self._pause()
        self._closed = True
        left = _AT_LAST if last else (0 if self._held else _AT_ONCE)
        while left and self._receive():
            left -= 1
        self._loop.timers.remove(self._resume_timer)
        self._sock.close()

    def _resume(self) -> None:
        if self._listening or self._closed or self._held:
            return
        # EXCLUSIVE: a datagram wakes one worker, not all of them (epoll_ctl(2)).
        self._loop.watch(self._sock.fileno(), self._on_ready, READABLE | EXCLUSIVE)
        self._listening = True

    def _pause(self) -> None:
        if self._listening:
            self._loop.forget(self._sock.fileno())
            self._listening = False

    def _look_again(self, now: float) -> None:
        if self._has_room():
            self._resume()
        else:
            self._loop.timers.set(self._resume_timer, now + _PAUSE_S)

    def _on_ready(self, _mask: int) -> None:
        for _ in range(_AT_ONCE):
            if not self._has_room():
                self._pause()
                self._loop.timers.set(self._resume_timer, self._loop.now + _PAUSE_S)
                return
            if not self._receive():
                break
        if self._shared:
            # To the end of those that the kernel wakes, and readiness is looked at again.
            self._pause()
            self._resume()

    def _receive(self) -> bool:
        try:
            # The socket blocks, for those who answer on it.
            size, client = self._sock.recvfrom_into(self._buffer, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError as error:
            # What an earlier answer met on its way, ip(7). It is said once, and concerns nobody.
            log.debug("while receiving: %s", error.strerror)
            return True
        self._received(bytes(memoryview(self._buffer)[:size]), client)
        return True
