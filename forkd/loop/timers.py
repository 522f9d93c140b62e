"""Deadlines in a coarse wheel, made for timeouts that are moved far more often than they fire.

Moving a deadline later is one attribute store: the item stays in its old bucket, and when that
bucket comes up it is put where it belongs by then. Only a deadline that moves earlier is filed
anew. A keep-alive connection therefore pays nothing for its idle timeout from request to request.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

NEVER = math.inf
_NOWHERE = 1 << 62


class Timed:
    """Something with a deadline (monotonic seconds). Subclasses say what happens when it passes."""

    __slots__ = ("deadline", "filed")

    def __init__(self) -> None:
        self.deadline = NEVER
        self.filed = _NOWHERE
        """The number of the wheel's bucket that holds it."""

    def on_deadline(self, now: float) -> None:
        raise NotImplementedError


class Timer(Timed):
    """A deadline that calls a function."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[float], None]) -> None:
        super().__init__()
        self._callback = callback

    def on_deadline(self, now: float) -> None:
        self._callback(now)


class Wheel:
    """Files items by their deadline, in buckets of `tick` seconds. Late by at most one tick."""

    def __init__(self, tick: float = 0.1) -> None:
        self._tick = tick
        self._buckets: dict[int, set[Timed]] = {}
        self._order: list[int] = []
        """A heap of the buckets' numbers, so that the earliest is known at each sleep."""
        self.next_due = NEVER
        """When `fire` has something to look at; NEVER where nothing is filed."""

    def set(self, item: Timed, deadline: float) -> None:
        """Give item a deadline; NEVER lets it lapse, `remove` forgets the item as well."""
        item.deadline = deadline
        if deadline < item.filed * self._tick:
            self._take_out(item)
            self._file(item, deadline)

    def remove(self, item: Timed) -> None:
        """Hold item no longer: it will never be needed again."""
        item.deadline = NEVER
        self._take_out(item)

    def fire(self, now: float) -> None:
        """Call on_deadline of every item whose deadline has passed.

        What one of them raises comes through; those that were not reached are called next time.
        """
        current = int(now / self._tick)
        while self._order and self._order[0] <= current:
            number = heapq.heappop(self._order)
            bucket = self._buckets[number]
            try:
                while bucket:
                    # One by one: what is called may take others out of this bucket.
                    item = bucket.pop()
                    item.filed = _NOWHERE
                    if item.deadline <= now:
                        item.deadline = NEVER
                        item.on_deadline(now)
                    elif item.deadline < NEVER:
                        self._file(item, item.deadline)
            finally:
                # A fault in one of them leaves the others for the next call.
                if bucket:
                    heapq.heappush(self._order, number)
                else:
                    del self._buckets[number]
                self.next_due = self._order[0] * self._tick if self._order else NEVER

    def _file(self, item: Timed, deadline: float) -> None:
        number = item.filed = int(deadline / self._tick) + 1
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = set()
            heapq.heappush(self._order, number)
            self.next_due = self._order[0] * self._tick
        bucket.add(item)

    def _take_out(self, item: Timed) -> None:
        if bucket := self._buckets.get(item.filed):
            bucket.discard(item)
        item.filed = _NOWHERE
