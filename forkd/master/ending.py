"""How the master ends: in order or at once, since somebody asked for it, since the start failed, or
since another master serves in its place."""

from __future__ import annotations

from collections.abc import Callable

from forkd.errors import OperationError
from forkd.loop.loop import Loop
from forkd.loop.timers import Timer
from forkd.master.control import Reply
from forkd.master.course import STOPPING, Course, Mode
from forkd.master.listeners import Listeners
from forkd.master.reloader import Reloader
from forkd.master.service import ServiceManager
from forkd.master.succession import Succession
from forkd.master.supervisor import Supervisor
from forkd.master.upgrade import Upgrades

_MOMENT_S = 0.5
"""Much more than a worker needs to write, or a spawner to kill its programs."""


class Ending:
    """Gives up what is under way, and ends the loop when no child is left."""

    def __init__(
        self,
        loop: Loop,
        course: Course,
        succession: Succession,
        supervisor: Supervisor,
        listeners: Listeners,
        reloader: Reloader,
        upgrades: Upgrades,
        manager: ServiceManager,
        soon: Callable[[], None],
    ) -> None:
        """soon: has the next step taken, in which the children are told to leave."""
        self._loop = loop
        self._course = course
        self._succession = succession
        self._supervisor = supervisor
        self._listeners = listeners
        self._reloader = reloader
        self._upgrades = upgrades
        self._manager = manager
        self._soon = soon
        self._replies: list[Reply] = []
        self._is_hurried = False
        self._replaced = False
        """Another master serves on the same listeners."""
        self.failure: OperationError | None = None
        """Why the start did not succeed."""

    @property
    def leaves_nobody(self) -> bool:
        """This master stops, and no other one takes over from its children."""
        return self._course.stopping and not self._replaced

    @property
    def is_due(self) -> bool:
        """There is nobody left to wait for."""
        return self._course.stopping and not self._supervisor.children

    def finish(self) -> None:
        """Tell those who wait, and leave the loop."""
        # More than one step may find that nobody is left.
        replies, self._replies = self._replies, []
        for reply in replies:
            reply({"ok": True})
        self._loop.stop()

    def begin(self, replies: list[Reply], doing: str = "Draining") -> None:
        """Drain everybody, then leave; those who wait are told when nobody is left. doing: for the
        service manager."""
        self._replies += replies
        if self._course.stopping:
            return
        self._course.enter(Mode.STOPPING)
        self._reloader.refuse_all(STOPPING)
        self._upgrades.give_up(STOPPING)
        self._manager.stopping(doing)
        self._succession.retire_all()
        self._soon()

    def fail(self, reason: OperationError) -> None:
        """The first generation does not serve, and there is no other one."""
        self.failure = reason
        self.begin([])

    def give_way(self, pid: int) -> None:
        """Another master serves on the same listeners."""
        self._replaced = True
        self._listeners.lend()
        self._manager.hand_over(pid)
        self.begin([])

    def at_once(self) -> None:
        """Leave without waiting for what is under way. Children have a moment to write what is
        still to be written (lines of the access log), unless this is asked for again."""
        if self._is_hurried:
            self._kill()
            return
        self._is_hurried = True
        self.begin([], "Stopping at once")
        self._supervisor.quit_all()
        self._loop.timers.set(Timer(lambda _now: self._kill()), self._loop.now + _MOMENT_S)

    def _kill(self) -> None:
        self._supervisor.kill_all()
        self._loop.stop()
