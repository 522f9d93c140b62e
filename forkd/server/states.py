"""What an HTTP connection waits for."""

from __future__ import annotations

from enum import Enum, auto


class State(Enum):
    """Legal steps:

    HEAD -> EXCHANGE, DISCARD, SENDING, LINGER    EXCHANGE -> HEAD, DISCARD, SENDING, LINGER
    SENDING -> HEAD, DISCARD, LINGER              DISCARD -> HEAD, LINGER
    and from each to CLOSED.
    """

    HEAD = auto()
    """A request, or the rest of its head."""
    EXCHANGE = auto()
    """A job that makes the answer."""
    SENDING = auto()
    """The client, which has not taken the whole answer yet."""
    DISCARD = auto()
    """The end of a body that nobody wants; its answer has been sent."""
    LINGER = auto()
    """The client's end of the connection; ours is closed."""
    CLOSED = auto()
