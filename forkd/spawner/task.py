"""One program that a spawner has started, and how all that it has started in turn is ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection
from enum import Enum, auto

from forkd.loop.loop import Loop
from forkd.loop.timers import NEVER, Timed
from forkd.spawner.cgroup import Cgroup
from forkd.system.process_tree import children, descendants, has_in_environment

TERM_GRACE_S = 5.0
_KILL_FOR_S = 5.0
"""What cannot be killed is another's (a set-user-ID program), or waits for a device."""
_EMPTY_LOOKS = 3
"""So often nobody is to be found before a program that has left its group is taken for gone: a look
misses what forks and leaves in that moment."""
_LOOK_S = 0.1
"""Nobody tells when the last of a group has gone whose first process was reaped before."""


class Group(Enum):
    """A program and what it has started: LIVE -> TERMINATED -> GONE; TERMINATED may be skipped."""

    LIVE = auto()
    TERMINATED = auto()
    """TERM has been sent, KILL will be."""
    GONE = auto()
    """Nobody of it has been found, or it has been killed. No signal is sent to it again."""


class Task(Timed):
    """One program. It stays in the spawner's table until its worker has closed the reply socket, or
    nothing of it is left, so that its group can be ended even when its first process is gone.

    Ended with the group is what has left it (setsid(2)): all that is in the program's cgroup. Where
    it has none, what still is below the program, and what has become an orphan and carries the
    request's id in its environment.
    """

    __slots__ = (
        *("_empty_looks", "_is_empty", "_loop", "_mark", "_on_over", "_strangers", "_strayed"),
        *("cgroup", "group", "kill_at", "pid", "reaped", "reply"),
    )

    def __init__(
        self,
        loop: Loop,
        reply: int,
        pid: int,
        mark: bytes,
        strangers: Callable[[], Collection[int]],
        on_over: Callable[[Task], None],
        cgroup: Cgroup | None = None,
    ) -> None:
        """reply: the descriptor on which the worker is told of it, -1 once that is closed. mark: a
        variable that only this program has, `NAME=value`. strangers: the children of this process
        that it did not start. cgroup: the program's own."""
        super().__init__()
        self._loop = loop
        self.reply = reply
        self.pid = pid
        self._mark = mark
        self._strangers = strangers
        self._on_over = on_over
        self.cgroup = cgroup
        self.reaped = False
        self.group = Group.LIVE
        self._is_empty = False
        """The process group has been seen without members: its number may be that of another."""
        self._strayed = False
        """Somebody of it has been seen outside of the process group."""
        self._empty_looks = 0
        self.kill_at = NEVER

    @property
    def over(self) -> bool:
        """Nothing is left to end, and nobody left who could ask for it. What was left behind in
        good order may stay."""
        return self.reaped and self.group is not Group.TERMINATED and self.reply < 0

    def terminate(self) -> None:
        """TERM for all of it, then KILL for whatever is left."""
        if self.group is Group.LIVE:
            if self._signal(signal.SIGTERM):
                self.group = Group.TERMINATED
                self.kill_at = self._loop.now + TERM_GRACE_S
                self._loop.timers.set(self, self._loop.now + _LOOK_S)
            else:
                self.group = Group.GONE
        self._on_over(self)

    def kill(self) -> None:
        if self.group is not Group.GONE:
            self._signal(signal.SIGKILL)
            if self.cgroup is not None:
                self.cgroup.kill()
        self.gone()

    def gone(self) -> None:
        """Its number may belong to others from here on."""
        self.group = Group.GONE
        self._loop.timers.remove(self)
        self._on_over(self)

    def number_was_given_anew(self) -> None:
        """Its group is empty, or its number would be in use. What has left the group may live."""
        self._is_empty = True

    def was_reaped(self, *, was_alone: bool) -> None:
        """The program's own process is over. Others of its group may not be; was_alone: nobody is
        left of it."""
        self.reaped = True
        self._is_empty = was_alone or not kill_group(self.pid, 0)
        if self.group is Group.TERMINATED and self._is_gone(self._signal(0)):
            self.gone()
        else:
            self._on_over(self)

    def on_deadline(self, now: float) -> None:
        """A terminated group: is it gone, or is it time to kill it?"""
        if now >= self.kill_at:
            # Not only once: what forks and leaves all the time is missed by a look in between.
            found = self._signal(signal.SIGKILL)
            if self.cgroup is not None:
                self.cgroup.kill()
            is_over = self._is_gone(found) or now >= self.kill_at + _KILL_FOR_S
        else:
            is_over = self.reaped and self._is_gone(self._signal(0))
        if is_over:
            self.gone()
        else:
            self._loop.timers.set(self, now + _LOOK_S)

    def _is_gone(self, found: bool) -> bool:
        """Whether a look that has found somebody, or nobody, is the last one."""
        self._empty_looks = 0 if found else self._empty_looks + 1
        return self._empty_looks >= (_EMPTY_LOOKS if self._strayed else 1)

    def _signal(self, number: int) -> bool:
        """To the group and to those who have left it; whether there was anybody."""
        relatives = self._relatives()  # before its parents are gone
        found = not self._is_empty and kill_group(self.pid, number)
        self._is_empty = self.reaped and not found
        for pid in relatives:
            found = _kill(pid, number) or found
        return found

    def _relatives(self) -> list[int]:
        if self.cgroup is not None:
            found = self.cgroup.members()
        else:
            found = [] if self.reaped else descendants(self.pid)
            for pid in self._strangers():
                if has_in_environment(pid, self._mark):
                    found += (pid, *descendants(pid))
        outside = [pid for pid in found if self._is_empty or _group_of(pid) != self.pid]
        self._strayed = self._strayed or bool(outside)
        return outside


def strangers(known: Collection[int]) -> list[int]:
    """The children of this process that are not known: left behind by programs, and adopted."""
    return [pid for pid in children(os.getpid()) if pid not in known]


def kill_group(group: int, number: int) -> bool:
    """False where the group has no member left."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # a set-user-ID program: only the kernel or root can end it
    return True


def _kill(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0
