"""The spawner: a small process that starts programs on the workers' orders and reaps them.

It is small so that starting is cheap, and apart so that workers, which have threads and memory,
never fork. Between fork and exec nothing runs but the kernel (posix_spawn(3)). It never waits for
anything but events: one spawner serves many programs at a time.
"""

from __future__ import annotations

import errno
import logging
import os

# os.wait4 imports it when first called: too late for a user who may not read Python's directory.
import resource  # noqa: F401
import signal
import socket
from collections.abc import Callable
from enum import Enum, auto

from forkd.channel import Channel, Word
from forkd.child import Assignment, adopt_log_files, enter, reason_of, refuse_to_start
from forkd.handlers.programs import Ended, Program
from forkd.loop.loop import EXCLUSIVE, READABLE, Loop
from forkd.loop.signals import Signals
from forkd.loop.timers import NEVER, Timer
from forkd.spawner.orders import (
    DESCRIPTORS,
    TERMINATE,
    NotStarted,
    Started,
    decode_order,
    encode_fate,
)
from forkd.system import messages

log = logging.getLogger("forkd.spawner")

TERM_GRACE_S = 5.0
_LOOK_S = 0.1
"""Nobody tells when the last of a group has gone whose first process was reaped before."""
_TICK_S = 1.0
# What the spawner or the interpreter ignores or handles must be as a program expects it.
_DEFAULT_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}, key=int)


class Group(Enum):
    """A program's process group: LIVE -> TERMINATED -> GONE; TERMINATED may be skipped."""

    LIVE = auto()
    TERMINATED = auto()
    """TERM has been sent, KILL will be."""
    GONE = auto()
    """It has been seen empty, or killed. Its number may be given to another group, so that no
    signal is ever sent to it again."""


class Task:
    """One program. It stays in the table until its worker has closed the reply socket, so that its
    group can be ended even when the first process of it is gone."""

    __slots__ = ("group", "kill_at", "pid", "reaped", "reply", "timer")

    def __init__(self, reply: socket.socket, pid: int, look: Callable[[Task], None]) -> None:
        self.reply = reply
        self.pid = pid
        self.reaped = False
        self.group = Group.LIVE
        self.kill_at = NEVER
        self.timer = Timer(lambda _now: look(self))


class Spawner:
    """The state of one spawner process."""

    def __init__(self, assignment: Assignment, orders: socket.socket) -> None:
        self._assignment = assignment
        self._orders = orders
        self._tasks: dict[int, Task] = {}
        self._accepting = True
        self._started = 0
        self.loop = Loop()
        signals = Signals(self.loop, self._on_signal)
        signals.listen((signal.SIGCHLD, signal.SIGQUIT))
        # A TERM for everybody (pkill forkd, or a service manager's) must not end the programs whose
        # clients the workers are still serving: the spawner leaves when the last worker has left.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.loop.watch(orders.fileno(), self._on_order, READABLE | EXCLUSIVE)
        self.loop.watch(assignment.channel.fd, self._on_channel)
        self._ticker = Timer(self._tick)
        self._tick(self.loop.now)

    def _on_signal(self, number: signal.Signals) -> None:
        if number == signal.SIGCHLD:
            self._reap()
        else:
            # The master is gone or has lost patience: nothing may be left behind.
            for task in list(self._tasks.values()):
                self._kill_group(task)
            self.loop.stop()

    def _on_channel(self, _mask: int) -> None:
        try:
            said = self._assignment.channel.hear()
        except BlockingIOError:
            return
        if said is None:
            self._on_signal(signal.SIGQUIT)
        elif said.word is Word.REOPEN:
            adopt_log_files(self._assignment, said)

    def _on_order(self, _mask: int) -> None:
        try:
            message = messages.receive(self._orders)
        except BlockingIOError:
            return  # another spawner was faster
        if message is None:
            # Every worker of this generation is gone, and the master gives no more to it.
            self.loop.forget(self._orders.fileno())
            self._accepting = False
            self._leave_when_done()
            return
        if not message.descriptors:
            log.error("an order came without descriptors: dropped")
            return
        reply_fd, *standard = message.descriptors
        reply = socket.socket(fileno=reply_fd)
        try:
            if len(standard) != DESCRIPTORS - 1:
                # The kernel drops those for which there is no room (recvmsg(2), MSG_CTRUNC).
                _refuse(reply, errno.EMFILE)
            elif _is_awaited(reply):
                self._start(decode_order(message.fields), reply, standard)
            else:
                reply.close()
        finally:
            for descriptor in standard:
                os.close(descriptor)

    def _start(self, program: Program, reply: socket.socket, standard: list[int]) -> None:
        try:
            os.chdir(program.directory)
            pid = os.posix_spawn(
                program.argv[0],
                program.argv,
                program.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, descriptor, number)
                    for number, descriptor in enumerate(standard)
                ],
                setpgroup=0,
                setsigmask=(),
                setsigdef=_DEFAULT_SIGNALS,
            )
        except OSError as error:
            _refuse(reply, error.errno or 0)
            return
        self._started += 1
        if (earlier := self._tasks.get(pid)) is not None:
            self._group_gone(earlier)  # or its number would not have been given anew
        task = self._tasks[pid] = Task(reply, pid, self._look_at_group)
        _tell(reply, Started(pid))
        self.loop.watch(reply.fileno(), lambda _mask: self._on_reply(task))

    def _on_reply(self, task: Task) -> None:
        """The worker wants the program ended, or wants to know no more of it."""
        try:
            message = messages.receive(task.reply)
        except BlockingIOError:
            return
        except ConnectionError:
            message = None
        if message is not None and message.fields == [TERMINATE]:
            self._terminate(task)
        elif message is None:
            self.loop.forget(task.reply.fileno())
            task.reply.close()
            if task.reaped and task.group is Group.LIVE:
                self._drop(task)  # what it left behind in order may stay
            else:
                self._terminate(task)

    def _terminate(self, task: Task) -> None:
        """TERM for the whole group, then KILL for whatever of it is left."""
        if task.group is Group.LIVE:
            if _kill(task.pid, signal.SIGTERM):
                task.group = Group.TERMINATED
                task.kill_at = self.loop.now + TERM_GRACE_S
                self.loop.timers.set(task.timer, self.loop.now + _LOOK_S)
            else:
                task.group = Group.GONE
        self._drop_when_over(task)

    def _look_at_group(self, task: Task) -> None:
        """A terminated group: is it gone, or is it time to kill it?"""
        if self.loop.now >= task.kill_at:
            self._kill_group(task)
        elif task.reaped and not _kill(task.pid, 0):
            self._group_gone(task)
        else:
            self.loop.timers.set(task.timer, min(task.kill_at, self.loop.now + _LOOK_S))

    def _kill_group(self, task: Task) -> None:
        if task.group is not Group.GONE:
            _kill(task.pid, signal.SIGKILL)
        self._group_gone(task)

    def _group_gone(self, task: Task) -> None:
        task.group = Group.GONE
        self.loop.timers.remove(task.timer)
        self._drop_when_over(task)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            task = self._tasks.get(pid)
            if task is None or task.reaped:
                continue  # adopted from a program that left it behind
            task.reaped = True
            cpu_s = usage.ru_utime + usage.ru_stime
            _tell(task.reply, Ended(status, cpu_s, usage.ru_maxrss * 1024))
            if not _kill(pid, 0):
                self._group_gone(task)
            else:
                self._drop_when_over(task)

    def _drop_when_over(self, task: Task) -> None:
        """The entry goes when nothing is left to end, and nobody left who could ask for it."""
        if task.reaped and task.group is Group.GONE and task.reply.fileno() < 0:
            self._drop(task)

    def _drop(self, task: Task) -> None:
        # Its number may belong to a later program by now.
        if self._tasks.get(task.pid) is task:
            del self._tasks[task.pid]
        self._leave_when_done()

    def _leave_when_done(self) -> None:
        if not self._accepting and not self._tasks:
            self.loop.stop()

    def _tick(self, now: float) -> None:
        self._assignment.slot.write(now, self._started, 0, 0, 0, len(self._tasks), 0, 0.0)
        self.loop.timers.set(self._ticker, now + _TICK_S)


def _is_awaited(reply: socket.socket) -> bool:
    """False where the worker gave the request up while its order waited here."""
    try:
        return reply.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def _tell(reply: socket.socket, fate: Started | NotStarted | Ended) -> None:
    try:
        messages.send(reply, encode_fate(fate))
    except OSError:
        pass  # the worker does not want to know


def _refuse(reply: socket.socket, number: int) -> None:
    _tell(reply, NotStarted(number))
    reply.close()


def _kill(group: int, number: int) -> bool:
    """False where the group has no member left."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # a set-user-ID program: only the kernel or root can end it
    return True


def run_spawner(assignment: Assignment) -> None:
    """The spawner's whole life. Returns when it may leave."""
    channel: Channel = assignment.channel
    try:
        ((policy, orders),) = assignment.orders.items()
        enter(
            assignment,
            "forkd: cgi spawner",
            keep_privileges=not policy.no_new_privileges,
            on_orphaned=signal.SIGQUIT,
        )
        spawner = Spawner(assignment, orders)
    except Exception as error:
        refuse_to_start(channel, [reason_of(error)])
    channel.say(Word.READY)
    spawner.loop.run()
