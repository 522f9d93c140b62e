"""The sockets on which workers hear of their programs, to be used again."""

from __future__ import annotations

import os

from forkd.system import messages

_MOST_KEPT = 64

Pair = tuple[int, int]
"""Our end, and the one of which a spawner is given a copy with an order."""


class Replies:
    """Pairs of connected sockets. To make one and to close it costs as much as all that is said on
    it, so one on which nobody will say or read anything any more serves for the next program."""

    def __init__(self) -> None:
        self._free: list[Pair] = []

    @property
    def has_free(self) -> bool:
        return bool(self._free)

    def take(self) -> Pair:
        """Raises OSError."""
        return self._free.pop() if self._free else messages.descriptor_pair()

    def give_back(self, pair: Pair) -> None:
        """The spawner has closed its copy, and all that it had said has been read."""
        if len(self._free) < _MOST_KEPT:
            self._free.append(pair)
        else:
            for end in pair:
                os.close(end)

    def close(self) -> None:
        """Keep none."""
        for pair in self._free:
            for end in pair:
                os.close(end)
        self._free.clear()
