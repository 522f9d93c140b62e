"""The error log: the standard `logging`, written line by line to a descriptor."""

from __future__ import annotations

import logging
import os
import time

from forkd.logs.files import write_whole

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class _Handler(logging.Handler):
    """One write(2) for each record. A log that cannot be written must not stop the service."""

    def __init__(self, descriptor: int, identity: str) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.setFormatter(_Formatter(identity))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record) + "\n"
            write_whole(self._descriptor, text.encode("utf-8", "backslashreplace"))
        except OSError:
            pass


class _Formatter(logging.Formatter):
    """`2026-11-20 14:05:31.250 +0100 WARNING worker 3 gen 2 pid 4711: text`."""

    def __init__(self, identity: str) -> None:
        super().__init__()
        self._identity = identity

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 the base's name
        moment = time.localtime(record.created)
        zone = time.strftime("%z", moment)
        return f"{time.strftime('%Y-%m-%d %H:%M:%S', moment)}.{int(record.msecs):03d} {zone}"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 the base's name
        who = f"{self._identity} pid {os.getpid()}"
        said = _tame(record.getMessage())
        return f"{self.formatTime(record)} {record.levelname} {who}: {said}"


def _tame(text: str) -> str:
    """What clients and programs say may be part of any line: none of it begins a line as a record
    does, and no control character reaches a terminal."""
    if text.isprintable():
        return text
    first, *more = map(one_line, text.split("\n"))
    return "\n".join((first, *(line if line.startswith(" ") else f"    {line}" for line in more)))


def one_line(text: str) -> str:
    """The same text without line ends and control characters, which are shown as Python writes
    them."""
    if text.isprintable():
        return text
    # Not by the codec unicode_escape: its module is imported when it is first used, and a worker
    # that has become another user may not be able to read the interpreter's files any more.
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def start_error_log(descriptor: int, level: str, identity: str) -> None:
    """Send all of forkd's logging to descriptor, under the name of this process.

    identity is `master`, `worker 3 gen 2` and the like; the pid is added. Called again, it replaces
    what was set before.
    """
    logger = logging.getLogger("forkd")
    logger.handlers[:] = [_Handler(descriptor, identity)]
    logger.setLevel(LEVELS[level])
    logger.propagate = False
    # forkd logs its own faults with a stack; the logging module must never print to stderr itself.
    logging.raiseExceptions = False
