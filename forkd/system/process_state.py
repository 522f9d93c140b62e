"""What a process is at, by /proc: for people who want to know why one does not answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_WORDS: Final = {
    "R": "running",
    "S": "sleeping",
    "D": "waiting for a device or a file system",
    "T": "stopped",
    "t": "stopped by a debugger",
    "Z": "dead",
    "X": "dead",
    "I": "idle",
}
"""The states of proc_pid_stat(5)."""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """The state of one moment. `letter`: as ps(1) shows it. `where`: the function of the kernel
    that it waits in; empty where there is none, or where we may not know."""

    letter: str
    where: str = ""

    @property
    def is_stopped(self) -> bool:
        return self.letter in ("T", "t")

    def __str__(self) -> str:
        word = _WORDS.get(self.letter)
        words = f"state {self.letter} ({word})" if word else f"state {self.letter}"
        return f"{words} in {self.where}" if self.where else words


def process_state(pid: int) -> ProcessState | None:
    """The state of a process; None where there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name of the program stands in parentheses and may hold some itself.
            letter = file.read().rpartition(b")")[2].split()[0].decode("ascii")
    except (OSError, IndexError):
        return None
    return ProcessState(letter, _waits_in(pid))


def _waits_in(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/wchan", "rb") as file:
            name = file.read().strip().decode("ascii", "replace")
    except OSError:  # it is gone, or not ours to look into (proc_pid_wchan(5))
        return ""
    return "" if name == "0" else name
