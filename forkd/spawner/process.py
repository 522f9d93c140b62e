"""The spawner: a small process that starts programs on the workers' orders and reaps them.

It is small so that starting is cheap, and apart so that workers, which have threads and memory,
never fork. Between fork and exec nothing runs but the kernel (posix_spawn(3)). It never waits for
anything but events: one spawner serves many programs at a time.
"""

from __future__ import annotations

import logging
import os

# os.wait4 imports it when first called: too late for a user who may not read Python's directory.
import resource  # noqa: F401
import signal
import socket
from collections.abc import Callable
from functools import partial

from forkd.channel import Channel, Word
from forkd.child import Assignment, adopt_log_files, enter, reason_of, refuse_to_start
from forkd.config.policy import SpawnPolicy, has_own_user
from forkd.errors import OperationError
from forkd.handlers.programs import Ended
from forkd.loop.loop import EXCLUSIVE, READABLE, Loop
from forkd.loop.signals import Signals
from forkd.loop.timers import Timer
from forkd.spawner.census import Census
from forkd.spawner.cgroup import Made, cgroups_for
from forkd.spawner.cgroups import Cgroups, Mover
from forkd.spawner.imposing import limit_processes, make_sandbox
from forkd.spawner.line import GIVEN_UP, Line, Taken, tell
from forkd.spawner.orders import (
    DESCRIPTORS,
    KILL,
    TERMINATE,
    NotStarted,
    Started,
    decode_order,
    encode_end,
    encode_fate,
)
from forkd.spawner.starting import Start, start_program, unreadable, why_not
from forkd.spawner.task import Group, Task, kill_group, strangers
from forkd.spawner.young import Young
from forkd.system import messages
from forkd.system.process import adopt_orphans

log = logging.getLogger("forkd.spawner")

_TICK_S = 1.0
_NO_ROOM = NotStarted(503, "the spawner has as many descriptors open as it may")


class Spawner:
    """The state of one spawner process."""

    def __init__(
        self,
        assignment: Assignment,
        policy: SpawnPolicy,
        orders: socket.socket,
        through: Callable[[Start], int] | None,
        cgroups: Made | None,
    ) -> None:
        """through: see start_program. cgroups: those of the programs."""
        self._assignment = assignment
        self._policy = policy
        self._orders = orders
        self._through = through
        self._buffer = messages.new_buffer()
        self._tasks: dict[int, Task] = {}
        self._replaced: set[Task] = set()
        """Those whose number belongs to a later program."""
        self._census = Census()
        self._running = 0
        """Programs that have not been reaped."""
        self._line = Line(policy.max_queued)
        self._accepting = True
        self._is_watching = False
        self._started = 0
        self.loop = Loop()
        self._young: Young[Task] = Young(self.loop, self._listen)
        """Most programs are over before somebody could want them ended: of the others a worker is
        heard from then on, and what it has said by then."""
        signals = Signals(self.loop, self._on_signal)
        signals.listen((signal.SIGCHLD, signal.SIGQUIT))
        # A TERM for everybody (pkill forkd, or a service manager's) must not end the programs whose
        # clients the workers are still serving: the spawner leaves when the last worker has left.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGXCPU, signal.SIG_IGN)  # see limits.inherited
        self._cgroups = None if cgroups is None else self._enter(cgroups)
        self._watch_orders()
        self.loop.watch(assignment.channel.fd, self._on_channel)
        self._ticker = Timer(self._tick)
        self._tick(self.loop.now)

    def close(self) -> None:
        """When the loop has ended."""
        if self._cgroups is not None:
            self._cgroups.close()

    def _on_signal(self, number: signal.Signals) -> None:
        if number == signal.SIGCHLD:
            self._reap()
        else:
            # The master is gone or has lost patience: nothing may be left behind.
            for task in (*self._tasks.values(), *self._replaced):
                task.kill()
            self.loop.stop()

    def _enter(self, made: Made) -> Cgroups | None:
        """Raises OperationError where this process may not, and its programs must have cgroups."""
        most = self._policy.processes if made.counts else None
        cgroups = Cgroups(self.loop, made, most, Mover(self.loop).do, self._on_cgroup)
        try:
            cgroups.enter()
        except OperationError as error:
            if made.counts:
                raise
            log.warning("%s: programs are ended without", error)
            return None
        return cgroups

    def _on_cgroup(self) -> None:
        """There is one for the next program."""
        self._start_waiting()
        self._watch_orders()

    def _watch_orders(self) -> None:
        # While there is no cgroup for a program, orders are left to the other spawners.
        fd = self._orders.fileno()
        wanted = self._accepting and self._has_cgroup
        if wanted is not self._is_watching:
            self._is_watching = wanted
            if wanted:
                self.loop.watch(fd, self._on_order, READABLE | EXCLUSIVE)
            else:
                self.loop.forget(fd)

    @property
    def _has_cgroup(self) -> bool:
        return self._cgroups is None or self._cgroups.next is not None

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
            message = messages.receive(self._orders, self._buffer)
        except BlockingIOError:
            return  # another spawner was faster
        if message is None:
            # Every worker of this generation is gone, and the master gives no more to it.
            self._accepting = False
            self._watch_orders()
            self._leave_when_done()
            return
        if not message.descriptors:
            self._on_word(message.fields)
            return
        reply, *standard = message.descriptors
        order = Taken(decode_order(message.fields), reply, (*standard,))
        if message.is_cut or len(standard) not in (DESCRIPTORS - 1, DESCRIPTORS - 2):
            order.refuse(_NO_ROOM)
        elif not order.is_awaited:
            order.refuse(GIVEN_UP)
        elif self._is_full:
            self._line.add(order, self._running)
        else:
            self._start(order)

    def _on_word(self, fields: list[bytes]) -> None:
        match fields:
            case [word, group] if word == KILL:
                kill_group(int(group), signal.SIGKILL)
            case _:
                log.error("an order came without descriptors: dropped")

    @property
    def _is_full(self) -> bool:
        most = self._policy.max_concurrent
        return most is not None and self._running >= most

    def _start_waiting(self) -> None:
        while not self._is_full and self._has_cgroup and (order := self._line.next()) is not None:
            self._start(order)
        self._leave_when_done()

    def _start(self, order: Taken) -> None:
        program, reply = order.program, order.reply
        if (refusal := unreadable(program)) is not None:
            order.refuse(refusal)
            return
        try:
            pid = start_program(program, order.standard, self._through, self._strangers)
        except OSError as error:
            order.refuse(why_not(program, error, sandboxed=self._policy.sandbox is not None))
            return
        order.close_standard()
        self._started += 1
        self._running += 1
        if (earlier := self._tasks.get(pid)) is not None:
            earlier.number_was_given_anew()
            if not earlier.over:
                self._replaced.add(earlier)
        mark = b"REQUEST_ID=" + program.environ.get(b"REQUEST_ID", b"")
        cgroup = None if self._cgroups is None else self._cgroups.take()
        task = Task(self.loop, reply, pid, mark, self._strangers, self._drop_when_over, cgroup)
        self._tasks[pid] = task
        tell(reply, encode_fate(Started(pid)))
        self._young.add(task)
        self._watch_orders()

    def _listen(self, task: Task) -> None:
        if task.reply >= 0 and not self.loop.watches(task.reply):
            self.loop.watch(task.reply, partial(self._on_reply, task))

    def _strangers(self) -> list[int]:
        return strangers(self._tasks)

    def _on_reply(self, task: Task, _mask: int) -> None:
        """The worker wants the program ended, or wants to know no more of it."""
        try:
            fields = messages.hear(task.reply, len(TERMINATE))
        except BlockingIOError:
            return
        except ConnectionError:
            self._on_reply(task, 0)  # said once, and before what the worker had said
            return
        if fields == [TERMINATE]:
            task.terminate()
        elif fields is None:
            self._hang_up(task)
            if task.reaped and task.group is Group.LIVE:
                self._drop_when_over(task)  # what it left behind in order may stay
            else:
                task.terminate()

    def _hang_up(self, task: Task) -> None:
        if self.loop.watches(task.reply):
            self.loop.forget(task.reply)
        os.close(task.reply)
        task.reply = -1

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            task = self._tasks.get(pid)
            if task is not None and not task.reaped:  # or adopted from a program that left it
                self._running -= 1
                cpu_s = usage.ru_utime + usage.ru_stime
                self._on_end(task, Ended(status, cpu_s, usage.ru_maxrss * 1024))

    def _on_end(self, task: Task, end: Ended) -> None:
        """Its own process is over; others that it has started may live."""
        # What it leaves behind is adopted, so it would be a child of this process that is none of
        # the programs. But what a thread has started is that thread's child for a moment.
        was_alone = self._through is None and self._census.counts(self._running)
        task.was_reaped(was_alone=was_alone)
        if task.reply >= 0:
            listens = self.loop.watches(task.reply)
            hangs_up = was_alone and not listens and task.cgroup is None
            tell(task.reply, encode_end(end, is_alone=hangs_up))
            if hangs_up:
                self._hang_up(task)
                self._drop_when_over(task)
            elif not listens:
                self._listen(task)
        if self._line:
            self._start_waiting()

    def _drop_when_over(self, task: Task) -> None:
        if not task.over:
            return
        if self._tasks.get(task.pid) is task:
            del self._tasks[task.pid]
        elif task in self._replaced:
            self._replaced.remove(task)
        else:
            return
        self._young.discard(task)
        if self._cgroups is not None and task.cgroup is not None:
            self._cgroups.release(task.cgroup, killed=task.group is Group.GONE)
        self._leave_when_done()

    def _leave_when_done(self) -> None:
        if not self._accepting and not (self._tasks or self._replaced or self._line):
            self.loop.stop()

    def _tick(self, now: float) -> None:
        self._assignment.slot.write(now, self._started, 0, 0, 0, len(self._tasks), 0, 0.0)
        self.loop.timers.set(self._ticker, now + _TICK_S)


def run_spawner(assignment: Assignment) -> None:
    """The spawner's whole life. Returns when it may leave."""
    channel: Channel = assignment.channel
    try:
        ((policy, orders),) = assignment.orders.items()
        identity = assignment.identity
        by_user = has_own_user(policy, assignment.settings, identity.uid if identity else None)
        made = cgroups_for(policy, counts=policy.processes is not None and not by_user)
        enter(
            assignment,
            "forkd: cgi spawner",
            keep_privileges=not policy.no_new_privileges,
            on_orphaned=signal.SIGQUIT,
            keep=made.descriptors if made is not None else (),
        )
        if policy.processes is not None and by_user:
            limit_processes(policy.processes)
        adopt_orphans()
        sandbox = None if policy.sandbox is None else make_sandbox(policy.sandbox)
        through = None if sandbox is None else sandbox.start
        spawner = Spawner(assignment, policy, orders, through, made)
    except Exception as error:
        refuse_to_start(channel, [reason_of(error)])
    channel.say(Word.READY)
    spawner.loop.run()
    spawner.close()
