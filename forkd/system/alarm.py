"""A clock that one thread winds up, again and again, and another one waits for (timerfd_create(2)).

To wind it up does not wake who waits, and so does not cost a fight for the interpreter: a lock or a
condition with a timeout cannot be put off like that. (Python has these calls itself since 3.13.)
"""

from __future__ import annotations

import ctypes
import os
import time
from functools import partial


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    """struct itimerspec. Without an interval it goes off once."""

    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Alarm:
    """Goes off `after_s` seconds after it was last wound up. Raises OSError without descriptors."""

    def __init__(self, after_s: float) -> None:
        # PyDLL, since neither call blocks: to let go of the interpreter would cost more than they.
        libc = ctypes.PyDLL(None, use_errno=True)
        # TFD_CLOEXEC is O_CLOEXEC.
        self._descriptor = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_CLOEXEC)
        if self._descriptor < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        # Made once: this is called hundreds of times a second.
        self._set = partial(libc.timerfd_settime, self._descriptor, 0)
        self._later = ctypes.byref(_setting(after_s))
        self._now = ctypes.byref(_setting(1e-9))  # a value of 0 would stop it

    def wind(self) -> None:
        """Go off later, and not when it would have before."""
        self._set(self._later, None)

    def ring(self) -> None:
        """Go off now."""
        self._set(self._now, None)

    def wait(self) -> None:
        """Until it has gone off."""
        os.read(self._descriptor, 8)

    def close(self) -> None:
        """Nobody may wait, nor use it any more."""
        os.close(self._descriptor)


def _setting(seconds: float) -> _Setting:
    whole, rest = divmod(round(seconds * 1e9), 10**9)
    return _Setting(_Timespec(0, 0), _Timespec(whole, rest))
