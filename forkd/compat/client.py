"""The client's connection, where it is a socket: a server may also hand over its likeness."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PIECE = 64 * 1024
_MAX_DISCARDED = 1024 * 1024
_DISCARD_S = 1.0


@contextmanager
def patience(connection: object, timeout_s: float) -> Iterator[None]:
    """Let no client that stands still hold the thread, where no timeout is set already."""
    if not isinstance(connection, socket.socket) or connection.gettimeout() is not None:
        yield
        return
    connection.settimeout(timeout_s)
    try:
        yield
    finally:
        connection.settimeout(None)


def discard(connection: object, read: Callable[[int], bytes], unread: int) -> None:
    """Read what comes of a body within about a second.

    To close while bytes wait unread resets the connection, and the client loses the answer.
    """
    if not 0 < unread <= _MAX_DISCARDED or not isinstance(connection, socket.socket):
        return
    deadline = time.monotonic() + _DISCARD_S
    before = connection.gettimeout()
    try:
        connection.settimeout(_DISCARD_S)
        while unread > 0 and time.monotonic() < deadline:
            if not (data := read(min(unread, _PIECE))):
                break
            unread -= len(data)
    except OSError:
        pass
    finally:
        connection.settimeout(before)


def descriptor(connection: object) -> int:
    """The descriptor of a connection, -1 for an object that only looks like one."""
    try:
        return int(connection.fileno())  # type: ignore[attr-defined]  # that is what is asked
    except (AttributeError, OSError, ValueError):
        return -1
