"""How far a CGI program has come, and what it means when it makes no progress any more."""

from __future__ import annotations

from enum import Enum, auto


class Life(Enum):
    """NONE -> ORDERED -> RUNNING -> TERMINATED -> ENDED, the last but one only where nobody wants
    it any more. What is refused is ENDED at once."""

    NONE = auto()
    ORDERED = auto()
    RUNNING = auto()
    TERMINATED = auto()
    ENDED = auto()
    """Others of its group may still hold its output."""


# Looked at many times for each request, and slow to look up in the enumeration.
NONE, ORDERED, RUNNING, TERMINATED, ENDED = Life


def overdue(life: Life, timeout_s: float, *, closed_early: bool) -> tuple[int, str]:
    """The status for the client and the reason for the log, where there is no whole answer yet.

    closed_early: it has closed its output without a header.
    """
    if life is ORDERED:
        return 503, f"waited {timeout_s:g} s to be started"
    if closed_early:
        return 502, "the program closed its output without a header, and runs on"
    return 504, no_progress(life, timeout_s)


def no_progress(life: Life, timeout_s: float) -> str:
    """Why it is ended."""
    patience = f"no progress for {timeout_s:g} s: terminated"
    if life is ENDED:
        return f"it has ended, but what it has started holds its output, {patience}"
    return patience
