"""Calls of applications that take too long, and those that wait too long for a thread.

What counts is the time that an application goes without giving anything to its client: each piece
of an answer begins it anew, and time in which it waits for its client, who sends a body or takes an
answer slowly, is the client's. So a long download is none of our business, and neither is a call
that comes back: nothing here is touched by one, since a timer looks over those under way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from forkd.handlers.application import ApplicationCall
from forkd.handlers.base import RETRY_AFTER_S, Response, make_response
from forkd.loop.crew import Crew
from forkd.loop.loop import Loop
from forkd.loop.timers import NEVER, Timer
from forkd.proto.http1.response import error_page
from forkd.system.frames import stack_of

log = logging.getLogger("forkd.application")

GRACE_S: Final = 5.0
"""How long a call that was given up may take to return; then the worker is replaced."""
_LOOK_EVERY_S: Final = 1.0
_LOOKS: Final = 4
"""At least so often a call is looked at within its time."""


class State(Enum):
    """Of a call: FRESH -> SLOW -> GIVEN_UP -> STUCK. Steps may be skipped."""

    FRESH = auto()
    SLOW = auto()
    """Half of its time was over once; the log has said so."""
    GIVEN_UP = auto()
    """Its time is over: the client has been told."""
    STUCK = auto()
    """It has not returned for all that."""


@dataclass(slots=True)
class Lasting:
    """What is known of a call that lasts. Times are monotonic seconds."""

    since: float
    """When it began, or was last seen to have made progress."""
    progress: int = 0
    """As at the last look; it began with none."""
    state: State = State.FRESH
    given_up: float = NEVER
    """When it came to GIVEN_UP: a loop that stood still comes to that late."""

    def judge(self, progress: int, waits: bool, timeout_s: float, now: float) -> State | None:
        """The state that it comes to, where that is another. waits: for its client."""
        ended = self.state in (State.GIVEN_UP, State.STUCK)
        if not ended and (waits or progress != self.progress):
            self.since, self.progress = now, progress
        found = self._state_at(now, timeout_s)
        if found is None or found.value <= self.state.value:
            return None
        if found is State.GIVEN_UP:
            self.given_up = now
        self.state = found
        return found

    def _state_at(self, now: float, timeout_s: float) -> State | None:
        if self.state is State.GIVEN_UP:
            return State.STUCK if now >= self.given_up + GRACE_S else None
        late = now - self.since
        if late >= timeout_s:
            return State.GIVEN_UP
        return State.SLOW if late >= timeout_s / 2 else None

    def due(self, timeout_s: float) -> float:
        """When there will be something new to say, if nothing happens until then."""
        match self.state:
            case State.FRESH:
                return self.since + timeout_s / 2
            case State.SLOW:
                return self.since + timeout_s
            case _:
                return self.given_up + GRACE_S


class Overseer:
    """Looks over the calls of a crew, says which are slow, and ends the wait for those that never
    come back."""

    def __init__(
        self, loop: Loop, crew: Crew, shortest_s: float, replace: Callable[[str], None]
    ) -> None:
        """shortest_s: of the times that applications have. replace: asks for another worker in the
        place of this one, for a reason; called once."""
        self._loop = loop
        self._crew = crew
        self._interval_s = min(_LOOK_EVERY_S, shortest_s / _LOOKS)
        self._replace = replace
        self._asked = False
        self._lasting: dict[ApplicationCall, Lasting] = {}
        self._queued: dict[ApplicationCall, float] = {}
        """When a call was first seen to wait for a thread."""
        self._timer = Timer(self._look)
        loop.timers.set(self._timer, loop.now + self._interval_s)

    @property
    def expects(self) -> bool:
        """Whether a call is under way that may still come to its end, be it behind its answer."""
        ended = (State.GIVEN_UP, State.STUCK)
        known = self._lasting
        return any(call not in known or known[call].state not in ended for call in self._crew.calls)

    def _look(self, now: float) -> None:
        before, self._lasting = self._lasting, {}
        due = now + self._interval_s
        # First of all: a fault in one look must not be the last look.
        self._loop.timers.set(self._timer, due)
        for call, began in list(self._crew.calls.items()):
            if isinstance(call, ApplicationCall):
                lasting = before.get(call) or Lasting(began)
                self._lasting[call] = lasting
                self._follow(call, lasting, now)
                if (next_due := lasting.due(call.pace.timeout_s)) > now:
                    due = min(due, next_due)
        self._look_at_queue(now)
        self._loop.timers.set(self._timer, due)

    def _follow(self, call: ApplicationCall, lasting: Lasting, now: float) -> None:
        timeout_s = call.pace.timeout_s
        match lasting.judge(call.progress, call.waits_for_client, timeout_s, now):
            case State.SLOW:
                log.warning("slow request: %s", self._account(call, lasting, now))
            case State.GIVEN_UP:
                log.error("%s: %s", _end(call), self._account(call, lasting, now))
                call.cut_off(lambda: call.exchange.fail(504))
            case State.STUCK if not self._asked:
                self._asked = True
                request = call.request
                self._replace(
                    f"a call of route {request.match.route.pattern} has not returned "
                    f"{now - lasting.since - timeout_s:.0f} s after its time of {timeout_s:g} s "
                    f"was over id={request.id}"
                )
            case _:
                pass

    def _account(self, call: ApplicationCall, lasting: Lasting, now: float) -> str:
        """What the log says: whose request it is, how long, and where the code is."""
        request, head = call.request, call.request.head
        thread = self._crew.threads.get(call)
        stack = stack_of(thread) if thread is not None else ""
        return (
            f"{head.method} {head.target.decode('latin-1')} {_lack(call, lasting, now)}, "
            f"{now - request.started:.1f} s after it came (it has {call.pace.timeout_s:g} s) "
            f"client={request.peer.address or 'unix:'} route={request.match.route.pattern} "
            f"id={request.id}" + (f"\n{stack}" if stack else "")
        )

    def _look_at_queue(self, now: float) -> None:
        waiting = [call for call in self._crew.queue if isinstance(call, ApplicationCall)]
        self._queued = {call: self._queued.get(call, now) for call in waiting}
        late = [c for c, since in self._queued.items() if now - since >= c.pace.timeout_s]
        if not late:
            return
        log.error(
            "%d requests waited longer for a thread than they may take, answered with 503: all %d "
            "threads are busy (`forkd stack` shows with what) id=%s",
            len(late),
            self._crew.busy,
            ",".join(call.request.id for call in late[:10]),
        )
        answer = _no_thread()
        for call in late:
            del self._queued[call]
            self._refuse(call, answer)

    @staticmethod
    def _refuse(call: ApplicationCall, answer: Response) -> None:
        call.cut_off(lambda: call.exchange.answer(answer))


def _lack(call: ApplicationCall, lasting: Lasting, now: float) -> str:
    late = f"{now - lasting.since:.1f} s"
    if call.exchange.over:
        return f"goes on {late} after its end"
    if call.exchange.begun:
        return f"has given its client nothing more for {late}"
    return f"has given its client nothing for {late}"


def _end(call: ApplicationCall) -> str:
    if call.exchange.over:
        return "out of time"
    return "504, connection closed" if call.exchange.begun else "504, out of time"


def _no_thread() -> Response:
    headers = [
        (b"Content-Type", b"text/html; charset=utf-8"),
        (b"Retry-After", b"%d" % RETRY_AFTER_S),
    ]
    return make_response(503, headers, error_page(503))
