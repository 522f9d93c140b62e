"""A request's body kept in a file until it is whole."""

from __future__ import annotations

import os
import tempfile


class Spool:
    """An unlinked temporary file: gone with its last descriptor. Every call may raise OSError."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 it outlives this call

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def hand_over(self) -> tuple[int, int]:
        """A descriptor that stands at the beginning, and the size in bytes. The spool is closed."""
        with self._file as file:
            size = file.tell()
            file.seek(0)
            return os.dup(file.fileno()), size

    def close(self) -> None:
        try:
            self._file.close()
        except OSError:
            pass  # what could not be written any more is not wanted any more
