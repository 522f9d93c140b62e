"""What follows when a child has come up, has died, or could not be forked.

The supervisor knows what has happened to a child; here is what that means for its generation: it
has failed, its pool is left alone for a while, or the next step simply puts another in the place.
"""

from __future__ import annotations

import logging

from forkd.child import Kind
from forkd.master import counting
from forkd.master.course import Course
from forkd.master.death import Death
from forkd.master.failures import Failures
from forkd.master.figures import Figures
from forkd.master.lifecycle import Child, State
from forkd.master.renewal import Renewal
from forkd.master.succession import Succession
from forkd.master.supervisor import Supervisor

log = logging.getLogger("forkd.master")


class Consequences:
    """Draws them, and says so in the log. `now` is monotonic seconds."""

    def __init__(
        self,
        course: Course,
        succession: Succession,
        supervisor: Supervisor,
        failures: Failures,
        figures: Figures,
        renewal: Renewal,
    ) -> None:
        self._course = course
        self._succession = succession
        self._supervisor = supervisor
        self._failures = failures
        self._figures = figures
        self._renewal = renewal

    def came_up(self, child: Child) -> None:
        """Its pool can start children, whatever was before."""
        self._failures.clear((child.generation, child.pool))

    def died(self, death: Death, now: float) -> None:
        """It is in the table no more, and its slot still holds its figures."""
        self._figures.bury(death)
        child, succession = death.child, self._succession
        if child.pool.kind is Kind.SPAWNER:
            counting.sweep()
        incoming = succession.incoming
        if incoming is not None and child.generation == incoming.generation.number:
            self._renewal.abandon(list(death.reasons) or [str(death)])
        elif death.was_asked or (self._course.stopping and death.doing is None):
            log.debug("%s has left", child)
        elif self._course.stopping or not succession.is_current(child.generation):
            log.warning("%s%s", death, death.loss(now))
        elif child.state is State.STARTING:
            self._failures.back_off((child.generation, child.pool), str(death), now)
        else:
            log.error("%s: it is replaced%s", death, death.loss(now))
        succession.forget_gone(self._supervisor.children.values())

    def not_forked(self, reason: str, now: float) -> None:
        """The kernel gives no more processes, or there is no slot for one."""
        live = self._succession.live
        if self._succession.incoming is not None:
            self._renewal.abandon([reason])
        elif live is not None:
            for pool in live.full():
                self._failures.back_off((live.number, pool), reason, now)
