"""The terminal's input side: keys come one by one, and what was set is put back."""

from __future__ import annotations

import os
import signal
import termios
from types import TracebackType
from typing import Self

_LOCAL_FLAGS = 3
_CHARACTERS = 6
_DISABLED = b"\0"  # _POSIX_VDISABLE of Linux


class CharacterInput:
    """A terminal without echo and lines, for as long as the context lasts (termios(3)).

    Ctrl-C goes on raising SIGINT, so that it works whatever the program does. Ctrl-Z comes as a
    key: before the program stops the screen has to be given back.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._before: list[int | list[bytes | int]] = []

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._descriptor)
        changed = termios.tcgetattr(self._descriptor)
        changed[_LOCAL_FLAGS] &= ~(termios.ICANON | termios.ECHO)
        characters = list(changed[_CHARACTERS])
        characters[termios.VSUSP] = _DISABLED
        characters[termios.VMIN], characters[termios.VTIME] = 1, 0
        changed[_CHARACTERS] = characters
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, changed)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            # What was typed and not read is not for the shell.
            termios.tcsetattr(self._descriptor, termios.TCSAFLUSH, self._before)
        except termios.error:
            pass  # the terminal is gone, and its settings with it


def suspend() -> None:
    """Stop this job as Ctrl-Z does (the whole of it: sudo waits in front of us); returns when it is
    continued."""
    os.kill(0, signal.SIGTSTP)
