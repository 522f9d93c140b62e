"""`forkd stack`: what the threads of a worker are doing now, also where it does not answer.

A worker is asked first: it knows the names of its threads and the requests they are busy with. One
that does not hear (it is still importing, its loop stands still, code in C holds the interpreter)
is sent a signal, whose handler writes the stacks without the interpreter. Both write into a file in
memory that was made for the worker; what has come to rest there is the answer.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from forkd.child import Kind
from forkd.loop.loop import Loop
from forkd.loop.timers import Timer
from forkd.master.control import Reply
from forkd.master.lifecycle import Child, State
from forkd.master.supervisor import Supervisor
from forkd.system.frames import shortened
from forkd.system.process_state import process_state
from forkd.system.stacks import STACKS_SIGNAL

LOOK_EVERY_S: Final = 0.05
HEARS_WITHIN_S: Final = 0.3
"""A worker that has not answered by then is sent the signal."""
ANSWERS_WITHIN_S: Final = 1.0
_LONGEST: Final = 1 << 20
"""Bytes. A worker is not trusted with the memory of the master."""


class Way(Enum):
    """How a worker is asked."""

    WORD = auto()
    SIGNAL = auto()


class Step(Enum):
    """What is to be done about a question."""

    WAIT = auto()
    SIGNAL = auto()
    GIVE = auto()
    """What is there is the answer."""
    REFUSE = auto()


@dataclass(slots=True)
class Question:
    """A worker that is asked, and what has come of it. Times are monotonic seconds."""

    child: Child
    asked_at: float
    way: Way
    replies: list[Reply] = field(default_factory=list)
    size: int = 0
    """Bytes that were there at the last look."""
    at_rest: int = 0
    """Looks since then at which there were no more."""


def judge(question: Question, size: int, now: float) -> Step:
    """Say what to do, with so many bytes there. Notes them in the question."""
    question.at_rest = question.at_rest + 1 if size == question.size else 0
    question.size = size
    late = now - question.asked_at
    if size:
        # A worker writes all at once, the handler of the signal word by word.
        enough = 1 if question.way is Way.WORD else 2
        return Step.GIVE if question.at_rest >= enough or late >= ANSWERS_WITHIN_S else Step.WAIT
    if late >= ANSWERS_WITHIN_S:
        return Step.REFUSE
    if question.way is Way.WORD and late >= HEARS_WITHIN_S:
        return Step.SIGNAL
    return Step.WAIT


class Stacks:
    """Answers those who ask. Nothing here waits: the files are looked at by a timer."""

    def __init__(self, loop: Loop, supervisor: Supervisor) -> None:
        self._loop = loop
        self._supervisor = supervisor
        self._questions: dict[int, Question] = {}
        """By slot. Who asks for the same worker meanwhile gets the same answer."""
        self._timer = Timer(self._look)

    def show(self, slot: object, reply: Reply) -> None:
        """Reply with the stacks of the worker in this slot, or with the reason why not."""
        child = self._find(slot)
        if child is None:
            _refuse([reply], self._who_there_is(slot))
        elif child.slot in self._questions:
            self._questions[child.slot].replies.append(reply)
        elif child.pid is None:
            _refuse([reply], f"{child} has not been forked by its template yet")
        elif (state := process_state(child.pid)) is not None and state.is_stopped:
            reason = (
                f"{child} is stopped (state {state.letter}): kill -CONT {child.pid} lets it go on"
            )
            _refuse([reply], reason)
        else:
            self._ask(child, reply)

    def _find(self, slot: object) -> Child | None:
        children = self._supervisor.children.values()
        found = (c for c in children if c.pool.kind is Kind.WORKER and c.slot == slot)
        return None if isinstance(slot, bool) else next(found, None)

    def _who_there_is(self, slot: object) -> str:
        children = self._supervisor.children.values()
        slots = sorted(child.slot for child in children if child.pool.kind is Kind.WORKER)
        there = f"there are: {', '.join(map(str, slots))}" if slots else "there are none now"
        return f"no worker {slot}; {there}"

    def _ask(self, child: Child, reply: Reply) -> None:
        os.ftruncate(self._supervisor.stacks_of(child), 0)
        question = Question(child, self._loop.now, Way.WORD, [reply])
        self._questions[child.slot] = question
        if child.state is State.STARTING:
            self._signal(question)  # it imports applications, and hears nothing
        else:
            self._supervisor.ask_for_stacks(child)
        self._loop.timers.set(self._timer, self._loop.now + LOOK_EVERY_S)

    def _signal(self, question: Question) -> None:
        question.way = Way.SIGNAL
        assert question.child.pid is not None
        try:
            os.kill(question.child.pid, STACKS_SIGNAL)
        except ProcessLookupError:
            pass  # it is a zombie by now; SIGCHLD is on its way

    def _look(self, now: float) -> None:
        for slot, question in list(self._questions.items()):
            there = self._supervisor.children.get(slot)
            if there is None or there.pid != question.child.pid:
                self._refuse(question, f"{question.child} has gone meanwhile")
                continue
            size = os.fstat(self._supervisor.stacks_of(there)).st_size
            match judge(question, size, now):
                case Step.GIVE:
                    self._give(question)
                case Step.REFUSE:
                    self._refuse(question, _silence(question.child))
                case Step.SIGNAL:
                    self._signal(question)
                case Step.WAIT:
                    pass
        if self._questions:
            self._loop.timers.set(self._timer, now + LOOK_EVERY_S)

    def _give(self, question: Question) -> None:
        del self._questions[question.child.slot]
        descriptor = self._supervisor.stacks_of(question.child)
        text = os.pread(descriptor, _LONGEST, 0).decode("utf-8", "replace")
        if question.way is Way.SIGNAL:
            # Its lines are as faulthandler makes them.
            head = "It does not hear; its stacks by a signal handler, without names."
            text = f"{head}\n\n{shortened(text)}"
        for reply in question.replies:
            reply({"ok": True, "stacks": f"{question.child}\n\n{text}"})

    def _refuse(self, question: Question, reason: str) -> None:
        del self._questions[question.child.slot]
        _refuse(question.replies, reason)


def _silence(child: Child) -> str:
    state = process_state(child.pid) if child.pid is not None else None
    return f"{child} does not answer within {ANSWERS_WITHIN_S:g} s: {state or 'it has gone'}"


def _refuse(replies: list[Reply], reason: str) -> None:
    for reply in replies:
        reply({"ok": False, "reasons": [reason]})
