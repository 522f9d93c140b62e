"""Reading the configuration in a process of its own.

What checks it (pydantic, PyYAML, the models) is three times the size of the master. In a child that
leaves it is in the memory of no process that serves (decision 0013).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from forkd.config.settings import Settings
from forkd.errors import ForkdError, OperationError
from forkd.loop.loop import Loop
from forkd.master.errand import Awaited, Errand, Words

PATIENCE_S: Final = 30.0
"""It takes a fifth of a second, unless the file system hangs or the file is a pipe."""

_WORDS: Final = Words(
    process="reader",
    cannot="cannot read the configuration",
    lost="the process that reads it ended and did not say why (see the lines before this one, and "
    "dmesg)",
    slow="reading the configuration took longer",
    slow_hint="is it a pipe, or on a file system that hangs?",
)

Load = Callable[[], Settings]
"""What the child calls. It may raise ForkdError."""


class Reading(Errand[Settings]):
    """A child that reads. To be closed by whoever has it."""

    def __init__(self, load: Load) -> None:
        """Start it. Raises OperationError. Only for processes without threads."""
        super().__init__(partial(_read, load), _WORDS)

    def wait(self, patience_s: float = PATIENCE_S) -> Settings:
        """For a process that has nothing else to do: the settings. Raises ForkdError."""
        return super().wait(patience_s)


class AwaitedReading(Awaited[Settings]):
    """A reading that the loop waits for."""

    def __init__(
        self,
        loop: Loop,
        load: Load,
        done: Callable[[Settings | ForkdError], None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Start it; `done` is called once, unless it is given up. Raises OperationError."""
        super().__init__(loop, Reading(load), done, patience_s)


def _read(load: Load) -> Settings:
    """In the child."""
    try:
        return load()
    except ImportError as error:
        # What reads is imported at each reading: somebody may have replaced it since the last one.
        raise OperationError(
            f"cannot read the configuration: {error} (install forkd's dependencies again; after an "
            "upgrade of forkd or of Python start it anew)"
        ) from None
