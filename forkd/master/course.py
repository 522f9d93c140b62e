"""Which part of its life the master is in."""

from __future__ import annotations

from enum import Enum
from typing import Final

STOPPING: Final = "forkd is stopping"
"""Why nothing new is begun any more."""


class Mode(Enum):
    """STARTING -> RUNNING <-> RELOADING; each -> STOPPING. The value is the word in status."""

    STARTING = "starting"
    RUNNING = "running"
    RELOADING = "reloading"
    STOPPING = "stopping"


class Course:
    """The mode, as all parts of the master see it."""

    def __init__(self) -> None:
        self._mode = Mode.STARTING

    @property
    def mode(self) -> Mode:
        return self._mode

    @property
    def starting(self) -> bool:
        return self._mode is Mode.STARTING

    @property
    def stopping(self) -> bool:
        return self._mode is Mode.STOPPING

    def enter(self, mode: Mode) -> None:
        """Go on to another mode. A stop is final: what ends later changes nothing."""
        if self._mode is not Mode.STOPPING:
            self._mode = mode
