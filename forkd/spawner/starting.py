"""How a program is started: what it finds, what it may use, and why it could not be started."""

from __future__ import annotations

import errno
import logging
import os
import signal
from collections.abc import Callable, Collection, Sequence

from forkd.child import IGNORED_SIGNALS
from forkd.handlers.cgi_failures import interpreter_of, spawn_failure, spawn_status
from forkd.handlers.cgi_scripts import check_program, first_line, interpreter_exists, readable
from forkd.handlers.programs import Program
from forkd.spawner.limits import impose, inherited
from forkd.spawner.orders import NotStarted

log = logging.getLogger("forkd.spawner")

# What this process ignores a program would ignore as well; what has a handler here has none after
# exec. The interpreter ignores two of them. Each one costs a system call in the new process.
_IGNORED = (
    *(*IGNORED_SIGNALS, signal.SIGTERM),
    *(signal.SIGPIPE, signal.SIGXFSZ, signal.SIGXCPU),
)

Start = Callable[[], int]
"""Starts a program; its pid. Raises OSError."""


def start_program(
    program: Program,
    standard: Sequence[int],
    through: Callable[[Start], int] | None,
    strangers: Callable[[], Collection[int]],
) -> int:
    """Start it in a process group of its own with standard as its descriptors 0 to 2; its pid. Two
    of them are 1 and 2: it has nothing to read.

    through: calls what it is given where a sandbox is in force; None: there is none. strangers: the
    children of this process that it has not started. Raises OSError. Nothing runs between fork and
    exec but the kernel (posix_spawn(3)).
    """
    os.chdir(program.directory)
    actions: list[tuple[object, ...]] = [
        (os.POSIX_SPAWN_DUP2, descriptor, number)
        for number, descriptor in enumerate(standard, 3 - len(standard))
    ]
    if len(standard) < 3:
        # Each its own: who locks it, or changes its mode, does so for nobody else.
        actions.append((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0))

    def start() -> int:
        return os.posix_spawn(
            program.argv[0],
            program.argv,
            program.environ,
            file_actions=actions,
            setpgroup=0,
            setsigmask=(),
            setsigdef=_IGNORED,
        )

    if not program.limits:
        return start() if through is None else through(start)
    before = set(strangers())
    with inherited(program.limits):
        pid = start() if through is None else through(start)
    impose(pid, program.limits, lambda: {*strangers()} - before - {pid})
    return pid


def why_not(program: Program, error: OSError, *, sandboxed: bool) -> NotStarted:
    """What is said of a program that could not be started, by the user that it was to run as."""
    number, path = error.errno or 0, os.fsdecode(program.argv[0])
    line = first_line(path)
    if number in (errno.EACCES, errno.ENOENT) and (found := check_program(path)) is not None:
        return NotStarted(found.status, found.reason)
    if number == errno.EACCES:
        if line.startswith(b"#!") and (found := check_program(interpreter_of(line))) is not None:
            return NotStarted(500, f"the interpreter in the first line of {path}: {found.reason}")
        if sandboxed:
            return NotStarted(
                500,
                f"the sandbox does not let {path}, or what it needs to be loaded, be executed "
                "(name it in sandbox.read)",
            )
    return NotStarted(
        spawn_status(number), spawn_failure(number, path, line, interpreter_exists(line))
    )


def unreadable(program: Program) -> NotStarted | None:
    """Why an interpreter would not find its script, in words that it would not use itself."""
    if len(program.argv) > 1 and (found := readable(os.fsdecode(program.argv[1]))) is not None:
        return NotStarted(found.status, found.reason)
    return None
