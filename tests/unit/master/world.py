"""A small world for plan() and Rollout: children that live and die as a test says, no processes.

It keeps the statement of what should be as the master does, and checks after each step what must
never be.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

from forkd.child import Pool
from forkd.master.failures import Failures
from forkd.master.generation import TEMPLATES, WORKERS
from forkd.master.lifecycle import (
    Child,
    Drain,
    Key,
    Kill,
    Pressure,
    Start,
    State,
    Wanted,
    after,
    next_deadline,
    plan,
    ready,
    retire,
)
from forkd.master.rollout import Phase, Rollout

BOOT_S = 30.0
DRAIN_S = 20.0

Full = dict[Pool, int]


@dataclass
class World:
    """Nobody obeys but to KILL, unless the test lets them."""

    live: tuple[int, Full] | None
    incoming: Rollout | None
    now: float = 100.0
    stopping: bool = False
    children: dict[int, Child] = field(default_factory=dict)
    hung: dict[int, float] = field(default_factory=dict)
    failures: Failures = field(default_factory=Failures)
    last_slot: int = 0
    last_generation: int = 1

    @classmethod
    def begin(cls, full: Full) -> World:
        world = cls(None, Rollout(1, full, Phase.CANARY))
        world.step()
        return world

    def wanted(self) -> Wanted:
        counts: dict[Key, int] = {}
        if not self.stopping:
            if self.live is not None:
                number, full = self.live
                counts = {(number, pool): count for pool, count in full.items()}
            if self.incoming is not None:
                counts |= self.incoming.counts()
        forked_by: dict[Key, Key] = {
            (number, WORKERS): (number, TEMPLATES) for number, pool in counts if pool == TEMPLATES
        }
        not_before = dict(self.failures.not_before)
        return Wanted(counts, not_before, self.stopping, DRAIN_S, forked_by)

    def step(self) -> None:
        """What the master does after every event."""
        if self.incoming is not None and not self.stopping:
            self.incoming = self.incoming.advance(self.children.values())
            if self.incoming.phase is Phase.DONE:
                if self.live is not None:
                    self.failures.forget_generation(self.live[0])
                self.live = (self.incoming.generation, dict(self.incoming.full))
                self.incoming = None
        want = self.wanted()
        for action in plan(self.children.values(), want, self.hung, self.now):
            match action:
                case Start(generation, pool, parent):
                    key = (generation, pool)
                    assert (parent is None) == (key not in want.forked_by)
                    assert parent is None or self.children[parent.slot].serves
                    assert key in want.counts, "a child nobody wants is started"
                    # As it was planned: who is killed in this very step is known dead only later.
                    held = want.not_before.get(key, 0.0)
                    assert self.now >= held, "a child is started while its pool is held back"
                    self.last_slot += 1
                    self.children[self.last_slot] = Child(
                        pool,
                        generation,
                        self.last_slot,
                        1000 + self.last_slot if parent is None else None,
                        State.STARTING,
                        self.now,
                        self.now + BOOT_S,
                    )
                case Kill(child, signal.SIGKILL, _):
                    self.die(child.slot, stepping=True)
                case Drain(child) | Kill(child):
                    assert isinstance(action, Drain | Kill)
                    self.children[child.slot] = after(child, action, want, self.now)
        self._check(want)

    def _check(self, want: Wanted) -> None:
        alive: dict[Key, int] = {}
        for child in self.children.values():
            if child.state is not State.DRAINING:
                key = (child.generation, child.pool)
                alive[key] = alive.get(key, 0) + 1
                assert key in want.counts, "a child of no generation is left to live"
        retiring = {
            (child.generation, child.pool)
            for child in self.children.values()
            if child.state is State.RETIRING
        }
        for key, count in alive.items():
            most = want.counts[key] + (key in retiring)
            assert count <= most, "more children than are wanted"
        if self.live is not None and not self.stopping:
            for pool, count in self.live[1].items():
                key = (self.live[0], pool)
                missing = count - alive.get(key, 0)
                held = self.failures.not_before.get(key, 0.0) > self.now or self.killed_now
                held = held or (key in want.forked_by and not self._has_template(key[0]))
                assert missing <= 0 or held, "a child of the live generation is missing"

    def _has_template(self, generation: int) -> bool:
        return any(
            child.generation == generation
            and child.pool == TEMPLATES
            and child.state is State.READY
            and child.pressure is Pressure.NONE
            for child in self.children.values()
        )

    killed_now: bool = False
    """A child was killed in this very step: its successor comes with the next."""

    def die(self, slot: int, *, stepping: bool = False) -> None:
        """The child is gone. Death of a newcomer ends its generation's way in."""
        child = self.children.pop(slot)
        self.hung.pop(slot, None)
        key = (child.generation, child.pool)
        if self.incoming is not None and child.generation == self.incoming.generation:
            self.incoming = None
            if self.live is None:
                self.stopping = True
        elif (
            self.live is not None
            and child.generation == self.live[0]
            and child.state is State.STARTING
        ):
            self.failures.note(key, self.now)
        if stepping:
            self.killed_now = True
        else:
            self.step()

    def become_ready(self, slot: int) -> None:
        child = self.children[slot] = ready(self.children[slot], self.now)
        self.failures.clear((child.generation, child.pool))
        self.step()

    def retire(self, slot: int) -> None:
        self.children[slot] = retire(self.children[slot], self.now)
        self.step()

    def reload(self, full: Full) -> None:
        if self.live is not None and self.incoming is None and not self.stopping:
            self.last_generation += 1
            self.incoming = Rollout(self.last_generation, full, Phase.CANARY)
        self.step()

    def stop(self) -> None:
        self.stopping = True
        self.incoming = None
        self.step()

    def pass_time(self, seconds: float) -> None:
        """Let time go by from deadline to deadline, as the master's timer does."""
        end = self.now + seconds
        while (due := self._due()) is not None and due <= end:
            self.now = max(self.now, due)
            self._catch_up()
        self.now = end
        self._catch_up()

    def _due(self) -> float | None:
        return next_deadline(self.children.values(), self.wanted(), self.now)

    def _catch_up(self) -> None:
        self.killed_now = False
        self.step()
        while self.killed_now:
            self.killed_now = False
            self.step()
