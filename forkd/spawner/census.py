"""Whether there are children that were not started here: what programs leave behind is adopted."""

from __future__ import annotations

import os
import threading

_SIZE = 65536
_SURE = 4000
"""Bytes. Of more than a page the kernel tells the beginning, which ends with a whole number."""


class Census:
    """Counts the children of this process's main thread, which starts programs and adopts."""

    def __init__(self) -> None:
        path = f"/proc/self/task/{threading.get_native_id()}/children"
        try:
            self._children = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._children = -1  # a kernel without CONFIG_PROC_CHILDREN

    def counts(self, number: int) -> bool:
        """Whether there are just so many; False where that cannot be told."""
        if self._children < 0:
            return False
        text = os.pread(self._children, _SIZE, 0)
        return len(text) < _SURE and text.count(b" ") == number

    def close(self) -> None:
        if self._children >= 0:
            os.close(self._children)
