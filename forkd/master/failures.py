"""Pools whose children die at their start, and how long each is left alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from forkd.master.lifecycle import Key, backoff_s

log = logging.getLogger("forkd.master")


class Failures:
    """Counts failed starts in a row. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._counts: dict[Key, int] = {}
        self._not_before: dict[Key, float] = {}

    @property
    def not_before(self) -> Mapping[Key, float]:
        return self._not_before

    def note(self, key: Key, now: float) -> float:
        """One more; gives the seconds until the next start."""
        self._counts[key] = self._counts.get(key, 0) + 1
        delay = backoff_s(self._counts[key])
        self._not_before[key] = now + delay
        return delay

    def back_off(self, key: Key, reason: str, now: float) -> None:
        """One more, and say so."""
        delay = self.note(key, now)
        log.error("%s; the next start is tried in %g s", reason, delay)

    def clear(self, key: Key) -> None:
        """A child of this pool has come up."""
        self._counts.pop(key, None)
        self._not_before.pop(key, None)

    def forget_generation(self, number: int) -> None:
        for key in [key for key in self._counts if key[0] == number]:
            self.clear(key)
