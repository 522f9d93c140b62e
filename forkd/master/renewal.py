"""A new generation or a new program: one of the two at a time, and neither once forkd stops.

How a generation is brought in is in reloader.py, how a program is in upgrade.py. Here is when.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from forkd.errors import OperationError
from forkd.loop.loop import Loop
from forkd.master.control import Reply
from forkd.master.course import STOPPING, Course, Mode
from forkd.master.ending import Ending
from forkd.master.figures import Figures
from forkd.master.lifecycle import Child
from forkd.master.reloader import Reloader
from forkd.master.service import ServiceManager
from forkd.master.succession import Succession
from forkd.master.upgrade import Upgrades

log = logging.getLogger("forkd.master")


class Renewal:
    """Begins reloads and upgrades, or refuses them, and tells others how a reload went."""

    def __init__(
        self,
        loop: Loop,
        course: Course,
        succession: Succession,
        reloader: Reloader,
        upgrades: Upgrades,
        ending: Ending,
        manager: ServiceManager,
        figures: Figures,
        soon: Callable[[], None],
    ) -> None:
        """soon: has the next step taken, in which what is new is begun with."""
        self._loop = loop
        self._course = course
        self._succession = succession
        self._reloader = reloader
        self._upgrades = upgrades
        self._ending = ending
        self._manager = manager
        self._figures = figures
        self._soon = soon
        self._replaces: int | None = None
        """The generation that served when the last reload began."""
        self._told: set[int] = set()
        """Slots of its workers that have told of a change since."""

    def reload(self, replies: list[Reply]) -> None:
        """Bring in a new generation from the file as it is now."""
        live = self._succession.live
        if self._course.stopping:
            _refuse(replies, STOPPING)
        elif self._upgrades.busy:
            log.error("reload refused: an upgrade is under way")
            _refuse(replies, "an upgrade is under way")
        elif live is None or self._reloader.busy:
            self._reloader.wait(replies)
        else:
            self._course.enter(Mode.RELOADING)
            self._replaces, self._told = live.number, set()
            self._manager.reloading()
            self._reloader.begin(live, replies)
            self._soon()

    def source_changed(self, child: Child, path: str) -> None:
        """All workers tell of it: the first one that does, of those that serve, is heard. While a
        reload is under way, whoever tells again or has come with it has seen a later change."""
        live = self._succession.live
        if not self._succession.is_current(child.generation):
            return
        if live is not None and not self._reloader.busy:
            log.info("%s has changed: reloading", path)
            self.reload([])
        elif child.slot in self._told or child.generation != self._replaces:
            log.info("%s has changed again: another reload follows", path)
            self._reloader.wait([])
        self._told.add(child.slot)

    def abandon(self, reasons: list[str]) -> None:
        """The new generation has failed. Without an old one there is nothing to serve."""
        if not self._reloader.abandon(reasons):
            self._ending.fail(OperationError("\n".join(reasons)))
        self._soon()

    def reload_ended(self, reason: str) -> None:
        """The start or a reload is over. reason: why it failed, or empty."""
        self._course.enter(Mode.RUNNING)
        live, last = self._succession.live, self._reloader.last
        if live is not None and last is not None:
            self._figures.history.note_reload(last, live.number)
        # systemd waits for READY also after a reload that failed (sd_notify(3)).
        self._manager.ready(self._figures.summary(), reason)
        if (waiting := self._reloader.take_waiting()) is not None:
            self._loop.call_soon(lambda: self.reload(waiting))

    def upgrade(self, replies: list[Reply]) -> None:
        """Start the installed program in this one's place."""
        live = self._succession.live
        if self._course.stopping:
            self._upgrades.refuse(replies, [STOPPING])
        elif live is None or self._reloader.busy:
            self._upgrades.refuse(replies, ["a reload is under way"])
        else:
            self._upgrades.begin(live.number, live.settings.workers.boot_timeout, replies)


def _refuse(replies: list[Reply], reason: str) -> None:
    for reply in replies:
        reply({"ok": False, "reasons": [reason]})
