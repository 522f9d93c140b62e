"""A cgroup for each program of a spawner, in which it is born.

The spawner itself is in the cgroup that the next program is to have: what it starts is born there.
Then it moves on, to the next one. To move takes some milliseconds when it is done now and then (the
kernel waits until every CPU has seen it), so a thread waits for it and no program does.

All cgroups are made, and all files in them opened, while the spawner is root: their owner is root,
and it is by whom a file was opened that the kernel decides who may write to it. So a spawner that
is somebody else by then can move itself, and its programs can leave their cgroups for no other.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from forkd.errors import OperationError
from forkd.loop.loop import Loop
from forkd.loop.timers import Timer
from forkd.spawner.cgroup import Cgroup, Made

log = logging.getLogger("forkd.spawner")

_LOOK_S = 0.2
"""Nobody tells when the last one has left a cgroup."""
_RETRY_S = 1.0
_TELL_S = 60.0
_OWN_THREADS: Final = 3
"""A spawner counts in the cgroup that it is in: its thread, the one that moves it, and the one by
which a program is started in a sandbox."""


class Mover:
    """A thread that does, in order, what makes its caller wait."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._jobs: queue.SimpleQueue[tuple[Callable[[], None], Callable[[OSError | None], None]]]
        self._jobs = queue.SimpleQueue()
        loop.accept_posts()
        threading.Thread(target=self._work, name="mover", daemon=True).start()

    def do(self, job: Callable[[], None], done: Callable[[OSError | None], None]) -> None:
        """Run job in the thread; then call done in the loop, with the error if there was one."""
        self._jobs.put((job, done))

    def _work(self) -> None:
        while True:
            job, done = self._jobs.get()
            error = None
            try:
                job()
            except OSError as fault:
                error = fault
            self._loop.post(partial(done, error))


Do = Callable[[Callable[[], None], Callable[[OSError | None], None]], None]


@dataclass(slots=True)
class Cgroups:
    """Which cgroup the next program is born in, and what becomes of those that are over."""

    loop: Loop
    made: Made
    most: int | None
    """Processes and threads of each program; None: they are not counted."""
    do: Do
    """As Mover.do."""
    on_ready: Callable[[], None]
    """Called when a program can be started again."""
    next: Cgroup | None = None
    """Where this process is, and nobody else; None: it is on the way, or none is free."""
    _free: deque[Cgroup] = field(default_factory=deque)
    _moving: bool = False
    _lingering: dict[Cgroup, bool] = field(default_factory=dict)
    """Those of programs that are over in which somebody is left, and whether that is in order."""
    _tell_again_at: float = 0.0
    _timer: Timer = field(init=False)

    def __post_init__(self) -> None:
        self._timer = Timer(self._look)
        self._free.extend(self.made.free)
        if self.most is not None:
            self.made.kept.limit(self.most)

    def enter(self) -> None:
        """Go to the first one, before there is anybody to wait for it.

        Raises OperationError where this process may not.
        """
        first = self._free.popleft()
        try:
            self._move(None, first)
        except OSError as error:
            # Linux before 5.16 looked at who writes, not at who had opened the file.
            raise OperationError(
                f"cannot move to the cgroup {first.path}: {error.strerror} (does it need a later "
                "kernel? Linux 5.16 lets a spawner that was root do so)"
            ) from None
        first.holds_us = True
        self.next = first

    def take(self) -> Cgroup:
        """The cgroup in which a program has just been born. It is the program's until `release`."""
        taken = self.next
        assert taken is not None
        self.next = None
        self._go_on(taken)
        return taken

    def release(self, cgroup: Cgroup, *, killed: bool) -> None:
        """Its program is over. killed: nobody of it may be left."""
        if cgroup.members():
            self._lingering[cgroup] = not killed
            self.loop.timers.set(self._timer, self.loop.now + _LOOK_S)
        else:
            self._give_back(cgroup)

    def close(self) -> None:
        """This process leaves: what may stay is to be known from what is to be ended."""
        for cgroup, in_order in self._lingering.items():
            if in_order:
                self._keep(cgroup)

    def _give_back(self, cgroup: Cgroup) -> None:
        self._free.append(cgroup)
        if self.next is None and not self._moving:
            self._go_on(None)

    def _go_on(self, left: Cgroup | None) -> None:
        # One that still holds this process is free as soon as it has left it: not before.
        target = next((cgroup for cgroup in self._free if not cgroup.holds_us), None)
        if target is not None:
            self._free.remove(target)
            target.holds_us = True
        self._moving = True
        self.do(partial(self._move, left, target), partial(self._on_moved, left, target))

    def _move(self, left: Cgroup | None, target: Cgroup | None) -> None:
        """In the thread."""
        if target is not None and self.most is not None:
            target.limit(self.most + _OWN_THREADS)
        os.write(self.made.home if target is None else target.procs, b"0")
        if left is not None and self.most is not None:
            try:
                left.limit(self.most)
            except OSError as error:  # the move is done all the same
                log.error("%s: cannot be limited: %s", left.path, error.strerror)

    def _on_moved(self, left: Cgroup | None, target: Cgroup | None, error: OSError | None) -> None:
        self._moving = False
        if error is not None:
            log.error("cannot move to the next cgroup: %s", error.strerror)
            if target is not None:
                target.holds_us = False
                self._free.append(target)
            retry = Timer(lambda _now: self._go_on(left))
            self._moving = True
            self.loop.timers.set(retry, self.loop.now + _RETRY_S)
            return
        self._arrived(left, target)

    def _arrived(self, left: Cgroup | None, target: Cgroup | None) -> None:
        if left is not None:
            left.holds_us = False
        if target is None:
            if self._free:
                self._go_on(None)
            elif self.loop.now >= self._tell_again_at:
                self._tell_again_at = self.loop.now + _TELL_S
                log.warning(
                    "all %d cgroups are in use: the next program waits until another one is over",
                    len(self.made.free),
                )
            return
        target.holds_us = True
        self.next = target
        self.on_ready()

    def _look(self, now: float) -> None:
        """At those in which somebody was left."""
        for cgroup, in_order in list(self._lingering.items()):
            members = cgroup.members()
            if not members:
                del self._lingering[cgroup]
                self._give_back(cgroup)
            elif not in_order:
                cgroup.kill()
            else:
                self.do(partial(self._keep, cgroup), lambda _error: None)
        if self._lingering:
            self.loop.timers.set(self._timer, now + _LOOK_S)

    def _keep(self, cgroup: Cgroup) -> None:
        """Put aside what was left behind: its cgroup is free then. In the thread, or at the end.

        Not more than one program may have, of all of them together, or programs could have as many
        processes as they like by leaving them behind.
        """
        members = cgroup.members()
        if self.most is not None and len(self.made.kept.members()) + len(members) > self.most:
            return
        for pid in members:
            try:
                os.write(self.made.kept.procs, b"%d" % pid)
            except OSError:
                pass  # gone; for who is not, there is the next look
