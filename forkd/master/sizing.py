"""How many workers a pool between min and max should have. Pure.

The size is the most that was needed within the last idle_timeout: it grows when need arises and
shrinks when the need has been gone for that long, so a load that goes up and down does not make
workers come and go with it.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

_FULL = 0.75
"""The share of its capacity that a worker is meant to use: what is above is room for bursts."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a pool has to do at one time."""

    busy: float
    """How many workers' capacity is in use; 1.5 is one and a half workers."""
    waiting: int
    """Requests and connections that wait because nobody is free."""


class Sizing:
    """Call `observe` every second or so."""

    def __init__(self, low: int, high: int, idle_timeout_s: float, size: int, now: float) -> None:
        """size: how many workers there are, and so many were needed lately."""
        self._low = low
        self._high = high
        self._idle_timeout_s = idle_timeout_s
        self.size = min(max(size, low), high)
        self._needs = deque([(now, self.size)])
        """When how many were needed, each fewer than the one before it: those that can still be
        the most of their time."""

    def observe(self, now: float, load: Load) -> int:
        """The size from now on. now: monotonic seconds."""
        need = self._need(load)
        needs = self._needs
        while needs and needs[-1][1] <= need:
            needs.pop()
        needs.append((now, need))
        while needs[0][0] <= now - self._idle_timeout_s:
            needs.popleft()
        self.size = needs[0][1]
        return self.size

    def _need(self, load: Load) -> int:
        # How much more is not known as long as work waits. Never more than twice as many at once:
        # each start costs the others something.
        most = 2 * self.size
        need = most if load.waiting else math.ceil(load.busy / _FULL)
        return min(max(need, self._low), self._high, most)
