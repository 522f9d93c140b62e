"""A program on a terminal of its own (pty(7)): what it shows, and the keys that a test presses."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.system.daemon import DEADLINE_S, environment
from tests.system.tools import need

_CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """What has been shown is kept as text, without colours and moves of the cursor."""

    def __init__(self, process: subprocess.Popen[bytes], ours: int, theirs: int) -> None:
        self.process = process
        self.raw = b""
        self._ours = ours
        self._theirs = theirs

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def settings(self) -> list[Any]:
        """Those of termios(3)."""
        return termios.tcgetattr(self._theirs)

    def wait_for(self, text: str) -> str:
        """What has been shown since the last wait, up to a moment at which text is among it."""
        deadline = time.monotonic() + DEADLINE_S
        while text not in (shown := _CONTROL.sub(b"", self.raw).decode(errors="replace")):
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"{text!r} was not shown, but:\n{shown}")
        self.raw = b""
        return shown

    def end(self) -> int:
        """The exit status; what was shown until then is in `raw`."""
        deadline = time.monotonic() + DEADLINE_S
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(0.05)
        self.look()
        return self.process.wait(0)

    def look(self) -> None:
        """Add to `raw` what has come."""
        while self._read(0.0):
            pass

    def hang_up(self) -> None:
        """As when an ssh session is gone: SIGHUP, and nothing more to read."""
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, self._ours, inheritable=False)
        os.close(nothing)

    def _read(self, timeout: float) -> bool:
        """Whether something came."""
        if not select.select([self._ours], [], [], max(0.0, timeout))[0]:
            return False
        self.raw += os.read(self._ours, 65536)
        return True


@contextmanager
def on_terminal(*command: str, lines: int = 30, columns: int = 110) -> Iterator[Terminal]:
    """The terminal is the controlling one of a session of the program's own, so that Ctrl-C is a
    signal. Killed at the end if it still runs."""
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        process = subprocess.Popen(
            # setsid(1) becomes the program: it forks only where it leads a process group.
            [need("setsid"), "--ctty", *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(TERM="xterm-256color"),
        )
        try:
            yield Terminal(process, ours, theirs)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(DEADLINE_S)
    finally:
        os.close(ours)
        os.close(theirs)
