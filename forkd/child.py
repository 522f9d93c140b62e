"""What every child of the master is given, and the steps by which a forked process becomes one."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Final, NoReturn

import setproctitle

from forkd.channel import Channel, Said, Word
from forkd.config.address import Address
from forkd.config.policy import RouteKey, SpawnPolicy
from forkd.config.settings import Settings
from forkd.errors import ForkdError
from forkd.logs.error import start_error_log
from forkd.logs.files import LogFiles
from forkd.loop.signals import reset_signals
from forkd.scoreboard import Slot
from forkd.system.credentials import Identity, assume, current_user, denied_directory
from forkd.system.process import (
    await_end,
    close_descriptors_except,
    die_with_parent,
    forbid_new_privileges,
)
from forkd.system.stacks import write_stacks_on_signal

log = logging.getLogger("forkd")

IGNORED_SIGNALS: Final = (
    *(signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2),
    *(signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH),
)
"""They are for the master, and a terminal sends them to every process."""
_ALL_SIGNALS = signal.valid_signals()
_ADOPTION_S = 10.0
"""The process in between has nothing to do but to leave."""


class Kind(Enum):
    """The kinds of children. The value is the word in logs and process titles."""

    WORKER = "worker"
    SPAWNER = "spawner"
    TEMPLATE = "template"
    """Has imported the applications; the workers of its generation are forked from it."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Children that do the same and can stand in for each other."""

    kind: Kind
    policy: SpawnPolicy | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """All that a child is to know and to have. Made by the master just before the fork."""

    pool: Pool
    generation: int
    slot: Slot
    settings: Settings
    master_pid: int
    channel: Channel
    listeners: tuple[tuple[Address, socket.socket], ...]
    log_files: LogFiles
    identity: Identity | None
    """Whom to become; None: stay who the master is."""
    orders: Mapping[SpawnPolicy, socket.socket]
    """This child's ends of the sockets on which workers order programs from spawners."""
    policies: Mapping[RouteKey, SpawnPolicy]
    """From which spawners the programs of a route are ordered."""
    stacks: int | None = None
    """A file in memory for the stacks of a worker, which the master reads."""

    @property
    def name(self) -> str:
        return f"{self.pool.kind.value} {self.slot.number} gen {self.generation}"


ChildMain = Callable[[Assignment], None]
"""What a child runs. When it returns, the child leaves with status 0."""


def fork_child(main: ChildMain, assignment: Assignment) -> int:
    """Fork a child that runs main; its pid. Raises OSError. Only for processes without threads."""
    return fork_process(partial(main, assignment), assignment.name)


def fork_process(run: Callable[[], None], name: str) -> int:
    """Fork a process that calls run, with all signals blocked, and leaves; its pid.

    Raises OSError. Only for processes without threads. name: for the log.
    """
    # Blocked, or a signal that comes between fork and reset would be taken by the child with the
    # parent's handlers, and its wake-up written into the parent's pipe.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL_SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _become(run, name)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def fork_grandchild(main: ChildMain, assignment: Assignment) -> None:
    """Fork a child of the master, which adopts what is left behind below it (adopt_orphans).

    The child says BORN and then runs main. Raises OSError. Only for processes without threads.
    """
    # Told whether the grandchild could be forked: the errno, or nothing.
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL_SIGNALS)
    try:
        between = os.fork()
        if between == 0:
            _leave_behind(main, assignment, write_end)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(write_end)
        with open(read_end, "rb") as pipe:
            trouble = pipe.read()
    os.waitpid(between, 0)
    if trouble:
        raise OSError(int(trouble), os.strerror(int(trouble)))


def _leave_behind(main: ChildMain, assignment: Assignment, write_end: int) -> NoReturn:
    """In the process between: its child is an orphan as soon as it has left."""
    between = os.getpid()
    status = 70
    try:
        if os.fork() == 0:
            os.close(write_end)
            _become(partial(_be_adopted, main, between, assignment), assignment.name)
        status = 0
    except OSError as error:
        os.write(write_end, str(error.errno).encode())
    finally:
        os._exit(status)


def _be_adopted(main: ChildMain, between: int, assignment: Assignment) -> None:
    if await_end(between, _ADOPTION_S) and assignment.channel.say(Word.BORN):
        main(assignment)


def _become(run: Callable[[], None], name: str) -> NoReturn:
    """In the child. Nothing of the parent's stack may ever run here again."""
    status = 70
    try:
        run()
        status = 0
    except BaseException:
        log.exception("%s: fault outside its loop", name)
    finally:
        os._exit(status)


def enter(
    assignment: Assignment,
    title: str,
    *,
    keep_privileges: bool,
    on_orphaned: signal.Signals,
    keep: Iterable[int] = (),
) -> None:
    """Become what the assignment says. Called first thing after the fork, signals still blocked.

    keep: descriptors that the child has opened itself, with the master's rights.

    The order matters: descriptors are closed while they can still be listed, the log is there
    before anything can go wrong, identity goes before no_new_privs (which would not forbid it, but
    a half-done switch must not pass), and the parent's death is tied last, since a change of
    identity undoes that.
    """
    # Objects of the master must never be finalised here: their descriptors' numbers are used anew.
    gc.freeze()
    reset_signals(ignore=IGNORED_SIGNALS)
    close_descriptors_except(_descriptors(assignment).union(keep))
    settings = assignment.settings
    start_error_log(
        assignment.log_files.open(settings.log.error.file),
        settings.log.error.level,
        assignment.name,
    )
    setproctitle.setproctitle(title)
    if assignment.identity is not None:
        assume(assignment.identity)
    if not keep_privileges:
        forbid_new_privileges()
    die_with_parent(assignment.master_pid, on_orphaned)
    if assignment.stacks is not None:
        write_stacks_on_signal(assignment.stacks)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _descriptors(assignment: Assignment) -> set[int]:
    keep = {assignment.channel.fd, *assignment.log_files.descriptors}
    keep.update(sock.fileno() for _, sock in assignment.listeners)
    keep.update(sock.fileno() for sock in assignment.orders.values())
    if assignment.stacks is not None:
        keep.add(assignment.stacks)
    return keep


def refuse_to_start(channel: Channel, reasons: Iterable[str]) -> NoReturn:
    """Tell the master why this child cannot do its work, and leave."""
    channel.say(Word.FAILED, reasons)
    os._exit(1)


def reason_of(error: Exception) -> str:
    """One line for an exception that ended a child's start."""
    if isinstance(error, ForkdError):
        return str(error)
    if isinstance(error, PermissionError) and error.filename:
        where = denied_directory(os.fsdecode(error.filename)) or os.fsdecode(error.filename)
        return (
            f"user {current_user()} may not read {os.fsdecode(error.filename)} (denied by {where})"
        )
    if isinstance(error, ImportError):
        return unreadable_import() or f"{type(error).__name__}: {error}"
    return f"{type(error).__name__}: {error}"


def unreadable_import() -> str | None:
    """Which directory of the module search path this user cannot read, if there is one."""
    for directory in sys.path:
        if os.path.isabs(directory) and not os.access(directory, os.R_OK | os.X_OK):
            where = denied_directory(directory) or directory
            return (
                f"user {current_user()} cannot read {directory}, where Python modules are imported "
                f"from (denied by {where}): install forkd and Python where that user can read them"
            )
    return None


def adopt_log_files(assignment: Assignment, said: Said) -> None:
    """The master has reopened the log files: put each in its place."""
    for path, descriptor in zip(said.fields, said.descriptors, strict=True):
        assignment.log_files.replace(path, descriptor)
