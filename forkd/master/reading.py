"""Reading the configuration in a process of its own.

What checks it (pydantic, PyYAML, the models) is three times the size of the master. In a child that
leaves it is in the memory of no process that serves (decision 0013).
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import time
from collections.abc import Callable
from functools import partial

from forkd.child import IGNORED_SIGNALS, fork_process
from forkd.config.settings import Settings
from forkd.errors import ForkdError, OperationError
from forkd.loop.loop import Loop
from forkd.loop.signals import reset_signals
from forkd.loop.timers import Timer
from forkd.system.process import close_descriptors_except, die_with_parent

PATIENCE_S = 30.0
"""It takes a fifth of a second, unless the file system hangs or the file is a pipe."""

_PART = 1 << 16

Load = Callable[[], Settings]
"""What the child calls. It may raise ForkdError."""


class Reading:
    """A child that reads. To be closed by whoever has it."""

    def __init__(self, load: Load) -> None:
        """Start it. Raises OperationError. Only for processes without threads."""
        self._parts: list[bytes] = []
        try:
            self.fd, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _no_process(error) from None
        try:
            self.pid = fork_process(partial(_read, load, write_end, os.getpid()), "reader")
            # By descriptor, since by number the master may have reaped it when we signal it.
            self._process = os.pidfd_open(self.pid)
        except OSError as error:
            os.close(self.fd)
            raise _no_process(error) from None
        finally:
            os.close(write_end)

    def receive(self) -> Settings | ForkdError | None:
        """What came of it, or None as long as there is more to come. Does not wait."""
        try:
            while part := os.read(self.fd, _PART):
                self._parts.append(part)
        except BlockingIOError:
            return None
        try:
            found: Settings | ForkdError = pickle.loads(b"".join(self._parts))  # noqa: S301 ours
        except (EOFError, pickle.UnpicklingError):
            return OperationError(
                "cannot read the configuration: the process that reads it ended and did not say "
                "why (see the lines before this one, and dmesg)"
            )
        return found

    def wait(self, patience_s: float = PATIENCE_S) -> Settings:
        """For a process that has nothing else to do: the settings. Raises ForkdError."""
        deadline = time.monotonic() + patience_s
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        try:
            while (found := self.receive()) is None:
                if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                    found = _too_slow(patience_s)
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


class AwaitedReading:
    """A reading that the loop waits for."""

    def __init__(
        self,
        loop: Loop,
        load: Load,
        done: Callable[[Settings | ForkdError], None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Start it; `done` is called once, unless it is given up. Raises OperationError."""
        self._loop = loop
        self._done = done
        self._reading = Reading(load)
        self.pid = self._reading.pid
        self._timer = Timer(lambda _now: self._end(_too_slow(patience_s)))
        loop.watch(self._reading.fd, self._on_readable)
        loop.timers.set(self._timer, loop.now + patience_s)

    def give_up(self) -> None:
        """Nobody wants to know any more."""
        self._loop.timers.remove(self._timer)
        self._loop.forget(self._reading.fd)
        self._reading.close()

    def _on_readable(self, _mask: int) -> None:
        if (found := self._reading.receive()) is not None:
            self._end(found)

    def _end(self, found: Settings | ForkdError) -> None:
        self.give_up()
        self._done(found)


def _no_process(error: OSError) -> OperationError:
    return OperationError(f"cannot read the configuration: no process for it ({error.strerror})")


def _too_slow(patience_s: float) -> OperationError:
    return OperationError(
        f"reading the configuration took longer than {patience_s:g} s (is it a pipe, or on a file "
        "system that hangs?)"
    )


def _read(load: Load, write_end: int, parent: int) -> None:
    """In the child."""
    gc.freeze()
    reset_signals(ignore=IGNORED_SIGNALS)
    close_descriptors_except({write_end})
    die_with_parent(parent)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    found: Settings | ForkdError
    try:
        found = load()
    except ForkdError as error:
        found = error
    except ImportError as error:
        # What reads is imported at each reading: somebody may have replaced it since the last one.
        found = OperationError(
            f"cannot read the configuration: {error} (install forkd's dependencies again; after an "
            "upgrade of forkd or of Python start it anew)"
        )
    os.set_blocking(write_end, True)
    with open(write_end, "wb") as pipe:
        pickle.dump(found, pipe)
