"""The step in which every event ends: it moves the statement of what should be on where it can, and
has it made true. See lifecycle.py for the statement, and the supervisor for what is done."""

from __future__ import annotations

from forkd.errors import OperationError
from forkd.loop.loop import Loop
from forkd.loop.timers import NEVER, Timer
from forkd.master import lifecycle
from forkd.master.consequences import Consequences
from forkd.master.course import Course
from forkd.master.ending import Ending
from forkd.master.failures import Failures
from forkd.master.lifecycle import Wanted
from forkd.master.presence import Presence
from forkd.master.reloader import Reloader
from forkd.master.succession import Succession
from forkd.master.supervisor import Supervisor


class Steps:
    """Takes them when told to, and when a deadline is over. One too many does nothing."""

    def __init__(
        self,
        loop: Loop,
        course: Course,
        succession: Succession,
        supervisor: Supervisor,
        reloader: Reloader,
        failures: Failures,
        consequences: Consequences,
        ending: Ending,
        presence: Presence,
    ) -> None:
        self._loop = loop
        self._course = course
        self._succession = succession
        self._supervisor = supervisor
        self._reloader = reloader
        self._failures = failures
        self._consequences = consequences
        self._ending = ending
        self._presence = presence
        self._wake_up = Timer(lambda _now: self.take())

    def wanted(self) -> Wanted:
        """What should be now."""
        counts = {} if self._course.stopping else self._succession.counts()
        patience = self._succession.settings.workers.shutdown_timeout
        forked_by = self._succession.forked_by()
        alone = self._ending.leaves_nobody
        return Wanted(counts, self._failures.not_before, alone, patience, forked_by)

    def take(self) -> None:
        """One step now."""
        if self._ending.is_due:
            self._ending.finish()
            return
        if self._succession.advance(self._supervisor.children.values()):
            self._commit()
        wanted = self.wanted()
        try:
            self._supervisor.carry_out(wanted)
        except OperationError as error:
            self._consequences.not_forked(str(error), self._loop.now)
        children = self._supervisor.children.values()
        due = lifecycle.next_deadline(children, wanted, self._loop.now) or NEVER
        if (deadline := self._reloader.deadline) is not None:
            if not self._supervisor.leaving or self._loop.now >= deadline:
                self._reloader.hand_over(first=self._course.starting)
            else:
                due = min(due, deadline)
        self._loop.timers.set(self._wake_up, due)

    def _commit(self) -> None:
        old, incoming = self._reloader.commit(self._loop.now)
        if old is None:
            try:
                self._presence.announce(incoming.generation)
            except OperationError as error:
                self._ending.fail(error)
