"""What a handler needs of whoever starts programs: in production that is the spawner's client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Program:
    """What is to be run, where, with what. All bytes, as the kernel takes them."""

    argv: tuple[bytes, ...]
    environ: Mapping[bytes, bytes]
    directory: bytes
    limits: tuple[tuple[int, int], ...] = ()
    """Pairs of a resource (getrlimit(2)) and the most of it that each process may use."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: a wait status (waitpid(2)), CPU seconds, peak memory in bytes."""

    status: int
    cpu_s: float
    peak_memory: int


class Watcher(Protocol):
    """Is told what becomes of a program."""

    def started(self, pid: int) -> None: ...

    def not_started(self, status: int, reason: str) -> None:
        """It could not be executed, or there is no room for it. Nothing runs.

        status: what the client is answered. reason: for the log.
        """

    def lasts(self) -> None:
        """It is not over after a moment (0.05 to 0.3 s), as most are: what would not have been
        worth it for those is to be done now. Called once, also where it has not started yet."""

    def ended(self, end: Ended | None) -> None:
        """It is gone; None where whoever started it is gone as well and its end is not known."""


class Running(Protocol):
    """A program that was started, or is about to be."""

    def terminate(self) -> None:
        """TERM for its whole process group, KILL after five seconds."""

    def look(self) -> None:
        """Tell the watcher, before this returns, what is known by now: it is told of a new program
        with a delay of some tenth of a second otherwise."""

    def expect_end(self) -> None:
        """Its output has ended, and nobody waits for its end: look now and then."""

    def await_end(self) -> None:
        """Tell the watcher at once what becomes of it."""

    def close(self) -> None:
        """Hear no more of it. If it still runs, or has not started yet, it is ended."""


Standard = tuple[int | None, int, int]
"""Stdin, stdout, stderr."""


class Launcher(Protocol):
    """Starts programs without blocking."""

    def launch(self, program: Program, descriptors: Standard, watcher: Watcher) -> Running:
        """Start program with descriptors as its stdin, stdout and stderr. stdin None: there is
        nothing to read.

        The descriptors stay the caller's, who closes them after the call. Raises OSError where the
        order cannot even be given.
        """


class NoLauncher:
    """For handlers that are made to be looked at: nothing is asked of it."""

    def launch(
        self,
        program: Program,  # noqa: ARG002 what every launcher is given
        descriptors: Standard,  # noqa: ARG002
        watcher: Watcher,  # noqa: ARG002
    ) -> Running:
        raise AssertionError("nothing is started here")
