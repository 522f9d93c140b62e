"""A worker's side of `forkd drain`: it looks whether this host is in service, and acts on it."""

from __future__ import annotations

from collections.abc import Callable

from forkd.loop.loop import Loop
from forkd.loop.timers import Timer
from forkd.scoreboard import Service, Slot

_LOOK_S = 1.0
"""As often as the worker reports, so that a worker with nothing to do wakes up no more often."""


class ServiceWatch:
    """Tells when it goes out of service and when it comes back, once each.

    Looked at, not told: a worker that is being started, or does not hear, cannot miss it.
    """

    def __init__(
        self, loop: Loop, slot: Slot, leave: Callable[[], None], come_back: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._slot = slot
        self._leave = leave
        self._come_back = come_back
        self._is_out = False
        self._timer = Timer(self._look)
        self._look(loop.now)

    def _look(self, now: float) -> None:
        is_out = self._slot.service is Service.OUT
        if is_out != self._is_out:
            self._is_out = is_out
            (self._leave if is_out else self._come_back)()
        self._loop.timers.set(self._timer, now + _LOOK_S)
