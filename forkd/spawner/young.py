"""Programs that may be over before it is worth to be woken for them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from forkd.loop.loop import Loop
from forkd.loop.timers import Timer

AGE_S = 0.05

log = logging.getLogger("forkd.cgi")

T = TypeVar("T")


class Young(Generic[T]):
    """Calls `grown` with each thing that has not been taken out when it is AGE_S old, or 0.3 s at
    most. One timer serves for all of them. A fault about one is nobody else's."""

    def __init__(self, loop: Loop, grown: Callable[[T], None]) -> None:
        self._loop = loop
        self._grown = grown
        self._since: dict[T, float] = {}
        """Monotonic seconds, the oldest first. What is over must not stay: memory that is used
        again at once is in the processor's caches, and other memory is not."""
        self._timer = Timer(self._on_time)
        self._is_set = False

    def add(self, item: T) -> None:
        if not self._is_set:
            self._is_set = True
            self._loop.timers.set(self._timer, self._loop.now + AGE_S)
        self._since[item] = self._loop.now

    def discard(self, item: T) -> None:
        """It is of no interest any more. It may have grown already."""
        self._since.pop(item, None)

    def _on_time(self, now: float) -> None:
        grown = [item for item, since in self._since.items() if since <= now - AGE_S]
        for item in grown:
            del self._since[item]
        self._is_set = bool(self._since)
        if self._is_set:
            self._loop.timers.set(self._timer, now + AGE_S)
        for item in grown:
            try:
                self._grown(item)
            except Exception:
                log.exception("fault about a program")
