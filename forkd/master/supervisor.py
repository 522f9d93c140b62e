"""Carries out what `lifecycle.plan` decides: forks, signals, reaps; keeps the table of children."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from forkd.channel import Channel, Word, channel_pair
from forkd.child import Assignment, ChildMain, Kind, Pool, fork_child
from forkd.errors import OperationError
from forkd.loop.loop import Loop
from forkd.master import lifecycle
from forkd.master.death import Death
from forkd.master.lifecycle import Child, Drain, Kill, Start, State, Wanted
from forkd.scoreboard import Scoreboard, Slot
from forkd.system.stacks import stacks_file

log = logging.getLogger("forkd.master")


class Supervisor:
    """The table of children, and the only place where what the plan says is done to them."""

    def __init__(
        self,
        loop: Loop,
        mains: Mapping[Kind, ChildMain],
        assign: Callable[[int, Pool, Slot, Channel], Assignment],
        hang_timeout_s: Callable[[int], float],
        died: Callable[[Death], None],
        came_up: Callable[[Child], None],
        source_changed: Callable[[Child, str], None],
        changed: Callable[[], None],
        stranger_died: Callable[[int, int], None],
        answer: Callable[[str], bytes],
    ) -> None:
        """changed: told last whenever there is something new for the plan.

        stranger_died: told of the pid and status of a child that is not in the table.

        answer: what a child is told that asks about a topic.
        """
        self._loop = loop
        self._mains = mains
        self._assign = assign
        self._hang_timeout_s = hang_timeout_s
        self._died = died
        self._came_up = came_up
        self._source_changed = source_changed
        self._changed = changed
        self._stranger_died = stranger_died
        self._answer = answer
        self._channels: dict[int, Channel] = {}
        self._stacks: dict[int, int] = {}
        """By slot the file that a worker writes its stacks into."""
        self._deaf: set[int] = set()
        """Slots whose channel has ended."""
        self._reasons: dict[int, tuple[str, ...]] = {}
        self._killed_for: dict[int, str] = {}
        self._importing: dict[int, str] = {}
        """What a child that starts said last that it imports."""
        self.children: dict[int, Child] = {}
        """By slot."""
        self.leaving: set[int] = set()
        """Slots of children that were told to drain and may still accept connections."""
        self.scoreboard = Scoreboard()
        self._free_slots = list(range(len(self.scoreboard.slots)))

    def carry_out(self, wanted: Wanted) -> None:
        """Do what the plan says. Raises OperationError where a child cannot even be forked."""
        now = self._loop.now
        hung = self._hung() if not wanted.stopping else {}
        for action in lifecycle.plan(self.children.values(), wanted, hung, now):
            match action:
                case Start():
                    self._start(action)
                case Drain(child):
                    self._channels[child.slot].say(Word.STOP if wanted.stopping else Word.DRAIN)
                    if child.state is State.STARTING:
                        self._signal(child.pid, signal.SIGTERM)  # it serves nobody yet
                    self.children[child.slot] = lifecycle.after(child, action, wanted, now)
                    if child.pool.kind is not Kind.SPAWNER:
                        self.leaving.add(child.slot)
                case Kill(child, signum, reason):
                    if child.state is State.STARTING and child.slot in self._importing:
                        reason += f": it was importing {self._importing[child.slot]}"
                    self._killed_for.setdefault(child.slot, reason)
                    if child.pid is None:
                        # Whoever is forked later finds its channel closed, and leaves.
                        self._loop.call_soon(partial(self._give_up, child))
                    else:
                        log.warning("%s: %s: sending %s", child, reason, signum.name)
                        self._signal(child.pid, signum)
                    self.children[child.slot] = lifecycle.after(child, action, wanted, now)

    def reap(self) -> None:
        """Collect all children that have ended. As PID 1 that includes strangers."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._of_pid(pid)
            if child is None:
                # It may have said so a moment ago that it was born.
                for unborn in [one for one in self.children.values() if one.pid is None]:
                    self._on_channel(unborn.slot)
                child = self._of_pid(pid)
            if child is not None:
                self._bury(child.slot, status)
            else:
                self._stranger_died(pid, status)

    def _of_pid(self, pid: int) -> Child | None:
        return next((child for child in self.children.values() if child.pid == pid), None)

    def _give_up(self, child: Child) -> None:
        """Its template takes too long over it, unless it has said just now that it was born."""
        if self._is_unborn(child.slot):
            self._on_channel(child.slot)
        if self._is_unborn(child.slot):
            self._bury(child.slot, 0)

    def _is_unborn(self, slot: int) -> bool:
        return slot in self.children and self.children[slot].pid is None

    def quit_all(self) -> None:
        """Have everybody leave at once, each by itself."""
        for child in self.children.values():
            self._signal(child.pid, signal.SIGQUIT)

    def kill_all(self) -> None:
        """Whoever is left. A spawner ends its programs first."""
        for child in self.children.values():
            self._signal(
                child.pid,
                signal.SIGQUIT if child.pool.kind is Kind.SPAWNER else signal.SIGKILL,
            )

    def hand_out_log_files(self, files: Mapping[str, int]) -> None:
        for channel in self._channels.values():
            channel.say(Word.REOPEN, files.keys(), files.values())

    def workers(self, generation: int) -> list[tuple[Child, Slot]]:
        """The workers of a generation, whatever they are at."""
        return [
            (child, self.slot(child))
            for child in self.children.values()
            if child.pool.kind is Kind.WORKER and child.generation == generation
        ]

    def ask_for_stacks(self, child: Child) -> None:
        """Have a worker that hears write its stacks."""
        self._channels[child.slot].say(Word.STACKS)

    def stacks_of(self, child: Child) -> int:
        """The file that this worker writes its stacks into."""
        return self._stacks[child.slot]

    def slot(self, child: Child) -> Slot:
        return self.scoreboard.slots[child.slot]

    def _hung(self) -> dict[int, float]:
        """Slots of children whose loop has not turned for longer than they may, with seconds."""
        hung = {}
        for child in self.children.values():
            if child.pool.kind is not Kind.SPAWNER and child.serves:
                silent = self._loop.now - self.slot(child).read().tick
                if silent > self._hang_timeout_s(child.generation):
                    hung[child.slot] = silent
        return hung

    def _start(self, order: Start) -> None:
        slot = self.scoreboard.slots[self._take_slot()]
        slot.clear()
        try:
            ours, theirs = channel_pair()
        except OSError as error:
            self._give_slot_back(slot.number)
            raise OperationError(f"cannot fork: {error.strerror}") from None
        assignment = self._assign(order.generation, order.pool, slot, theirs)
        try:
            if order.pool.kind is Kind.WORKER:
                self._stacks[slot.number] = stacks = stacks_file()
                assignment = replace(assignment, stacks=stacks)
            pid = self._fork(order, assignment)
        except OSError as error:
            ours.close()
            self._close_stacks(slot.number)
            self._give_slot_back(slot.number)
            raise OperationError(f"cannot fork: {error.strerror}") from None
        finally:
            theirs.close()
        now, number = self._loop.now, slot.number
        deadline = now + assignment.settings.workers.boot_timeout
        self.children[number] = Child(
            order.pool, order.generation, number, pid, State.STARTING, now, deadline
        )
        self._channels[number] = ours
        self._loop.watch(ours.fd, lambda _mask: self._on_channel(number))

    def _fork(self, order: Start, assignment: Assignment) -> int | None:
        """The pid; None where another child forks it. Raises OSError."""
        if order.parent is None:
            return fork_child(self._mains[order.pool.kind], assignment)
        channel = self._channels[order.parent.slot]
        # A template that does not hear is about to die, or stands still: either is found out.
        assert assignment.stacks is not None, "only workers are forked by a template"
        descriptors = [assignment.channel.fd, assignment.stacks]
        channel.say(Word.FORK, [str(assignment.slot.number)], descriptors)
        return None

    def _on_channel(self, slot: int) -> None:
        channel = self._channels[slot]
        try:
            said = channel.hear()
        except BlockingIOError:
            return
        if said is None:
            # The end would be reported for ever.
            self._loop.forget(channel.fd)
            self._deaf.add(slot)
            if self.children[slot].pid is None:
                self._bury(slot, 0)
            # Others are about to die, and their death is what tells.
            return
        if said.word is Word.IMPORTING:
            self._importing[slot] = " ".join(said.fields)
        elif said.word is Word.BORN:
            self.children[slot] = replace(self.children[slot], pid=said.pid)
        elif said.word is Word.READY:
            self.children[slot] = lifecycle.ready(self.children[slot], self._loop.now)
            log.debug("%s is ready", self.children[slot])
            self._came_up(self.children[slot])
            self._changed()
        elif said.word is Word.DRAINING:
            self.leaving.discard(slot)
            self._changed()
        elif said.word is Word.RETIRE:
            log.info("%s is replaced in order: %s", self.children[slot], " ".join(said.fields))
            self.children[slot] = lifecycle.retire(self.children[slot], self._loop.now)
            self._changed()
        elif said.word is Word.ASK:
            channel.tell(said.fields[0], self._answer(said.fields[0]))
        elif said.word is Word.FAILED:
            self._reasons[slot] = said.fields
        elif said.word is Word.CHANGED:
            self._source_changed(self.children[slot], " ".join(said.fields))

    def _bury(self, slot: int, status: int) -> None:
        # What it said last may still be unread.
        channel = self._channels[slot]
        while (said := self._last_words(channel)) is not None:
            if said:
                self._reasons[slot] = said
        if slot not in self._deaf:
            self._loop.forget(channel.fd)
        self._deaf.discard(slot)
        channel.close()
        del self._channels[slot]
        self._close_stacks(slot)
        self.leaving.discard(slot)
        child = self.children.pop(slot)
        doing = self.slot(child).read_under_way()
        self._give_slot_back(child.slot)
        self._importing.pop(slot, None)
        reasons = self._reasons.pop(slot, ())
        killed_for = self._killed_for.pop(slot, "")
        self._died(Death(child, status, reasons, killed_for, doing))
        self._changed()

    @staticmethod
    def _last_words(channel: Channel) -> tuple[str, ...] | None:
        try:
            said = channel.hear()
        except BlockingIOError:
            return None
        if said is None:
            return None
        return said.fields if said.word is Word.FAILED else ()

    def _close_stacks(self, slot: int) -> None:
        descriptor = self._stacks.pop(slot, None)
        if descriptor is not None:
            os.close(descriptor)

    def _take_slot(self) -> int:
        if not self._free_slots:
            raise OperationError(f"cannot fork: there are {len(self.children)} children already")
        return self._free_slots.pop(0)

    def _give_slot_back(self, number: int) -> None:
        self._free_slots.append(number)
        self._free_slots.sort()  # the lowest is given next, so that numbers stay small

    @staticmethod
    def _signal(pid: int | None, signum: signal.Signals) -> None:
        if pid is None:
            return  # when it is there it finds its channel closed, or a word to leave
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            pass  # it is a zombie by now; SIGCHLD is on its way
