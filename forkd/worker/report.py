"""A worker's figures, written to its slot of the scoreboard whenever its loop comes to rest."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from forkd.config.settings import Workers
from forkd.loop.crew import Crew
from forkd.loop.loop import Loop
from forkd.loop.timers import Timer
from forkd.scoreboard import Slot
from forkd.server.context import Server
from forkd.system.process import pss_bytes
from forkd.worker.retirement import Retirement, resident_bytes

_MEMORY_EVERY_S = 10.0
"""The kernel walks all pages of the process for it: a millisecond or so."""


class Report:
    """Writes only what has changed; and a tick, so that the master sees the loop turn."""

    def __init__(
        self,
        slot: Slot,
        server: Server,
        crew: Crew,
        settings: Workers,
        programs: Callable[[], int],
        retire: Callable[[str], None],
    ) -> None:
        """programs: how many run for this worker."""
        self._slot = slot
        self._table = slot.table()
        self._server = server
        self._crew = crew
        self._retirement = Retirement(settings)
        self._programs = programs
        self._retire = retire
        self._watches_memory = settings.max_rss > 0
        self._interval_s = min(1.0, settings.hang_timeout / 4)
        self._timer = Timer(self._tick)
        self._written = (-1, -1, -1, -1, -1, -1)
        self._memory_due = 0.0

    def start(self, loop: Loop) -> None:
        self._loop = loop
        loop.at_rest(self._write_changes)
        self._tick(loop.now)

    def _write_changes(self) -> None:
        server, tally, crew = self._server, self._server.tally, self._crew
        server.figures.write(self._table)  # where nothing has changed, that is next to nothing
        open_now, programs = len(server.connections), self._programs()
        now = (tally.requests, tally.connections, open_now, crew.busy, crew.waiting, programs)
        if now != self._written:
            self._written = now
            self.write()
            if (reason := self._retirement.after(tally.requests)) is not None:
                self._retire(reason)

    def write(self) -> None:
        server, tally = self._server, self._server.tally
        oldest = next(iter(server.under_way.values()), None)
        self._slot.write(
            server.loop.now,
            tally.requests,
            tally.connections,
            tally.bytes_sent,
            tally.errors,
            len(server.connections),
            self._crew.busy,
            oldest.started if oldest is not None else 0.0,
        )
        self._slot.write_waiting(self._crew.waiting)
        self._slot.write_programs(self._programs())
        server.figures.write(self._table)
        if oldest is None:
            self._slot.write_request(b"")
            return
        head = oldest.head
        fields = (  # in the order of UnderWay
            oldest.id.encode(),
            (oldest.peer.address or "unix:").encode(),
            head.method.encode(),
            head.target,
            oldest.match.route.pattern.encode("utf-8", "surrogateescape"),
        )
        self._slot.write_request(b"\0".join(fields))

    def _tick(self, now: float) -> None:
        self.write()
        self._slot.write_cpu(time.process_time(), now)
        if self._watches_memory and (reason := self._retirement.above(resident_bytes())):
            self._retire(reason)
        if now >= self._memory_due:
            self._memory_due = now + _MEMORY_EVERY_S
            self._slot.write_memory(pss_bytes(os.getpid()) or 0)
        self._loop.timers.set(self._timer, now + self._interval_s)
