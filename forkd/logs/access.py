"""The access log: one line for each request, made as bytes, written in batches of whole lines."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable

from forkd.logs.files import write_whole
from forkd.logs.formats import Format, Json, Template

FLUSH_SIZE = 64 * 1024
FLUSH_AFTER_S = 0.5

_PIPE_ATOMIC = 4096
"""PIPE_BUF of Linux: what several writers may write to one pipe without mixing (pipe(7))."""

log = logging.getLogger("forkd.access")

Ending = Callable[[bytes, int, int, bytes], bytes]
"""request line (made safe), status, body bytes, `"referer" "agent"` -> a line from its time on.

A line is beginning + time + ending: the first is the same for a connection, the second for as long
as a second lasts, the third for the same request, so that most lines cost two concatenations.
"""


def beginning(client: bytes) -> bytes:
    """A line up to its time."""
    return b"%b - - [" % client


def common(request: bytes, status: int, size: int, _tail: bytes) -> bytes:
    return b'] "%b" %d %d\n' % (request, status, size)


def combined(request: bytes, status: int, size: int, tail: bytes) -> bytes:
    return b'] "%b" %d %d %b\n' % (request, status, size, tail)


FORMATS: dict[str, Ending] = {"common": common, "combined": combined}


def style_of(name: str, worker: int) -> Ending | Format:
    """For a format of the configuration. worker: the number of its slot."""
    if name == "json":
        return Json(worker)
    return FORMATS.get(name) or Template(name, worker)


class AccessLog:
    """Collects lines; `flush` writes them. The owner is told when the first line begins to wait.

    Whoever owns it calls flush within FLUSH_AFTER_S of `waiting`, and before it leaves.
    """

    def __init__(
        self, descriptor: int, style: Ending | Format, waiting: Callable[[], None]
    ) -> None:
        self._descriptor = descriptor
        self.ending = None if isinstance(style, Format) else style
        """Makes its lines; None: the format does, and of it no part is the same twice."""
        self.format = style if isinstance(style, Format) else None
        self._waiting = waiting
        self._lines: list[bytes] = []
        self._size = 0
        self._failing = False
        self._is_pipe = not stat.S_ISREG(os.fstat(descriptor).st_mode)

    def write(self, line: bytes) -> None:
        if not self._lines:
            self._waiting()
        self._lines.append(line)
        self._size += len(line)
        if self._size >= FLUSH_SIZE:
            self.flush()

    def flush(self) -> None:
        """Write what waits. Lines that cannot be written are lost; the error log says so once."""
        if not self._lines:
            return
        lines, self._lines, self._size = self._lines, [], 0
        try:
            if self._is_pipe:
                for batch in _batches(lines):
                    write_whole(self._descriptor, batch)
            else:
                write_whole(self._descriptor, b"".join(lines))
        except OSError as error:
            if not self._failing:
                log.error("the access log cannot be written: %s; its lines are lost", error)
            self._failing = True
            return
        if self._failing:
            log.warning("the access log can be written again")
        self._failing = False


def _batches(lines: list[bytes]) -> list[bytes]:
    """Whole lines in pieces that a pipe takes atomically. A longer line stands alone."""
    batches: list[bytes] = []
    current: list[bytes] = []
    size = 0
    for line in lines:
        if current and size + len(line) > _PIPE_ATOMIC:
            batches.append(b"".join(current))
            current, size = [], 0
        current.append(line)
        size += len(line)
    if current:
        batches.append(b"".join(current))
    return batches
