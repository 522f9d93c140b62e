"""What workers and spawners say to each other. Pure: fields of bytes in and out.

A worker sends an order, with four descriptors, on the socket that all workers and all spawners of a
policy share; the first descriptor is a socket of its own on which this program's fate is told.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from forkd.handlers.programs import Ended, Program

DESCRIPTORS = 4
"""The reply socket, then stdin, stdout and stderr of the program."""

TERMINATE = b"terminate"
"""Worker to spawner: TERM the program's group, KILL it after five seconds."""


def encode_order(program: Program) -> list[bytes]:
    return [
        program.directory,
        b"%d" % len(program.argv),
        *program.argv,
        *(name + b"=" + value for name, value in program.environ.items()),
    ]


def decode_order(fields: Sequence[bytes]) -> Program:
    """Raises ValueError for what is no order."""
    directory, count, *rest = fields
    split = int(count)
    pairs = (field.partition(b"=") for field in rest[split:])
    return Program(tuple(rest[:split]), {name: value for name, _, value in pairs}, directory)


@dataclass(frozen=True, slots=True)
class Started:
    pid: int


@dataclass(frozen=True, slots=True)
class NotStarted:
    errno: int


Fate = Started | NotStarted | Ended


def encode_fate(fate: Fate) -> list[bytes]:
    match fate:
        case Started(pid):
            return [b"started", b"%d" % pid]
        case NotStarted(number):
            return [b"not started", b"%d" % number]
        case Ended(status, cpu_s, peak_memory):
            return [b"ended", b"%d" % status, b"%.6f" % cpu_s, b"%d" % peak_memory]


def decode_fate(fields: Sequence[bytes]) -> Fate:
    """Raises ValueError for what is none."""
    match fields:
        case [b"started", pid]:
            return Started(int(pid))
        case [b"not started", number]:
            return NotStarted(int(number))
        case [b"ended", status, cpu_s, peak_memory]:
            return Ended(int(status), float(cpu_s), int(peak_memory))
    raise ValueError(f"not a fate: {fields!r}")


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
