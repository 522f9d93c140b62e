"""The stacks of a process, written by a signal handler: also while its interpreter is held."""

from __future__ import annotations

import faulthandler
import fcntl
import os
import signal
from typing import Final

STACKS_SIGNAL: Final = signal.SIGRTMIN + 6
"""A real-time signal, so that nothing that people send by name (`pkill -USR1 forkd`) asks for
stacks. Its default is to end the process: it must never be sent to one that does not expect it."""


def stacks_file() -> int:
    """A file in memory that takes stacks, for a child and for whoever wants to read them.

    Raises OSError.
    """
    descriptor = os.memfd_create("forkd-stacks", os.MFD_CLOEXEC)
    # Both sides share one position, and whoever empties the file would have to move it as well.
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
    return descriptor


def write_stacks_on_signal(descriptor: int) -> None:
    """Answer STACKS_SIGNAL with the stacks of all threads, in this file."""
    # What a parent has registered is remembered across a fork: then only the file would be changed,
    # and not what the signal does.
    faulthandler.unregister(STACKS_SIGNAL)
    faulthandler.register(STACKS_SIGNAL, file=descriptor, all_threads=True)
