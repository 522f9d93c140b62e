"""The load of a pool, from what its workers write into the scoreboard, and the size it asks for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from forkd.master.generation import Generation
from forkd.master.lifecycle import Child
from forkd.master.sizing import Load, Sizing
from forkd.scoreboard import Slot

log = logging.getLogger("forkd.master")


class Meter:
    """Remembers the last figures of each worker, since what counts is how fast they grow."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[float, float]] = {}
        """By pid: CPU seconds used, and when that was."""
        self._shares: dict[int, float] = {}
        """By pid: which part of a CPU was used between the last two figures."""

    def load(self, workers: Iterable[tuple[Child, Slot]], threads: int, queued: int) -> Load:
        """What those that serve have to do. queued: connections that nobody has accepted yet."""
        busy, waiting, seen = 0.0, queued, set()
        for child, slot in workers:
            if child.pid is None or not child.serves:
                continue
            seen.add(child.pid)
            busy += max(self._share(child.pid, slot), slot.read().threads_busy / threads)
            waiting += slot.read_waiting()
        for pid in self._last.keys() - seen:
            del self._last[pid]
            self._shares.pop(pid, None)
        return Load(busy, waiting)

    def _share(self, pid: int, slot: Slot) -> float:
        used, at = slot.read_cpu()
        before = self._last.get(pid)
        if before is None or at > before[1]:
            self._last[pid] = used, at
            if before is not None:
                self._shares[pid] = min(1.0, max(0.0, (used - before[0]) / (at - before[1])))
        return self._shares.get(pid, 0.0)


class Resizer:
    """Keeps the number of workers of a generation with min and max what its load needs."""

    def __init__(self) -> None:
        self._meter = Meter()
        self._sizing: tuple[int, Sizing] | None = None
        """The generation that it is for, and what it has seen."""

    def resize(
        self,
        generation: Generation,
        workers: Callable[[], Iterable[tuple[Child, Slot]]],
        queued: Callable[[], int],
        now: float,
    ) -> None:
        """Look at the load. queued: connections that nobody has accepted; now: monotonic s."""
        wanted = generation.settings.workers
        if wanted.min is None or wanted.max is None:
            return
        if self._sizing is None or self._sizing[0] != generation.number:
            sizing = Sizing(wanted.min, wanted.max, wanted.idle_timeout, generation.workers, now)
            self._sizing = generation.number, sizing
        size = self._sizing[1].observe(now, self._meter.load(workers(), wanted.threads, queued()))
        if size != generation.workers:
            log.info(
                "%d workers from now on, not %d: the load has changed", size, generation.workers
            )
            generation.workers = size
