"""Work that the master has a process of its own do, so that nothing here waits for it.

The child is a fork: it has all that the master has in memory, and what it imports, or becomes, is
gone with it.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from forkd.child import IGNORED_SIGNALS, fork_process
from forkd.errors import ForkdError, OperationError
from forkd.loop.loop import Loop
from forkd.loop.signals import reset_signals
from forkd.loop.timers import Timer
from forkd.system.process import close_descriptors_except, die_with_parent

_PART = 1 << 16

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Words:
    """What an errand is called, and what is said where it comes to nothing."""

    process: str
    """What the child is, for the log."""
    cannot: str
    """The beginning of a sentence: cannot read the configuration."""
    lost: str
    """Its end, where the child died."""
    slow: str
    """`reading the configuration took longer`, to be followed by the time."""
    slow_hint: str


class Errand(Generic[T]):
    """A child at work. To be closed by whoever has it."""

    def __init__(self, work: Callable[[], T], words: Words) -> None:
        """Start it; work may raise ForkdError, which is received then.

        Raises OperationError. Only for processes without threads.
        """
        self._words = words
        self._parts: list[bytes] = []
        try:
            self.fd, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise self._no_process(error) from None
        try:
            do = partial(_do, work, write_end, os.getpid())
            self.pid = fork_process(do, words.process)
            # By descriptor, since by number the master may have reaped it when we signal it.
            self._process = os.pidfd_open(self.pid)
        except OSError as error:
            os.close(self.fd)
            raise self._no_process(error) from None
        finally:
            os.close(write_end)

    def receive(self) -> T | ForkdError | None:
        """What came of it, or None as long as there is more to come. Does not wait."""
        try:
            while part := os.read(self.fd, _PART):
                self._parts.append(part)
        except BlockingIOError:
            return None
        try:
            found: T | ForkdError = pickle.loads(b"".join(self._parts))  # noqa: S301 ours
        except (EOFError, pickle.UnpicklingError):
            return OperationError(f"{self._words.cannot}: {self._words.lost}")
        return found

    def wait(self, patience_s: float) -> T:
        """For a process that has nothing else to do: what came of it. Raises ForkdError."""
        deadline = time.monotonic() + patience_s
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        found: T | ForkdError | None
        try:
            while (found := self.receive()) is None:
                if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                    found = self.too_slow(patience_s)
                    break
        finally:
            self.close()
            os.waitpid(self.pid, 0)
        if isinstance(found, ForkdError):
            raise found
        return found

    def close(self) -> None:
        """End the child if it has not ended. It remains to be reaped."""
        try:
            signal.pidfd_send_signal(self._process, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.close(self._process)
        os.close(self.fd)

    def too_slow(self, patience_s: float) -> OperationError:
        words = self._words
        return OperationError(f"{words.slow} than {patience_s:g} s ({words.slow_hint})")

    def _no_process(self, error: OSError) -> OperationError:
        return OperationError(f"{self._words.cannot}: no process for it ({error.strerror})")


class Awaited(Generic[T]):
    """An errand that the loop waits for."""

    def __init__(
        self,
        loop: Loop,
        errand: Errand[T],
        done: Callable[[T | ForkdError], None],
        patience_s: float,
    ) -> None:
        """`done` is called once, unless it is given up."""
        self._loop = loop
        self._done = done
        self._errand = errand
        self.pid = errand.pid
        self._timer = Timer(lambda _now: self._end(errand.too_slow(patience_s)))
        loop.watch(errand.fd, self._on_readable)
        loop.timers.set(self._timer, loop.now + patience_s)

    def give_up(self) -> None:
        """Nobody wants to know any more."""
        self._loop.timers.remove(self._timer)
        self._loop.forget(self._errand.fd)
        self._errand.close()

    def _on_readable(self, _mask: int) -> None:
        if (found := self._errand.receive()) is not None:
            self._end(found)

    def _end(self, found: T | ForkdError) -> None:
        self.give_up()
        self._done(found)


def _do(work: Callable[[], T], write_end: int, parent: int) -> None:
    """In the child."""
    gc.freeze()
    reset_signals(ignore=IGNORED_SIGNALS)
    close_descriptors_except({write_end})
    die_with_parent(parent)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    found: T | ForkdError
    try:
        found = work()
    except ForkdError as error:
        found = error
    os.set_blocking(write_end, True)
    with open(write_end, "wb") as pipe:
        pickle.dump(found, pipe)
