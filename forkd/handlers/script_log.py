"""What a program says on stderr, and what is said about it, in the error log."""

from __future__ import annotations

import logging

from forkd.handlers.base import Request
from forkd.handlers.fate import Fate
from forkd.handlers.programs import Ended
from forkd.logs.error import one_line
from forkd.system.process_state import process_state

_LONGEST_LINE = 2000
_MOST_AT_ONCE = 256
"""Each is a write to the error log. Only of lines of a few bytes there are more in one piece, and
who writes two thousand of them with each write would have the worker do nothing else."""
_KEPT = 4096


class ScriptLog:
    """Logs each line of stderr as it comes, with the request's id and the script's name."""

    def __init__(self, log: logging.Logger, script: str, request_id: str) -> None:
        self._log = log
        self._script = script
        self._id = request_id
        self._partial = b""
        self._last = b""
        self.pid = 0

    @property
    def _tail(self) -> str:
        # Most programs have nothing said of them.
        return f"id={self._id} script={one_line(self._script)}"

    def feed(self, data: bytes) -> None:
        self._last = (self._last + data)[-_KEPT:]
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines[:_MOST_AT_ONCE]:
            self._line(line)
        if len(lines) > _MOST_AT_ONCE:
            self._line(b"(%d lines more at once: left out)" % (len(lines) - _MOST_AT_ONCE))
        while len(self._partial) > _LONGEST_LINE:
            self._line(self._partial[:_LONGEST_LINE])
            self._partial = self._partial[_LONGEST_LINE:]

    def end(self) -> None:
        if self._partial:
            self._line(self._partial)
            self._partial = b""

    def _line(self, line: bytes) -> None:
        self._log.warning("cgi stderr: %s %s", printable(line), self._tail)

    def debug(self, text: str, end: Ended | None = None) -> None:
        self._log.debug("cgi %s %s%s", text, self._tail, self._figures(end))

    def info(self, text: str, end: Ended | None = None) -> None:
        self._log.info("cgi %s %s%s", text, self._tail, self._figures(end))

    def warning(self, text: str, end: Ended | None = None) -> None:
        self._log.warning("cgi %s %s%s", text, self._tail, self._figures(end))

    def error(self, text: str) -> None:
        self._log.error("cgi %s %s", text, self._tail)

    def ended(self, fate: Fate, *, as_wanted: bool) -> None:
        """How the program ended. as_wanted: it was terminated, and why is in the log already."""
        if as_wanted:
            self.info(f"ended: {fate.words}", fate.end)
        elif fate.end is None or fate.end.status != 0:
            self.warning(f"ended: {fate.words}", fate.end)
        elif self._log.isEnabledFor(logging.DEBUG):
            self.debug(f"ended: {fate.words}", fate.end)

    def failure(self, status: int, reason: str) -> None:
        """The one line that explains a failed request, with the end of what the program said."""
        self.end()
        said = printable(self._last.strip())[-_KEPT:]
        more = f" stderr={said!r}" if said else ""
        self._log.error(
            "cgi %d: %s %s%s%s", status, one_line(reason), self._tail, self._figures(None), more
        )

    def _figures(self, end: Ended | None) -> str:
        pid = f" pid={self.pid}" if self.pid else ""
        if end is None:
            return pid
        return f"{pid} cpu_ms={end.cpu_s * 1000:.0f} peak_memory={end.peak_memory}"


def at_work(request: Request, pid: int, now: float) -> str:
    """What a request's program is at, and for whom. pid: 0 for none. now: monotonic seconds."""
    head = request.head
    return (
        f"{_state(pid)}: {head.method} {head.target.decode('latin-1')}, "
        f"{now - request.started:.1f} s after it came "
        f"client={request.peer.address or 'unix:'} route={request.match.route.pattern}"
    )


def _state(pid: int) -> str:
    if not pid:
        return "not started yet"
    state = process_state(pid)
    # Only its output is waited for then: another process has inherited it (pipe(7)).
    return str(state) if state else "it has ended, but what it has started holds its output"


def printable(line: bytes) -> str:
    """A program's line as one line of a log: no control character of it reaches a terminal."""
    text = line.decode("utf-8", "backslashreplace")
    return one_line(text)
