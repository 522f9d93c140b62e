"""Programs that may be over before it is worth to be woken for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from forkd.loop.loop import Loop
from forkd.loop.timers import Timer

AGE_S = 0.05

T = TypeVar("T")


class Young(Generic[T]):
    """Calls `grown` with each thing that has not been taken out when it is AGE_S old, or 0.3 s at
    most. One timer serves for all of them."""

    def __init__(self, loop: Loop, grown: Callable[[T], None]) -> None:
        self._loop = loop
        self._grown = grown
        self._newer: dict[T, None] = {}
        """Since the timer was last set. What is over must not stay: memory that is used again at
        once is in the processor's caches, and other memory is not."""
        self._older: dict[T, None] = {}
        self._timer = Timer(self._on_time)
        self._is_set = False

    def add(self, item: T) -> None:
        if not self._is_set:
            self._is_set = True
            self._loop.timers.set(self._timer, self._loop.now + AGE_S)
        self._newer[item] = None

    def discard(self, item: T) -> None:
        """It is of no interest any more. It may have grown already."""
        if item in self._newer:
            del self._newer[item]
        else:
            self._older.pop(item, None)

    def _on_time(self, now: float) -> None:
        grown, self._older, self._newer = self._older, self._newer, {}
        self._is_set = bool(self._older)
        if self._older:
            self._loop.timers.set(self._timer, now + AGE_S)
        for item in grown:
            self._grown(item)
