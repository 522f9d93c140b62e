"""One process's event loop: waits on epoll, calls who is ready, fires deadlines.

Callbacks run one after the other in one thread; none may block. An exception in one of them is
logged and the loop goes on: this is the border that keeps one connection's fault from the others.
"""

from __future__ import annotations

import logging
import select
from collections.abc import Callable
from time import monotonic

from forkd.loop.timers import NEVER, Wheel

Ready = Callable[[int], None]
"""Called with the epoll event mask. May be called without cause: reads must bear EAGAIN."""

READABLE = select.EPOLLIN
WRITABLE = select.EPOLLOUT
EXCLUSIVE = select.EPOLLEXCLUSIVE

_EVENTS_AT_ONCE = 256

log = logging.getLogger("forkd.loop")


class Loop:
    """Use: watch descriptors, set deadlines, `run()` until somebody calls `stop()`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Ready] = {}
        self._renewed: set[int] = set()
        """Watched anew since the events that are being handled were read."""
        self._before_sleep: list[Callable[[], None]] = []
        self._soon: list[Callable[[], None]] = []
        self._stopping = False
        self.timers = Wheel()
        self.now = monotonic()
        """Monotonic seconds, read once for each turn: right enough for timeouts, and free."""

    def watch(self, fd: int, ready: Ready, events: int = READABLE) -> None:
        self._epoll.register(fd, events)
        self._ready[fd] = ready
        self._renewed.add(fd)

    def change(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Stop watching. Must come before fd is closed, or another process's copy keeps it here."""
        del self._ready[fd]
        self._epoll.unregister(fd)

    def forget_closing(self, fd: int) -> None:
        """Stop watching what is closed next and was never shared: the kernel then takes it out of
        the set by itself (epoll(7)), and a system call is saved."""
        del self._ready[fd]

    def before_sleep(self, call: Callable[[], None]) -> None:
        """Call this each time the loop is about to wait: work that is done once for many events."""
        self._before_sleep.append(call)

    def call_soon(self, call: Callable[[], None]) -> None:
        """Call this at the end of the turn, when no callback is on the stack."""
        self._soon.append(call)

    def stop(self) -> None:
        """Let `run` return when this turn is over."""
        self._stopping = True

    def close(self) -> None:
        self._epoll.close()

    def run(self) -> None:
        poll, ready, renewed = self._epoll.poll, self._ready, self._renewed
        while not self._stopping:
            for call in self._before_sleep:
                self._guard(call)
            events = poll(self._patience(), _EVENTS_AT_ONCE)
            self.now = monotonic()
            renewed.clear()
            for fd, mask in events:
                # A callback of this very turn may have closed it, and its number may have been
                # given to another file since: the event is not about that one, and what is true
                # of it comes again.
                if (callback := ready.get(fd)) is None or fd in renewed:
                    continue
                try:
                    callback(mask)
                except Exception:
                    log.exception("fault in a callback of the loop fd=%d", fd)
            if self.timers.next_due() <= self.now:
                self._guard(self._fire)
            while self._soon:
                waiting, self._soon = self._soon, []
                for call in waiting:
                    self._guard(call)

    def _fire(self) -> None:
        self.timers.fire(self.now)

    def _patience(self) -> float:
        if self._soon or self._stopping:
            return 0
        due = self.timers.next_due()
        return -1 if due == NEVER else max(0.0, due - monotonic())

    @staticmethod
    def _guard(call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            log.exception("fault in a callback of the loop")
