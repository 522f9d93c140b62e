"""How long new connections had waited in the kernel's queue when they were accepted."""

from __future__ import annotations

import socket

from forkd.figures.counting import Figures
from forkd.system.sockets import seconds_since_data

_EVERY_S = 0.005


class QueueTime:
    """Looks at a sample of the connections: at one in five milliseconds at most.

    A look costs 2 to 4 microseconds: less than a thousandth of the time of a worker that accepts as
    fast as it can, and with few connections all of them are looked at. Clients of HTTP send their
    request at once, and when that came the kernel knows (TCP_INFO, tcp(7)); of a client that says
    nothing it is the connection that has waited.
    """

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._next_look = 0.0

    def look(self, sock: socket.socket, now: float) -> None:
        """A TCP connection has just been accepted. now: monotonic seconds."""
        if now < self._next_look:
            return
        self._next_look = now + _EVERY_S
        if (waited := waited_s(sock)) is not None:
            self._figures.note_wait(waited)


def waited_s(sock: socket.socket) -> float | None:
    """Seconds for which a connection that has just been accepted had waited, in whole milliseconds;
    None where it is gone already."""
    try:
        return seconds_since_data(sock)
    except OSError:
        return None
