"""What the master looks at once a second, whether anything has happened or not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from forkd.loop.loop import Loop
from forkd.loop.timers import Timer
from forkd.master.course import Course
from forkd.master.figures import Figures
from forkd.master.listeners import Listeners
from forkd.master.meter import Resizer
from forkd.master.outage import Outage
from forkd.master.service import ServiceManager
from forkd.master.succession import Succession
from forkd.master.supervisor import Supervisor
from forkd.scoreboard import Service

_LOOK_S = 1.0
"""How often hung workers are looked for, and the service manager is told how things are."""


class Rounds:
    """The load, the children that hang, and the service manager, in this order."""

    def __init__(
        self,
        loop: Loop,
        course: Course,
        succession: Succession,
        supervisor: Supervisor,
        listeners: Listeners,
        outage: Outage,
        manager: ServiceManager,
        figures: Figures,
        step: Callable[[], None],
    ) -> None:
        """step: finds the children that hang, among other things."""
        self._loop = loop
        self._course = course
        self._succession = succession
        self._supervisor = supervisor
        self._listeners = listeners
        self._outage = outage
        self._manager = manager
        self._figures = figures
        self._step = step
        self._resizer = Resizer()
        self._timer = Timer(self._look)

    def begin(self) -> None:
        """The first look is now."""
        self._look(self._loop.now)

    def _look(self, now: float) -> None:
        # First of all: a fault in one look must not be the last look.
        self._loop.timers.set(self._timer, now + _LOOK_S)
        self._resize(now)
        self._step()
        self._manager.look(self._figures.summary(), self._supervisor.children.values(), now)

    def _resize(self, now: float) -> None:
        live, dismissed = self._succession.live, self._succession.dismissed
        # What waits while this host is out of service, or its workers are sent away, is to wait.
        accepts = self._outage.service is not Service.OUT and not dismissed
        if live is not None and accepts and not self._course.stopping:
            workers = partial(self._supervisor.workers, live.number)
            self._resizer.resize(live, workers, self._listeners.queued, now)
