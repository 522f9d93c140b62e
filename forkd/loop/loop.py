"""One process's event loop: waits on epoll, calls who is ready, fires deadlines.

Callbacks run one after the other in one thread; none may block. An exception in one of them is
logged and the loop goes on: this is the border that keeps one connection's fault from the others.

The thread may change: what was asked for by `call_soon` runs when nothing of the loop is on the
stack, so that another thread may `run` the loop in the middle of it; the callback then ends with
`LoopLost`. Everything here but `post` is for the thread that runs the loop.
"""

from __future__ import annotations

import logging
import os
import select
from collections import deque
from collections.abc import Callable
from time import monotonic

from forkd.loop.timers import NEVER, Wheel

Ready = Callable[[int], None]
"""Called with the epoll event mask. May be called without cause: reads must bear EAGAIN."""

READABLE = select.EPOLLIN
WRITABLE = select.EPOLLOUT
EXCLUSIVE = select.EPOLLEXCLUSIVE

_EVENTS_AT_ONCE = 256
SHORTLY_S = 0.002
_REST_S = 0.002
"""How often at most a busy loop does what is done when it rests."""

log = logging.getLogger("forkd.loop")


class LoopLost(BaseException):
    """Ends a callback of `call_soon` in the middle of which another thread has taken the loop over.

    Only the callback can tell: by the time when it comes back, the other one may be about to run
    the loop and not be there yet.
    """


class Loop:
    """Use: watch descriptors, set deadlines, `run()` until somebody calls `stop()`."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Ready] = {}
        self._renewed: set[int] = set()
        """Watched anew since the events that are being handled were read."""
        self._at_rest: list[Callable[[], None]] = []
        self._shortly: list[Callable[[], None]] = []
        self._shortly_at = NEVER
        self._soon: deque[Callable[[], None]] = deque()
        self._posted: deque[Callable[[], None]] = deque()
        self._bell = -1
        """An eventfd(2) that rings for what is posted; -1 until something is."""
        self._stopping = False
        self.timers = Wheel()
        self.now = monotonic()
        """Monotonic seconds, read once for each turn: right enough for timeouts, and free."""

    def read_clock(self) -> float:
        """Monotonic seconds of this very moment, where `now` is not good enough."""
        return monotonic()

    def watch(self, fd: int, ready: Ready, events: int = READABLE) -> None:
        self._epoll.register(fd, events)
        self._ready[fd] = ready
        self._renewed.add(fd)

    def watches(self, fd: int) -> bool:
        return fd in self._ready

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

    def at_rest(self, call: Callable[[], None]) -> None:
        """Call this when the loop is about to wait, and 2 ms later at the latest where the last
        time was less than that ago: work that is done once for many events."""
        self._at_rest.append(call)

    def call_shortly(self, call: Callable[[], None]) -> None:
        """Call this in two milliseconds or three: what is on its way will have come by then."""
        if not self._shortly:
            self._shortly_at = monotonic() + SHORTLY_S
        self._shortly.append(call)

    def call_soon(self, call: Callable[[], None]) -> None:
        """Call this at the end of the turn, when no callback is on the stack."""
        self._soon.append(call)

    def accept_posts(self) -> None:
        """To be called once, before another thread posts."""
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.watch(self._bell, self._on_bell)

    def post(self, call: Callable[[], None]) -> None:
        """From any thread: call this in the loop. What one thread posts is called in its order."""
        self._posted.append(call)
        os.eventfd_write(self._bell, 1)

    def stop(self) -> None:
        """Let `run` return when this turn is over."""
        self._stopping = True

    def close(self) -> None:
        self._epoll.close()
        if self._bell >= 0:
            os.close(self._bell)

    def run(self) -> bool:
        """Serve until `stop` (True), or until another thread has taken the loop over (False)."""
        poll, ready, renewed, timers = self._epoll.poll, self._ready, self._renewed, self.timers
        rested = -_REST_S
        while not self._stopping:
            now = self.now
            if now - rested >= _REST_S:
                rested = now
                for call in self._at_rest:
                    self._guard(call)
                patience = self._patience()
            else:
                # A busy loop turns for one event or two: what a turn costs, each of them costs.
                patience = _REST_S
            if self._shortly:
                patience = 0 if patience == 0 else SHORTLY_S
            events = poll(patience, _EVENTS_AT_ONCE)
            self.now = now = monotonic()
            if renewed:
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
            if timers.next_due <= now:
                self._guard(self._fire)
            if self._shortly_at <= now:
                self._call_those_of_shortly()
            try:
                while self._soon:
                    self._guard(self._soon.popleft())
            except LoopLost:
                return False
        return True

    def _on_bell(self, _mask: int) -> None:
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            return
        # Those that are there now; more ring again.
        for _ in range(len(self._posted)):
            self.call_soon(self._posted.popleft())

    def _call_those_of_shortly(self) -> None:
        calls, self._shortly, self._shortly_at = self._shortly, [], NEVER
        for call in calls:
            self._guard(call)

    def _fire(self) -> None:
        self.timers.fire(self.now)

    def _patience(self) -> float:
        if self._soon or self._stopping:
            return 0
        due = self.timers.next_due
        return -1 if due == NEVER else max(0.0, due - monotonic())

    @staticmethod
    def _guard(call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            log.exception("fault in a callback of the loop")
