"""`forkd drain`: the host goes out of service in two steps, and comes back in one.

At first only the health route says so, and load balancers go elsewhere; after the grace nothing is
accepted any more. Workers read both in the header of the scoreboard.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from forkd.loop.loop import Loop
from forkd.loop.timers import Timer
from forkd.master.control import Reply
from forkd.scoreboard import Scoreboard, Service

log = logging.getLogger("forkd.master")

_LOOK_S = 0.5
"""How often it is looked for those who wait whether all connections are gone."""


class Outage:
    """Whether this host is in service, and who waits for it to be empty."""

    def __init__(self, loop: Loop, scoreboard: Scoreboard, connections: Callable[[], int]) -> None:
        """connections: how many there are in all workers."""
        self._loop = loop
        self._scoreboard = scoreboard
        self._connections = connections
        self._waiting: list[Reply] = []
        self._grace_timer = Timer(self._on_grace_over)
        self._wait_timer = Timer(self._look)
        self.service = Service.IN

    def begin(self, grace_s: float, waiting: list[Reply]) -> None:
        """Go out of service; told again while that is under way, with another grace.

        waiting: who is told when there is no connection left.
        """
        if self.service is not Service.OUT:
            log.info("drain: the health route says so; in %g s nothing more is accepted", grace_s)
            self._enter(Service.LEAVING)
            self._loop.timers.set(self._grace_timer, self._loop.now + grace_s)
        self._waiting += waiting
        if self._waiting:
            self._look(self._loop.now)

    def end(self) -> None:
        """Come back."""
        self._loop.timers.remove(self._grace_timer)
        self._loop.timers.remove(self._wait_timer)
        if self.service is not Service.IN:
            log.info("drain --undo: in service again")
            self._enter(Service.IN)
        self._tell({"ok": False, "reasons": ["drain --undo has brought this host back"]})

    def go_on(self) -> None:
        """As the master that this one replaces had left it: out of service."""
        log.info("drain: this host is out of service, as it was before the upgrade")
        self._enter(Service.OUT)

    def give_up(self, reason: str) -> None:
        """This master ends: tell those who wait."""
        self._loop.timers.remove(self._wait_timer)
        self._tell({"ok": False, "reasons": [reason]})

    @property
    def in_service(self) -> bool:
        return self.service is Service.IN

    def _enter(self, service: Service) -> None:
        self.service = service
        self._scoreboard.write_service(service)

    def _on_grace_over(self, _now: float) -> None:
        log.info("drain: nothing more is accepted; new connections wait in the kernel's queue")
        self._enter(Service.OUT)

    def _look(self, now: float) -> None:
        if self.service is Service.OUT and self._connections() == 0:
            self._tell({"ok": True})
        else:
            self._loop.timers.set(self._wait_timer, now + _LOOK_S)

    def _tell(self, answer: dict[str, object]) -> None:
        waiting, self._waiting = self._waiting, []
        for reply in waiting:
            reply(answer)
