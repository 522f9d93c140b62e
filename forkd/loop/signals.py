"""Signals as events of the loop: the handlers record and wake, nothing more (signal-safety(7))."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable

from forkd.loop.loop import Loop

_SIGNALS = {number.value: number for number in signal.Signals}
"""To look one up by its number is slow in the enumeration."""


class Signals:
    """Delivers the signals listened to, in order of arrival, as calls of `received`."""

    def __init__(self, loop: Loop, received: Callable[[signal.Signals], None]) -> None:
        self._loop = loop
        self._received = received
        # A pipe, not a socket pair: it holds 65,536 wake-ups of a byte, a socket fewer than 300.
        self._read_end, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        loop.watch(self._read_end, self._on_wake)

    def listen(self, numbers: Iterable[signal.Signals]) -> None:
        for number in numbers:
            # The interpreter's C handler has written the number to the pipe; that is the record.
            signal.signal(number, lambda _number, _frame: None)

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        self._loop.forget(self._read_end)
        os.close(self._read_end)
        os.close(self._write_end)

    def _on_wake(self, _mask: int) -> None:
        try:
            numbers = os.read(self._read_end, 65536)
        except BlockingIOError:
            return
        for number in numbers:
            self._received(_SIGNALS[number])


def reset_signals(ignore: Iterable[signal.Signals] = ()) -> None:
    """In a forked child: forget the parent's handlers and wake-up, ignore some signals."""
    signal.set_wakeup_fd(-1)
    for number in (
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGTTIN,
        signal.SIGTTOU,
        signal.SIGWINCH,
        signal.SIGCHLD,
        signal.SIGALRM,
    ):
        signal.signal(number, signal.SIG_DFL)
    for number in ignore:
        signal.signal(number, signal.SIG_IGN)
