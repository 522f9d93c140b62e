"""The worker's side: gives orders, hears what becomes of the programs."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Callable

from forkd.handlers.programs import Ended, Program, Watcher
from forkd.loop.loop import WRITABLE, Loop
from forkd.loop.timers import Timer
from forkd.spawner.orders import (
    TERMINATE,
    NotStarted,
    Started,
    decode_fate,
    encode_order,
    os_error,
)
from forkd.system import messages

log = logging.getLogger("forkd.cgi")

_RETRY_S = 0.05


class SpawnerClient:
    """Implements handlers.programs.Launcher over the orders socket of one policy."""

    def __init__(self, loop: Loop, orders: socket.socket, became_idle: Callable[[], None]) -> None:
        self._loop = loop
        self._orders = orders
        self._became_idle = became_idle
        self._waiting: deque[tuple[Program, tuple[int, ...], Order]] = deque()
        self._watching = False
        self._retry = Timer(lambda _now: self._send_waiting())
        self._orders_open: set[Order] = set()

    @property
    def busy(self) -> bool:
        """Whether a program is under way."""
        return bool(self._orders_open)

    def launch(
        self, program: Program, descriptors: tuple[int, int, int], watcher: Watcher
    ) -> Order:
        ours, theirs = messages.message_pair()
        order = Order(self._loop, ours, watcher, self._forget)
        self._orders_open.add(order)
        with theirs:
            handed = (theirs.fileno(), *descriptors)
            try:
                if self._waiting or not self._send(program, handed):
                    copies = tuple(os.dup(number) for number in handed)
                    self._waiting.append((program, copies, order))
            except OSError:
                order.close()
                raise
        return order

    def _send(self, program: Program, descriptors: tuple[int, ...]) -> bool:
        """False where the spawners are behind: `_send_waiting` is called when it may be tried again."""
        try:
            messages.send(self._orders, encode_order(program), descriptors)
        except BlockingIOError:
            self._watch(True)
            return False
        except OSError as error:
            # As many descriptors are on their way as this user may have open (unix(7)).
            if error.errno != errno.ETOOMANYREFS:
                raise
            self._loop.timers.set(self._retry, self._loop.now + _RETRY_S)
            return False
        return True

    def _send_waiting(self) -> None:
        while self._waiting:
            program, descriptors, order = self._waiting[0]
            try:
                if not order.abandoned and not self._send(program, descriptors):
                    return
            except OSError as error:
                log.error("a program cannot be ordered: %s", error.strerror)
            self._waiting.popleft()
            for descriptor in descriptors:
                os.close(descriptor)
        self._watch(False)

    def _watch(self, wanted: bool) -> None:
        if wanted and not self._watching:
            self._loop.watch(self._orders.fileno(), lambda _mask: self._send_waiting(), WRITABLE)
        elif self._watching and not wanted:
            self._loop.forget(self._orders.fileno())
        self._watching = wanted

    def _forget(self, order: Order) -> None:
        self._orders_open.discard(order)
        if not self._orders_open:
            self._became_idle()


class Order:
    """One program, from its order until the watcher needs it no more."""

    def __init__(
        self,
        loop: Loop,
        reply: socket.socket,
        watcher: Watcher,
        closed: Callable[[Order], None],
    ) -> None:
        self._loop = loop
        self._reply = reply
        self._watcher = watcher
        self._closed = closed
        self._pid = 0
        self._told_end = False
        self.abandoned = False
        loop.watch(reply.fileno(), self._on_reply)

    def terminate(self) -> None:
        try:
            messages.send(self._reply, [TERMINATE])
        except OSError:
            self._kill_orphan()

    def close(self) -> None:
        """The watcher wants to hear no more. A program that still runs is terminated."""
        if not self.abandoned:
            self.abandoned = True
            self._loop.forget(self._reply.fileno())
            self._reply.close()
            self._closed(self)

    def _on_reply(self, _mask: int) -> None:
        try:
            message = messages.receive(self._reply)
        except BlockingIOError:
            return
        except ConnectionError:
            message = None
        if message is None:
            self._loop.forget(self._reply.fileno())
            self._loop.watch(self._reply.fileno(), _ignore, 0)
            self._spawner_gone()
            return
        fate = decode_fate(message.fields)
        match fate:
            case Started(pid):
                self._pid = pid
                self._watcher.started(pid)
            case NotStarted(number):
                self._told_end = True
                self._watcher.not_started(os_error(number))
            case Ended():
                self._told_end = True
                self._watcher.ended(fate)

    def _spawner_gone(self) -> None:
        if not self._told_end:
            self._told_end = True
            self._kill_orphan()
            self._watcher.ended(None)

    def _kill_orphan(self) -> None:
        """Nobody is left to end the program's group but us, who are the same user."""
        if self._pid:
            try:
                os.killpg(self._pid, signal.SIGKILL)
            except OSError:
                pass


def _ignore(_mask: int) -> None:
    pass
