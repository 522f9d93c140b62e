"""What has happened lately: deaths and reloads, for those who ask what is going on."""

from __future__ import annotations

import time
from collections import Counter, deque

from forkd.child import Kind
from forkd.master.death import Death
from forkd.master.status import LastReload, request_entry

_KEPT = 20


class History:
    """The last ones of each, and how many there have been."""

    def __init__(self) -> None:
        self.death_counts: Counter[str] = Counter()
        """Of workers, by cause."""
        self.reload_counts = {"success": 0, "failure": 0}
        self._deaths: deque[dict[str, object]] = deque(maxlen=_KEPT)
        self._reloads: deque[dict[str, object]] = deque(maxlen=_KEPT)

    def note_death(self, death: Death, now: float) -> None:
        """now: monotonic seconds."""
        child = death.child
        if child.pool.kind is Kind.WORKER:
            self.death_counts[death.cause] += 1
        self._deaths.append(
            {
                "at": round(time.time(), 3),
                "kind": child.pool.kind.value,
                "slot": child.slot,
                "pid": child.pid,
                "generation": child.generation,
                "reason": death.reason,
                "request": request_entry(death.doing, now),
            }
        )

    def note_reload(self, reload: LastReload, generation: int) -> None:
        """generation: the one that serves after it."""
        self.reload_counts["success" if reload.ok else "failure"] += 1
        self._reloads.append(
            {
                "at": round(reload.at, 3),
                "ok": reload.ok,
                "generation": generation,
                "reasons": list(reload.reasons),
            }
        )

    def figures(self) -> dict[str, object]:
        """For status, the oldest first."""
        return {"deaths": list(self._deaths), "reloads": list(self._reloads)}
