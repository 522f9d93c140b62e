"""A loop that turns when a test says so, at the time that the test says."""

from __future__ import annotations

from forkd.loop.loop import Loop

_MOST_TURNS = 10_000


class SteppedLoop(Loop):
    """Unlike its base it never waits, and a fault in a callback is a fault of the test."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def read_clock(self) -> float:
        return self.now

    def turn(self) -> bool:
        """One turn without waiting; whether there was anything to do."""
        for call in self._at_rest:
            call()
        events = self._epoll.poll(0, 256)
        self._renewed.clear()
        for fd, mask in events:
            if fd not in self._renewed and (callback := self._ready.get(fd)) is not None:
                callback(mask)
        self.timers.fire(self.now)
        self._call_those_of_shortly()
        soon = bool(self._soon)
        while self._soon:
            self._soon.popleft()()
        return bool(events) or soon

    def settle(self) -> None:
        """Turn until nothing happens any more."""
        for _ in range(_MOST_TURNS):
            if not self.turn():
                return
        raise AssertionError("the loop spins")

    def pass_time(self, seconds: float) -> None:
        """Let time go by, in steps as small as the wheel's tick, then settle."""
        self.settle()
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 0.1)
            self.settle()

    @property
    def watched(self) -> set[int]:
        """The descriptors that are waited for."""
        return set(self._ready)
