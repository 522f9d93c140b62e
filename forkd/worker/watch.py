"""`workers: {dev: true}`: the sources of what has been imported, looked at every half second."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Iterable

from forkd.loop.loop import Loop
from forkd.loop.timers import Timer

LOOK_EVERY_S = 0.5

Stamps = dict[str, tuple[int, int]]
"""By path the time of the last change in nanoseconds, and the size; -1, -1 where a file is gone."""


class SourceWatch:
    """Tells of a source that has changed since the last look, one at a time.

    A module that is imported later is watched from then on.
    """

    def __init__(
        self, loop: Loop, changed: Callable[[str], None], sources: Callable[[], Iterable[str]]
    ) -> None:
        self._loop = loop
        self._changed = changed
        self._sources = sources
        self._known: Stamps = {}
        self._timer = Timer(self._look)
        self._look(loop.now)

    def _look(self, now: float) -> None:
        found = stamps({*self._sources(), *self._known})
        for path, stamp in found.items():
            if self._known.get(path, stamp) != stamp:
                self._changed(path)
                break
        self._known = found
        self._loop.timers.set(self._timer, now + LOOK_EVERY_S)


def stamps(paths: Iterable[str]) -> Stamps:
    """What tells one state of a file from another."""
    result = {}
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            result[path] = (-1, -1)
        else:
            result[path] = (status.st_mtime_ns, status.st_size)
    return result


def imported_sources() -> list[str]:
    """The files of all modules but those that are installed: those do not change by hand."""
    installed = tuple(
        os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "purelib", "platlib")
    )
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return [file for file in files if isinstance(file, str) and not file.startswith(installed)]
