"""What can go wrong, in three families, each with its reader.

ConfigError speaks to the person who wrote the configuration, OperationError to the person who runs
the program, ProtocolError to the peer on the wire. OSError is no family: it is caught where the
call is made and becomes one of these, or is handled there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class ForkdError(Exception):
    """The base of all. `str()` of each is text for a person: what, where, what to do."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a configuration, with its place.

    Lines and columns count from 1; line 0 stands for the file as a whole and is not printed.
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class ConfigError(ForkdError):
    """A configuration that cannot be used, with every problem that was found in it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[Problem, ...]]]:
        """It comes from a process of its own, by pickle, which would call the class with a text."""
        return ConfigError, (self.problems,)


class OperationError(ForkdError):
    """What the machine refuses: a port that is taken, a file that a user cannot read."""


class ProtocolError(ForkdError):
    """Bytes of a peer that are refused, with the HTTP status that answers them."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"{status}: {reason}")
