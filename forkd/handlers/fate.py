"""What became of a request's program, for those who are told of the request: the access log."""

from __future__ import annotations

from collections.abc import Callable

from forkd.handlers.cgi_failures import exit_words
from forkd.handlers.programs import Ended


class Fate:
    """Is known when the program has been reaped, a moment after the answer mostly."""

    __slots__ = ("_known", "end", "is_known", "pid")

    def __init__(self) -> None:
        self.pid = 0
        """0 where none was started."""
        self.end: Ended | None = None
        """None: not known, not yet or never."""
        self.is_known = False
        """Nothing more will be."""
        self._known: Callable[[], None] | None = None

    @property
    def words(self) -> str:
        """How the program has ended, for the log."""
        return "unknown: the spawner died" if self.end is None else exit_words(self.end.status)

    def settle(self, end: Ended | None) -> None:
        """Say how it ended. What is said first counts."""
        if self.is_known:
            return
        self.end, self.is_known = end, True
        known, self._known = self._known, None
        if known is not None:
            known()

    def tell(self, known: Callable[[], None] | None) -> None:
        """Have one function called when it is known, which it is not yet; None: call it no more."""
        self._known = known
