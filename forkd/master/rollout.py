"""A new generation on its way in: first one canary, then all, then the old ones go. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from forkd.child import Kind, Pool
from forkd.master.lifecycle import Child


class Phase(Enum):
    """CANARY -> FILL -> DONE."""

    CANARY = auto()
    """One worker must become ready: its configuration and its applications work."""
    FILL = auto()
    """The others must, too."""
    DONE = auto()


@dataclass(frozen=True, slots=True)
class Rollout:
    """The step that a generation has reached. `full` is how many of each pool it is to have."""

    generation: int
    full: Mapping[Pool, int]
    phase: Phase

    def counts(self) -> dict[tuple[int, Pool], int]:
        """How many of each pool are wanted in this phase."""
        canary = self.phase is Phase.CANARY
        return {
            (self.generation, pool): min(count, 1) if canary and pool.kind is Kind.WORKER else count
            for pool, count in self.full.items()
        }

    def advance(self, children: Iterable[Child]) -> Rollout:
        """The next phase where all that this one wants are ready, else the same."""
        if self.phase is Phase.DONE:
            return self
        ready: dict[tuple[int, Pool], int] = {}
        for child in children:
            if child.serves:
                key = (child.generation, child.pool)
                ready[key] = ready.get(key, 0) + 1
        if any(ready.get(key, 0) < count for key, count in self.counts().items()):
            return self
        following = Phase.FILL if self.phase is Phase.CANARY else Phase.DONE
        return Rollout(self.generation, self.full, following).advance(children)
