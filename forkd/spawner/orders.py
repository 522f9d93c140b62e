"""What workers and spawners say to each other. Pure: fields of bytes in and out.

A worker sends an order, with its descriptors, on the socket that all workers and all spawners of a
policy share; the first descriptor is a socket of its own on which this program's fate is told.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from forkd.handlers.programs import Ended, Program

DESCRIPTORS = 4
"""The reply socket, then stdin, stdout and stderr of the program. Without stdin one fewer: it has
nothing to read, and a /dev/null of its own."""

TERMINATE = b"terminate"
"""Worker to spawner: TERM the program's group, KILL it after five seconds."""
KILL = b"kill"
"""Worker to whichever spawner, with the number of a group that has lost its own spawner."""


def encode_order(program: Program) -> list[bytes]:
    return [
        program.directory,
        b" ".join(b"%d=%d" % limit for limit in program.limits),
        b"%d" % len(program.argv),
        *program.argv,
        *[name + b"=" + value for name, value in program.environ.items()],
    ]


def decode_order(fields: Sequence[bytes]) -> Program:
    """Raises ValueError for what is no order."""
    directory, limits, count, *rest = fields
    split = int(count)
    return Program(
        argv=tuple(rest[:split]),
        # The fastest of many ways, and this is done for each program.
        environ=dict([one.split(b"=", 1) for one in rest[split:]]),
        directory=directory,
        limits=tuple(_limit(one) for one in limits.split()),
    )


def _limit(text: bytes) -> tuple[int, int]:
    kind, _, number = text.partition(b"=")
    return int(kind), int(number)


@dataclass(frozen=True, slots=True)
class Started:
    pid: int


@dataclass(frozen=True, slots=True)
class NotStarted:
    status: int
    """What the client is answered."""
    reason: str


Fate = Started | NotStarted | Ended


def encode_fate(fate: Fate) -> list[bytes]:
    # Not by patterns, which cost several times as much: this is done twice for each program.
    if isinstance(fate, Started):
        return [b"started", b"%d" % fate.pid]
    if isinstance(fate, Ended):
        return [b"ended", b"%d" % fate.status, b"%.6f" % fate.cpu_s, b"%d" % fate.peak_memory]
    return [b"not started", b"%d" % fate.status, os.fsencode(fate.reason)]


def encode_end(end: Ended, *, is_alone: bool) -> list[bytes]:
    """The end of a program; is_alone: nothing of it is left, and the spawner hangs up."""
    return [*encode_fate(end), b"alone"] if is_alone else encode_fate(end)


def hangs_up(fields: Sequence[bytes]) -> bool:
    """Whether a fate is the last that is said, and nobody listens any more."""
    return fields[0] == b"not started" or fields[-1] == b"alone"


def decode_fate(fields: Sequence[bytes]) -> Fate:
    """Raises ValueError for what is none."""
    # Not by patterns either.
    kind, count = fields[0] if fields else b"", len(fields)
    if kind == b"started" and count == 2:
        return Started(int(fields[1]))
    if kind == b"ended" and count >= 4:
        return Ended(int(fields[1]), float(fields[2]), int(fields[3]))
    if kind == b"not started" and count == 3:
        return NotStarted(int(fields[1]), os.fsdecode(fields[2]))
    raise ValueError(f"not a fate: {fields!r}")
