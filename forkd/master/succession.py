"""Which generation serves, which is on its way in, and which are still draining. No effects but on
the sockets that a generation owns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from forkd.config.address import Address
from forkd.config.settings import Settings
from forkd.master.control import Reply
from forkd.master.generation import TEMPLATES, WORKERS, Generation
from forkd.master.lifecycle import Child, Key
from forkd.master.rollout import Phase, Rollout


@dataclass(slots=True)
class Incoming:
    """A generation on its way in, what to undo if it fails, and who waits for the outcome."""

    generation: Generation
    rollout: Rollout
    opened: list[Address]
    replies: list[Reply] = field(default_factory=list)


class Succession:
    """At most one generation serves and at most one is coming."""

    def __init__(self, last_number: int = 0) -> None:
        """last_number: of the last generation of a master that this one replaces."""
        self.live: Generation | None = None
        self.incoming: Incoming | None = None
        self._known: dict[int, Generation] = {}
        """Those above, and those whose children are still draining."""
        self._last_number = last_number
        self.dismissed = False
        """The workers are to leave and none is to come, until the next reload."""
        self.adjustment = 0
        """By how much the number of workers differs from the configuration's, until a reload."""

    @property
    def settings(self) -> Settings:
        """Of the generation that serves or, before there is one, of the one that is coming."""
        if self.live is not None:
            return self.live.settings
        return self._known[max(self._known)].settings

    def __getitem__(self, number: int) -> Generation:
        return self._known[number]

    def bring_in(self, generation: Generation, opened: list[Address], replies: list[Reply]) -> None:
        """Begin with the generation's canary."""
        self._last_number = generation.number
        self._known[generation.number] = generation
        rollout = Rollout(generation.number, generation.full(), Phase.CANARY)
        self.incoming = Incoming(generation, rollout, opened, replies)

    def next_number(self) -> int:
        return self._last_number + 1

    def advance(self, children: Iterable[Child]) -> bool:
        """Whether the generation that comes is complete by now."""
        if self.incoming is None:
            return False
        self.incoming.rollout = self.incoming.rollout.advance(children)
        return self.incoming.rollout.phase is Phase.DONE

    def succeed(self) -> tuple[Generation | None, Incoming]:
        """The one that came serves from now on. Gives the one that did before."""
        assert self.incoming is not None
        incoming, old = self.incoming, self.live
        self.live, self.incoming = incoming.generation, None
        self.adjustment, self.dismissed = 0, False
        if old is not None:
            old.retire()
        return old, incoming

    def give_up(self) -> Incoming:
        """The one that was coming failed."""
        assert self.incoming is not None
        incoming, self.incoming = self.incoming, None
        incoming.generation.retire()
        return incoming

    def retire_all(self) -> None:
        """Nobody takes over any more."""
        self.incoming = None
        for generation in self._known.values():
            generation.retire()

    def is_current(self, number: int) -> bool:
        return number in self._current()

    def forget_gone(self, children: Iterable[Child]) -> None:
        """Drop the generations that have no child left."""
        needed = {child.generation for child in children} | self._current()
        for number in self._known.keys() - needed:
            if self.live is not None:
                del self._known[number]

    def _current(self) -> set[int]:
        live = {self.live.number} if self.live is not None else set()
        return live | ({self.incoming.generation.number} if self.incoming is not None else set())

    def adjust(self, more: int) -> int:
        """One worker more or fewer, but never none; how many that makes."""
        if self.live is None:
            return 0
        full = self.live.full()[WORKERS]
        if more > 0:
            self.dismissed = False
        self.adjustment = max(1 - full, self.adjustment + more)
        return full + self.adjustment

    def forked_by(self) -> dict[Key, Key]:
        """Which workers are forked by a template, and by which."""
        numbers = [number for number in self._current() if TEMPLATES in self._known[number].full()]
        return {(number, WORKERS): (number, TEMPLATES) for number in numbers}

    def counts(self) -> dict[Key, int]:
        """How many children of each pool and generation there should be."""
        counts: dict[Key, int] = {}
        if self.live is not None:
            for pool, count in self.live.full().items():
                if pool == WORKERS:
                    count = 0 if self.dismissed else max(1, count + self.adjustment)
                counts[self.live.number, pool] = count
        if self.incoming is not None:
            counts |= self.incoming.rollout.counts()
        return counts
