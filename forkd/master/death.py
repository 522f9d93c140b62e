"""A child that is gone, and what people are told of it."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from forkd.child import Kind
from forkd.master.lifecycle import Child, State
from forkd.scoreboard import UnderWay


@dataclass(frozen=True, slots=True)
class Death:
    """A child that is gone, with what is known of the reason."""

    child: Child
    status: int
    reasons: tuple[str, ...]
    """What the child itself said before it left."""
    killed_for: str
    """Why we killed it, where we did."""
    doing: UnderWay | None
    """The request that it had been answering for longest."""

    @property
    def was_asked(self) -> bool:
        """It was to leave, and left in order."""
        return self.child.state is State.DRAINING and self.status == 0

    @property
    def reason(self) -> str:
        """What a person would say of it, without its name."""
        if self.killed_for:
            return f"was killed: {self.killed_for}"
        if self.reasons:
            return "; ".join(self.reasons)
        if self.child.pid is None:
            return "was not forked by its template"
        code = os.waitstatus_to_exitcode(self.status)
        if code < 0:
            return f"died by signal {-code} ({_signal_name(-code)})"
        return f"left with exit status {code}"

    @property
    def cause(self) -> str:
        """The reason in a word or two, of which there are only so many."""
        if self.killed_for:
            match self.child.state:
                case State.STARTING:
                    return "boot_timeout"
                case State.DRAINING:
                    return "shutdown_timeout"
                case _:
                    return "hang_timeout"
        if self.reasons or self.child.pid is None:
            return "failed to start"
        code = os.waitstatus_to_exitcode(self.status)
        return _signal_name(-code) if code < 0 else f"exit {code}"

    def loss(self, now: float) -> str:
        """What went with it, for the end of a line; now: monotonic seconds."""
        if self.child.pool.kind is not Kind.WORKER:
            return ""
        if (one := self.doing) is None:
            return "; it was answering nothing"
        return (
            f"; what it was answering is lost: {one.method} {one.target} of {one.client} "
            f"for {now - one.since:.1f} s, id={one.id}, route {one.route}"
        )

    def __str__(self) -> str:
        # What a child says of itself names what it is about.
        told = self.reasons and not self.killed_for
        return self.reason if told else f"{self.child} {self.reason}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # one of the real-time signals, most of which have no name
