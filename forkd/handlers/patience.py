"""How long a program is waited for: the time without progress, and a word at half of it."""

from __future__ import annotations

from collections.abc import Callable

from forkd.loop.loop import Loop
from forkd.loop.timers import NEVER, Timed


class Patience(Timed):
    """Calls `over` when the time has passed, and `slow` once, at the first half that passes."""

    __slots__ = ("_loop", "_over", "_over_at", "_slow", "_timeout_s", "_was_slow")

    def __init__(
        self, loop: Loop, timeout_s: float, slow: Callable[[], None], over: Callable[[], None]
    ) -> None:
        super().__init__()
        self._loop = loop
        self._timeout_s = timeout_s
        self._slow = slow
        self._over = over
        self._over_at = 0.0
        """Monotonic seconds."""
        self._was_slow = False

    def renew(self, held_back: bool) -> None:
        """There was progress: the time begins anew, or stands still as long as it is held back."""
        timeout_s = NEVER if held_back else self._timeout_s
        self._over_at = self._loop.now + timeout_s
        first = timeout_s if self._was_slow else timeout_s / 2
        self._loop.timers.set(self, self._loop.now + first)

    def limit(self, seconds: float) -> None:
        """Wait for so long and no longer, and say nothing before."""
        self._over_at = self._loop.now + seconds
        self._loop.timers.set(self, self._over_at)

    def end(self) -> None:
        """Nothing is waited for any more."""
        self._loop.timers.remove(self)

    def forget(self) -> None:
        """Let go of whom this would call, so that what belongs together needs no collector."""
        self.end()
        self._slow = self._over = _nothing

    def on_deadline(self, now: float) -> None:
        if now < self._over_at:
            self._was_slow = True
            self._slow()
            self._loop.timers.set(self, self._over_at)
        else:
            self._over()


def _nothing() -> None:
    pass
