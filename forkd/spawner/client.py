"""The worker's side: gives orders, hears what becomes of the programs."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence

from forkd.handlers.cgi_failures import order_failure
from forkd.handlers.programs import Ended, Program, Standard, Watcher
from forkd.loop.loop import WRITABLE, Loop
from forkd.loop.timers import Timer
from forkd.spawner.orders import (
    KILL,
    TERMINATE,
    NotStarted,
    Started,
    decode_fate,
    encode_order,
    hangs_up,
)
from forkd.spawner.replies import Pair, Replies
from forkd.spawner.young import Young
from forkd.system import messages

log = logging.getLogger("forkd.cgi")

_RETRY_S = 0.05
_KEEP_S = 5.0
"""So long without a program, sockets are kept for the next one."""
_FATE_SIZE = 8192
"""A reason with a path in it is the longest that is told."""


class SpawnerClient:
    """Implements handlers.programs.Launcher over the orders socket of one policy."""

    def __init__(self, loop: Loop, orders: socket.socket, became_idle: Callable[[], None]) -> None:
        self._loop = loop
        self._orders = orders
        self._became_idle = became_idle
        self._waiting: dict[Order, tuple[Program, list[int]]] = {}
        """Orders that the spawners have no room for, in order, with descriptors of their own."""
        self._watching = False
        self._replies = Replies()
        self._young: Young[Order] = Young(loop, lambda order: order.grown())
        """Orders that nobody is woken for yet: most programs are over before it is worth that."""
        self._idle_timer = Timer(self._on_idle)
        self._ending: list[Order] = []
        """Programs whose output has ended, so that their end is near."""
        loop.at_rest(self._look_at_ending)
        self._retry = Timer(lambda _now: self._send_waiting())
        self._orders_open: set[Order] = set()

    @property
    def busy(self) -> bool:
        """Whether a program is under way."""
        return bool(self._orders_open)

    @property
    def running(self) -> int:
        """Programs under way, without those that wait for a spawner."""
        return len(self._orders_open) - len(self._waiting)

    def launch(self, program: Program, descriptors: Standard, watcher: Watcher) -> Order:
        order = Order(self, self._loop, self._replies.take(), watcher)
        self._orders_open.add(order)
        handed = [order.theirs, *[one for one in descriptors if one is not None]]
        try:
            if self._waiting or not self._send(program, handed):
                self._waiting[order] = (program, messages.copies_of(handed))
        except OSError:
            order.close()
            raise
        self._young.add(order)
        return order

    def _on_idle(self, _now: float) -> None:
        if not self._orders_open:
            self._replies.close()

    def _send(self, program: Program, descriptors: Sequence[int]) -> bool:
        """False where the spawners are behind: `_send_waiting` is called when to try again."""
        try:
            messages.send(self._orders, encode_order(program), descriptors)
        except BlockingIOError:
            self._watch(True)
            return False
        except OSError as error:
            # As many descriptors are on their way as this user may have open (unix(7)). The socket
            # has room, so watching it would only spin.
            if error.errno != errno.ETOOMANYREFS:
                raise
            self._watch(False)
            self._loop.timers.set(self._retry, self._loop.now + _RETRY_S)
            return False
        return True

    def _send_waiting(self) -> None:
        while self._waiting:
            order, (program, descriptors) = next(iter(self._waiting.items()))
            try:
                if not self._send(program, descriptors):
                    return
            except OSError as error:
                self.withdraw(order)
                order.not_sent(error, program)
            else:
                self.withdraw(order)
        self._watch(False)

    def withdraw(self, order: Order) -> bool:
        """Let go of what an order holds while it waits; whether it did. One that was not sent has
        ended with it."""
        waiting = self._waiting.pop(order, None)
        for descriptor in waiting[1] if waiting is not None else ():
            os.close(descriptor)
        return waiting is not None

    def _watch(self, wanted: bool) -> None:
        if wanted and not self._watching:
            self._loop.watch(self._orders.fileno(), lambda _mask: self._send_waiting(), WRITABLE)
        elif self._watching and not wanted:
            self._loop.forget(self._orders.fileno())
        self._watching = wanted

    def expect_end(self, order: Order) -> None:
        """It is looked at whenever the loop rests, without being woken for it."""
        self._ending.append(order)

    def _look_at_ending(self) -> None:
        if self._ending:
            ending, self._ending = self._ending, []
            for order in ending:
                _guarded(order.look)
            self._ending += [order for order in ending if order.is_awaited]

    def kill_group(self, group: int) -> None:
        """End what has lost its spawner. Only another spawner of the policy is sure to be the
        user that the program runs as."""
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass
        except PermissionError:
            try:
                messages.send(self._orders, [KILL, b"%d" % group])
            except OSError as error:
                log.error("group %d cannot be ended: %s", group, error.strerror)

    def forget(self, order: Order, pair: Pair | None) -> None:
        """It is closed. pair: sockets that can be used again."""
        if pair is not None:
            self._replies.give_back(pair)
        self.withdraw(order)
        self._young.discard(order)
        self._orders_open.discard(order)
        if not self._orders_open:
            self._loop.timers.set(self._idle_timer, self._loop.now + _KEEP_S)
            self._became_idle()


class Order:
    """One program, from its order until the watcher needs it no more."""

    __slots__ = (
        *("_client", "_is_clean", "_loop", "_ours", "_pid", "_told_end", "_watched", "_watcher"),
        "theirs",
    )

    def __init__(self, client: SpawnerClient, loop: Loop, pair: Pair, watcher: Watcher) -> None:
        self._client = client
        self._loop = loop
        self._ours, self.theirs = pair
        """Ours is -1 once this is closed. Theirs is a copy of what the spawner has, which must be
        closed before its end can be noticed; -1 once it is."""
        self._watcher = watcher
        self._pid = 0
        self._told_end = False
        self._is_clean = False
        """Nobody has anything more to say or to read on these sockets."""
        self._watched = False

    @property
    def is_awaited(self) -> bool:
        """Whether its end is still to be told, and nobody is woken for that."""
        return self._ours >= 0 and not self._told_end and not self._watched

    @property
    def is_open(self) -> bool:
        """Whether the watcher still wants to hear of it."""
        return self._ours >= 0

    def terminate(self) -> None:
        if self._client.withdraw(self):
            self._told_end = True
            self._watcher.not_started(503, "given up before it was ordered")
            return
        self._listen()
        if self._ours < 0:
            return
        try:
            messages.tell(self._ours, [TERMINATE])
        except OSError:
            self.look()  # it has just ended, or its spawner has

    def await_end(self) -> None:
        if self._ours >= 0:
            self._listen()

    def not_sent(self, error: OSError, program: Program) -> None:
        """It had to wait, and then could not be given."""
        self._told_end = True
        self._watcher.not_started(*order_failure(error, os.fsdecode(program.argv[-1])))

    def grown(self) -> None:
        """It is worth to be woken for."""
        self.await_end()
        if self.is_open:
            self._watcher.lasts()

    def expect_end(self) -> None:
        if self.is_awaited:
            self._client.expect_end(self)

    def close(self) -> None:
        """The watcher wants to hear no more. A program that still runs is terminated."""
        if self._ours < 0:
            return
        pair = self._ours, self.theirs
        reusable = self._is_clean and not self._watched and self.theirs >= 0
        self._hear_no_more()
        if not reusable:
            self._let_go_of_theirs()
            os.close(self._ours)
        self._ours = self.theirs = -1
        self._client.forget(self, pair if reusable else None)

    def _let_go_of_theirs(self) -> None:
        if self.theirs >= 0:
            os.close(self.theirs)
            self.theirs = -1

    def _hear_no_more(self) -> None:
        # Not watched at all: an end is reported even to those who ask for nothing (epoll_ctl(2)).
        if self._watched:
            self._watched = False
            self._loop.forget(self._ours)

    def look(self) -> None:
        """Hear what has been said so far."""
        while self._ours >= 0 and not self._told_end and self._hear():
            pass

    def _listen(self) -> None:
        """Hear what has been said so far, and from here on what is said, as it comes."""
        self._let_go_of_theirs()
        self.look()
        if self.is_awaited:
            try:
                self._loop.watch(self._ours, self._on_reply)
            except OSError as error:
                log.error("a program's end cannot be waited for: %s", error.strerror)
                self._client.expect_end(self)
            else:
                self._watched = True

    def _on_reply(self, _mask: int) -> None:
        self._hear()

    def _hear(self) -> bool:
        """One message; False where there is none yet."""
        try:
            fields = messages.hear(self._ours, _FATE_SIZE)
        except BlockingIOError:
            return False
        except ConnectionError:
            # The spawner has hung up with a word of ours unread. It is said once, and before what
            # the spawner had told (unix(7)).
            return self._hear()
        if fields is None:
            self._hear_no_more()
            self._kill_orphan()
            if not self._told_end:
                self._told_end = True
                self._watcher.ended(None)
            return True
        self._is_clean = hangs_up(fields)
        fate = decode_fate(fields)
        match fate:
            case Started(pid):
                self._pid = pid
                self._watcher.started(pid)
            case NotStarted(status, reason):
                self._told_end = True
                self._watcher.not_started(status, reason)
            case Ended():
                self._told_end = True
                self._watcher.ended(fate)
        return True

    def _kill_orphan(self) -> None:
        """The program's spawner is gone, who would have ended its group."""
        # Once the program has been reaped its number may be that of another group.
        if self._pid and not self._told_end:
            self._client.kill_group(self._pid)


def _guarded(call: Callable[[], None]) -> None:
    """A fault about one program is nobody else's."""
    try:
        call()
    except Exception:
        log.exception("fault about a program")
