"""The threads of a process that runs code which may block: one of them runs the loop.

A call of such code is made by the thread that runs the loop, as a plain call: most come back within
microseconds, and the way through a queue to a second thread, with the fight of the two for the
interpreter, would cost several times that. While the call lasts the loop is on offer. A watchman
looks every few milliseconds; a call that he meets twice is taken for one that blocks, and another
thread takes the loop over. The call does not notice: when it comes back, its thread finds the loop
gone and joins those that wait for work. A look takes the interpreter from a call: so the loop puts
the watchman off as it goes on, and he looks when it has not for a few milliseconds.

Code that has blocked is called in another thread from the start for some time afterwards (Pace), so
that code which always blocks does not hold up the loop again and again. See decision 0011.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from queue import SimpleQueue
from typing import Protocol

from forkd.loop.loop import Loop, LoopLost
from forkd.loop.timers import NEVER
from forkd.system.alarm import Alarm

log = logging.getLogger("forkd.threads")

PATIENCE_S = 0.005
"""A call that lasts from one look of the watchman to the next blocks."""
_CALLS_IN_TIME = 8
"""After so many calls in one turn of the loop the watchman is put off as well."""
_APART_S = 0.1
_APART_MOST_S = 10.0
"""How long code that blocked is kept from the loop's thread: at first, and at most."""


class Pace:
    """What is known of how long some code takes. One for each application."""

    __slots__ = ("_apart_s", "apart_until", "timeout_s")

    def __init__(self, timeout_s: float = NEVER) -> None:
        self.timeout_s = timeout_s
        """How long a call may take; nothing here sees to that."""
        self.apart_until = 0.0
        """Monotonic seconds: until then it is called in a thread apart."""
        self._apart_s = 0.0

    def blocked(self, now: float) -> None:
        """It has held the loop up. Twice in a row doubles the time apart."""
        soon_again = now - self.apart_until < 2 * self._apart_s
        self._apart_s = min(_APART_MOST_S, 2 * self._apart_s) if soon_again else _APART_S
        self.apart_until = now + self._apart_s


class Call(Protocol):
    """A call of code that may block."""

    pace: Pace

    def run(self, stage: Stage) -> None:
        """Made in some thread. What touches anything of the loop goes through the stage."""


class Stage:
    """A call's way back to the loop, used by the thread that makes the call."""

    __slots__ = ("_call", "_crew", "_holds_loop")

    def __init__(self, crew: Crew, call: Call, holds_loop: bool) -> None:
        self._crew = crew
        self._call = call
        self._holds_loop = holds_loop

    def do(self, act: Callable[[], None]) -> None:
        """Have this done in the loop: at once where this thread still runs it, else soon.

        What is done comes in the order of these calls. What it raises is logged.
        """
        if self._holds_loop:
            if self._crew.take_back(self._call):
                _guard(act)
                self._crew.offer(self._call)
                return
            self._holds_loop = False
        self._crew.loop.post(act)

    def let_go(self) -> None:
        """This thread is going to wait: let another one run the loop."""
        if self._holds_loop:
            self._holds_loop = False
            if self._crew.take_back(self._call):
                self._crew.pass_loop_on(self._call)

    def perform(self) -> bool:
        """Make the call; whether this thread still runs the loop, if it did.

        What the call raises has to be caught by it; here it is only logged.
        """
        call, crew = self._call, self._crew
        try:
            call.run(self)
        except BaseException:  # sys.exit() in it would end nothing but this thread
            log.exception("fault in a call")
        if self._holds_loop and crew.take_back(call):
            crew.ended(call)
            return True
        crew.loop.post(partial(crew.ended_apart, call))
        return False


def _guard(act: Callable[[], None]) -> None:
    try:
        act()
    except Exception:
        log.exception("fault in what a call had done in the loop")


class Crew:
    """Makes calls, at most `size` at a time; others wait in order. For the loop's thread but where
    a method says otherwise."""

    def __init__(self, loop: Loop, size: int) -> None:
        self.loop = loop
        self._size = size
        self._waiting: deque[Call] = deque()
        self._under_way: dict[Call, float] = {}
        self._apart: dict[Call, int] = {}
        """The threads of those calls that are not, or no more, made by the thread of the loop."""
        self._leader = 0
        """The thread that runs the loop, or last did."""
        self._offer: list[Call] = []
        """Holds a call while the loop may be taken over. Whoever takes it out has the loop:
        list.append and list.remove are atomic, for items that compare by identity."""
        self.on_ended: Callable[[], None] | None = None
        """Told that a call is over, once somebody waits for that."""
        self._made = 0
        """Calls made since the watchman was put off."""
        self._watch_is_set = False
        """The watchman is going to look."""
        self._alarm: Alarm | None = None
        """What he waits for, once there are threads."""
        self._tasks: SimpleQueue[Call | None] = SimpleQueue()
        """None: run the loop."""
        self._idle = threading.Semaphore(0)
        """Counts the threads that wait for a task, as far as they are not meant for one already."""
        self._over = threading.Event()
        self._fault: BaseException | None = None
        self._threads = 0

    @property
    def busy(self) -> int:
        """Calls under way."""
        return len(self._under_way)

    @property
    def waiting(self) -> int:
        """Calls that wait for one of those to end."""
        return len(self._waiting)

    @property
    def calls(self) -> Mapping[Call, float]:
        """Those under way, with the monotonic time when each began."""
        return self._under_way

    @property
    def queue(self) -> Iterable[Call]:
        """Those that wait, the next one first."""
        return self._waiting

    @property
    def threads(self) -> Mapping[Call, int]:
        """The threads (threading.get_ident) of calls that last."""
        return self._apart

    def run(self) -> None:
        """Have the loop run, in threads that change, until it is stopped.

        The caller only waits: its thread is the one that Python gives signals to, which must not be
        in a call. What `Loop.run` raises comes through.
        """
        self.loop.accept_posts()
        self.loop.at_rest(self._put_off)
        self._alarm = alarm = Alarm(PATIENCE_S)
        watch = partial(self._watch, alarm)
        watchman = threading.Thread(target=watch, name="watchman", daemon=True)
        watchman.start()
        self._give(None)
        self._over.wait()
        alarm.ring()
        watchman.join()  # `close` takes away what he waits for
        if self._fault is not None:
            raise self._fault

    def close(self) -> None:
        """After `run`."""
        if self._alarm is not None:
            self._alarm.close()

    def submit(self, call: Call) -> None:
        """Make the call, soon: nothing of the loop is on the stack by then."""
        if len(self._under_way) >= self._size:
            self._waiting.append(call)
        else:
            self._start(call)

    def withdraw(self, call: Call) -> bool:
        """Do not make a call that is still waiting; whether it was."""
        try:
            self._waiting.remove(call)
        except ValueError:
            return False
        return True

    def ended(self, call: Call) -> None:
        """A call is over: the next one has its thread."""
        self._under_way.pop(call, None)
        if self._waiting:
            self._start(self._waiting.popleft())
        if self.on_ended is not None:
            self.on_ended()

    def ended_apart(self, call: Call) -> None:
        """The same of a call that the loop has left."""
        self._apart.pop(call, None)
        self.ended(call)

    def _start(self, call: Call) -> None:
        self._under_way[call] = self.loop.now
        self.loop.call_soon(partial(self._make, call))

    def _make(self, call: Call) -> None:
        if self.loop.now < call.pace.apart_until:
            self._give(call)
            return
        self._made += 1
        if self._made >= _CALLS_IN_TIME:
            self._put_off()
        self.offer(call)
        if not Stage(self, call, holds_loop=True).perform():
            raise LoopLost

    # From any thread, on its way between loop and call.

    def offer(self, call: Call) -> None:
        """From here on the loop may be taken over."""
        self._offer.append(call)
        if not self._watch_is_set:
            self._set_watch()

    def take_back(self, call: Call) -> bool:
        """Whether the loop that this call offered is still there; who takes it has it."""
        try:
            self._offer.remove(call)
        except ValueError:
            return False
        return True

    def pass_loop_on(self, call: Call) -> None:
        """Let another thread run the loop, which has been taken out of the offer of this call."""
        self._apart[call] = self._leader
        self._give(None)

    # Threads.

    def _watch(self, alarm: Alarm) -> None:
        seen: Call | None = None
        while True:
            alarm.wait()
            if self._over.is_set():
                return
            try:
                call = self._offer[0]
            except IndexError:
                call = None
            if call is not None and call is seen and self.take_back(call):
                call.pace.blocked(self.loop.now)
                self.pass_loop_on(call)
                call = None
            seen = call
            self._watch_is_set = False
            if call is not None or self._offer:
                self._set_watch()
            # An offer that comes only now is made by somebody who sees that the watch is not set.

    def _set_watch(self) -> None:
        self._watch_is_set = True
        if self._alarm is not None:
            self._alarm.wind()

    def _put_off(self) -> None:
        """No call has blocked so far."""
        self._made = 0
        if self._watch_is_set:
            self._set_watch()

    def _give(self, task: Call | None) -> None:
        """Have a thread do this."""
        if not self._idle.acquire(blocking=False):
            self._threads += 1
            name = f"thread {self._threads}"
            threading.Thread(target=self._live, name=name, daemon=True).start()
        self._tasks.put(task)

    def _live(self) -> None:
        while True:
            task = self._tasks.get()
            if task is None:
                self._lead()
            else:
                self._apart[task] = threading.get_ident()
                Stage(self, task, holds_loop=False).perform()
            self._idle.release()

    def _lead(self) -> None:
        self._leader = threading.get_ident()
        try:
            if self.loop.run():
                self._over.set()
        except BaseException as fault:
            self._fault = fault
            self._over.set()
