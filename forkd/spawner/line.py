"""Orders that a spawner has taken: those for which there is no room yet, in their order."""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from forkd.handlers.programs import Program
from forkd.spawner.orders import NotStarted, encode_fate
from forkd.system import messages

GIVEN_UP = NotStarted(503, "given up before it was started")


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """An order, with the descriptors that came with it, which are ours."""

    program: Program
    reply: int
    standard: tuple[int, ...]
    """See start_program."""

    @property
    def is_awaited(self) -> bool:
        """False where the worker gave the request up while its order waited here: it has closed its
        end, or has asked for the end of the program."""
        # Not by reading: to be told by an exception that there is nothing costs as much again.
        poll = select.poll()
        poll.register(self.reply, select.POLLIN)
        return not poll.poll(0)

    def refuse(self, refusal: NotStarted) -> None:
        tell(self.reply, encode_fate(refusal))
        self.close_standard()
        os.close(self.reply)

    def close_standard(self) -> None:
        for descriptor in self.standard:
            os.close(descriptor)


def tell(reply: int, fields: Iterable[bytes]) -> None:
    try:
        messages.tell(reply, fields)
    except OSError:
        pass  # the worker does not want to know


class Line:
    """At most so many orders wait."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._orders: deque[Taken] = deque()

    def __bool__(self) -> bool:
        return bool(self._orders)

    def add(self, order: Taken, running: int) -> None:
        """Have it wait, or refuse it. running: the programs for whose end the others wait."""
        if self._is_full:
            self._forget_unawaited()
        if self._is_full:
            reason = (
                f"{running} programs of the route run (max_concurrent) "
                f"and {self._most} requests wait (max_queued)"
            )
            order.refuse(NotStarted(503, reason))
        else:
            self._orders.append(order)

    def next(self) -> Taken | None:
        """The first one that somebody still waits for; None where there is none."""
        while self._orders:
            order = self._orders.popleft()
            if order.is_awaited:
                return order
            order.refuse(GIVEN_UP)
        return None

    @property
    def _is_full(self) -> bool:
        return len(self._orders) >= self._most

    def _forget_unawaited(self) -> None:
        """Those who wait in vain must not keep others out."""
        waiting, self._orders = self._orders, deque()
        for order in waiting:
            if order.is_awaited:
                self._orders.append(order)
            else:
                order.refuse(GIVEN_UP)
