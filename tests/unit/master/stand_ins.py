"""Stand-ins for what the master's parts do to the world outside: fork, signal, read, start, tell.

Each says what it does in a journal, a list of lines, which all of them share.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from forkd.channel import Channel, Word
from forkd.child import Assignment
from forkd.config.settings import Settings
from forkd.errors import ForkdError
from forkd.master.control import Reply
from forkd.master.generation import Generation
from forkd.master.lifecycle import Child, Start, Wanted
from forkd.master.listeners import Listeners
from forkd.master.logs import MasterLogs
from forkd.master.reading import AwaitedReading
from forkd.master.reloader import Reloader, Started
from forkd.master.supervisor import Supervisor
from forkd.master.upgrade import Successor, Upgrades
from forkd.system.systemd import Notifier
from tests.unit.stepped import SteppedLoop

NO_PID = 1 << 23
"""Beyond what pid_max may be (proc_sys_kernel(5)): a signal to it or more would reach nobody. The
children have this and one, two and so on."""
NEW_MASTER = NO_PID + 9999
"""The pid of the program that is to replace this one."""
ENDS = "loop: ends"
"""What the journal says when the master leaves its loop."""

Journal = list[str]


class NotedLoop(SteppedLoop):
    """Says when it is told to end, and is turned on all the same."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def stop(self) -> None:
        if not self._stopping:  # to be told again means nothing
            self._journal.append(ENDS)
        super().stop()


class Manager(Notifier):
    """The service manager: notes the first line of whatever it hears."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(None)
        self._journal = journal
        self.shown = ""
        """What `systemctl status` shows."""

    def _send(self, *lines: str, descriptor: int = -1, flags: int = 0) -> bool:  # noqa: ARG002
        self._journal.append(f"systemd: {lines[0]}")
        for line in lines:
            if line.startswith("STATUS="):
                self.shown = line.removeprefix("STATUS=")
        return True


class Nursery(Supervisor):
    """The supervisor, but for fork(2), kill(2) and waitpid(2)."""

    def __init__(self, journal: Journal, loop: SteppedLoop, **others: Any) -> None:
        super().__init__(loop, {}, **others)
        self._journal = journal
        self._stepped = loop
        self._ends: dict[int, Channel] = {}
        """By slot the child's end of its channel."""
        self._last_pid = NO_PID
        self.refusal: int | None = None
        """The errno with which the kernel refuses to fork."""

    def carry_out(self, wanted: Wanted) -> None:
        try:
            super().carry_out(wanted)
        finally:
            self._note_what_was_told()

    def _fork(self, order: Start, assignment: Assignment) -> int | None:
        if self.refusal is not None:
            raise OSError(self.refusal, os.strerror(self.refusal))
        # A copy, as a fork makes one: the master closes its own.
        end = Channel(socket.socket(fileno=os.dup(assignment.channel.fd)))
        self._ends[assignment.slot.number] = end
        assignment.slot.write(self._stepped.now, 0, 0, 0, 0, 0, 0, 0.0)
        by = f" by {_name(order.parent)}" if order.parent is not None else ""
        self._journal.append(f"{assignment.name}: forked{by}")
        self._last_pid += 1
        return self._last_pid

    def _signal(self, pid: int | None, signum: signal.Signals) -> None:  # type: ignore[override]
        # The base needs no self for it. What was told before stands before it in the journal.
        self._note_what_was_told()
        (child,) = (child for child in self.children.values() if child.pid == pid)
        self._journal.append(f"{_name(child)}: {signum.name}")

    def _note_what_was_told(self) -> None:
        for slot, end in self._ends.items():
            while (word := _heard(end)) is not None:
                self._journal.append(f"{_name(self.children[slot])}: {word.value.decode()}")

    def say(self, slot: int, word: Word, *fields: str) -> None:
        """Have a child say something, and whatever follows from it happen."""
        assert self._ends[slot].say(word, fields)
        self._stepped.settle()

    def bury(self, *slots: int, status: int = 0) -> None:
        """Children have ended, and are reaped together."""
        for slot in slots:
            self._bury(slot, status)
            self._ends.pop(slot).close()

    def end(self, *slots: int, status: int = 0) -> None:
        """The same, and whatever follows from it happens."""
        self.bury(*slots, status=status)
        self._stepped.settle()

    def close(self) -> None:
        self.bury(*list(self._ends))


class Reader(AwaitedReading):
    """A reading that comes to an end when a test says so."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def give_up(self) -> None:
        self._journal.append("reader: given up")


class Readings(Reloader):
    """The reloader, but for the process that reads."""

    def __init__(self, journal: Journal, *others: Any, **more: Any) -> None:
        super().__init__(*others, **more)
        self._journal = journal

    def begin(self, live: Generation, replies: list[Reply]) -> None:
        self._journal.append("reader: begins")
        self._started = Started(live, Reader(self._journal), replies)

    def found(self, found: Settings | ForkdError) -> None:
        """The reader is done."""
        self._on_read(found)


class Heir(Successor):
    """The program that is to replace this one."""

    def __init__(self, journal: Journal, ended: Callable[[list[str]], None]) -> None:
        self.pid = NEW_MASTER
        self._journal = journal
        self.ended = ended

    def give_up(self, reason: str) -> None:
        self._journal.append("new master: killed")
        self.ended([reason])


class Heirs(Upgrades):
    """Upgrades, but for the program that is started."""

    def __init__(self, journal: Journal, *others: Any, **named: Any) -> None:
        super().__init__(*others, **named)
        self._journal = journal

    def begin(self, generation: int, boot_timeout_s: float, replies: list[Reply]) -> None:
        del generation, boot_timeout_s
        self._journal.append("new master: begins")
        self._replies = replies
        self._successor = Heir(self._journal, self._on_ended)

    def ended(self, *reasons: str) -> None:
        """The new master serves, or does not for these reasons."""
        assert isinstance(self._successor, Heir)
        self._successor.ended(list(reasons))


class Queue(Listeners):
    """Listeners in whose queues so many connections wait as a test says."""

    waiting = 0

    def queued(self) -> int:
        return self.waiting


class Logs(MasterLogs):
    """No files: what is logged goes where pytest finds it."""

    def open(self, settings: Settings) -> None:
        pass

    def use(self, settings: Settings) -> None:
        pass


def _name(child: Child) -> str:
    return f"{child.pool.kind.value} {child.slot} gen {child.generation}"


def _heard(end: Channel) -> Word | None:
    try:
        said = end.hear()
    except BlockingIOError:
        return None
    return None if said is None else said.word
