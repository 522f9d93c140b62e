"""What an HTTP connection waits for."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


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


HEAD: Final = State.HEAD
EXCHANGE: Final = State.EXCHANGE
SENDING: Final = State.SENDING
DISCARD: Final = State.DISCARD
LINGER: Final = State.LINGER
CLOSED: Final = State.CLOSED
"""To look a member up in its enumeration takes ten times as long as to compare it (Python 3.11)."""
