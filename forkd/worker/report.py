"""A worker's figures, written to its slot of the scoreboard whenever its loop comes to rest."""

from __future__ import annotations

import os

from forkd.loop.crew import Crew
from forkd.loop.loop import Loop
from forkd.loop.timers import Timer
from forkd.scoreboard import Slot
from forkd.server.context import Server
from forkd.system.process import pss_bytes

_MEMORY_EVERY_S = 10.0
"""The kernel walks all pages of the process for it: a millisecond or so."""


class Report:
    """Writes only what has changed; and a tick, so that the master sees the loop turn."""

    def __init__(self, slot: Slot, server: Server, crew: Crew, hang_timeout_s: float) -> None:
        self._slot = slot
        self._server = server
        self._crew = crew
        self._interval_s = min(1.0, hang_timeout_s / 4)
        self._timer = Timer(self._tick)
        self._written = (-1, -1, -1, -1, -1)
        self._memory_due = 0.0

    def start(self, loop: Loop) -> None:
        self._loop = loop
        loop.at_rest(self._write_changes)
        self._tick(loop.now)

    def _write_changes(self) -> None:
        server, tally, crew = self._server, self._server.tally, self._crew
        open_now = len(server.connections)
        now = (tally.requests, tally.connections, open_now, crew.busy, crew.waiting)
        if now != self._written:
            self._written = now
            self.write()

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
        if oldest is None:
            self._slot.write_request(b"")
            return
        head = oldest.head
        fields = (
            oldest.id.encode(),
            (oldest.peer.address or "unix:").encode(),
            head.method.encode(),
            head.target,
            oldest.match.route.pattern.encode("utf-8", "surrogateescape"),
        )
        self._slot.write_request(b"\0".join(fields))

    def _tick(self, now: float) -> None:
        self.write()
        if now >= self._memory_due:
            self._memory_due = now + _MEMORY_EVERY_S
            self._slot.write_memory(pss_bytes(os.getpid()) or 0)
        self._loop.timers.set(self._timer, now + self._interval_s)
