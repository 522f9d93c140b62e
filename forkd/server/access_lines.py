"""Lines of the access log in formats that tell more than a request's own bytes do.

How a request's program ended is known a moment after its answer: its line waits for that, for a
second at most. Nothing else waits.
"""

from __future__ import annotations

import os
import time
from functools import partial

from forkd.handlers.base import Request
from forkd.handlers.cgi_failures import exit_value
from forkd.handlers.fate import Fate
from forkd.logs.access import AccessLog
from forkd.logs.formats import Answer, Format, Run
from forkd.loop.loop import Loop
from forkd.loop.timers import Timer
from forkd.proto.http1.head import Head

_WAIT_S = 1.0


class AccessLines:
    """Makes them, and keeps those that wait."""

    def __init__(self, loop: Loop, log: AccessLog, format_: Format) -> None:
        self._loop = loop
        self._log = log
        self._format = format_
        self._waiting: dict[Fate, tuple[Answer, Timer]] = {}

    @property
    def tells_queue(self) -> bool:
        """Whether it is of use to know how long connections have waited."""
        return self._format.tells_queue

    def tell(
        self,
        client: bytes,
        head: Head | None,
        request: Request | None,
        status: int,
        size: int,
        took_s: float,
        log_time: bytes,
        fate: Fate | None,
        queued_s: float | None,
    ) -> None:
        """Write a line, now or soon. No request: no handler was asked. fate: of its program.

        queued_s: how long the connection had waited, for its first request.
        """
        answer = Answer(
            time.time(),
            log_time,
            client.decode(),
            head,
            # As if a handler had been asked: each line has an id of its own.
            request.id if request is not None else os.urandom(8).hex(),
            request.match.route.pattern if request is not None else None,
            status,
            size,
            took_s * 1000,
            None if queued_s is None else queued_s * 1000,
        )
        if fate is None or fate.is_known or not self._format.tells_end:
            self._write(answer, fate)
            return
        timer = Timer(lambda _now: self._release(fate))
        self._waiting[fate] = answer, timer
        fate.tell(partial(self._release, fate))
        self._loop.timers.set(timer, self._loop.now + _WAIT_S)

    def release(self) -> None:
        """Write all that waits, now."""
        for fate in list(self._waiting):
            self._release(fate)

    def _release(self, fate: Fate) -> None:
        answer, timer = self._waiting.pop(fate)
        fate.tell(None)
        self._loop.timers.remove(timer)
        self._write(answer, fate)

    def _write(self, answer: Answer, fate: Fate | None) -> None:
        self._log.write(self._format.line(answer, None if fate is None else _run(fate)))


def _run(fate: Fate) -> Run:
    pid, end = fate.pid or None, fate.end
    if end is None:
        return Run(pid, None, None, None)
    return Run(pid, exit_value(end.status), round(end.cpu_s * 1000, 3), end.peak_memory)
