"""How long things took, as numbers in fixed buckets: adds up over processes, and takes no room."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

BOUNDS_S: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""The longest time in each bucket, seconds. One more bucket has what took longer than all."""
BUCKETS: Final = len(BOUNDS_S) + 1


class Histogram:
    """`counts` by bucket, and the `seconds` of all together."""

    __slots__ = ("counts", "seconds")

    def __init__(self, counts: Sequence[int] = (0,) * BUCKETS, seconds: float = 0.0) -> None:
        self.counts = list(counts)
        self.seconds = seconds

    @property
    def total(self) -> int:
        return sum(self.counts)

    def note(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.seconds += seconds

    def note_instant(self, number: int) -> None:
        """Some more that took no time worth measuring: they are in the first bucket."""
        self.counts[0] += number

    def add(self, other: Histogram) -> None:
        """All of another one."""
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.seconds += other.seconds

    def copy(self) -> Histogram:
        return Histogram(self.counts, self.seconds)

    def quantile(self, share: float) -> float | None:
        """The time in seconds within which this share of them was done; None where there are none.

        Within a bucket they are taken to be spread evenly, as Prometheus' histogram_quantile does;
        of what took longer than the last bound nothing more is known, and that bound is given.
        """
        total = self.total
        if not total:
            return None
        rank, below, before = share * total, 0.0, 0
        for bound, count in zip(BOUNDS_S, self.counts, strict=False):
            if count and before + count >= rank:
                return below + (bound - below) * max(0.0, rank - before) / count
            before += count
            below = bound
        return BOUNDS_S[-1]
