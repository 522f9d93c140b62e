"""How the kernel finds the file of a path, step by step: to see who could have it find another."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Final

_MOST_LINKS: Final = 40
"""As many as the kernel follows (path_resolution(7))."""


def searched(path: str, readlink: Callable[[str], str] = os.readlink) -> Iterator[str]:
    """Every directory, by its real name, in which a name of this absolute path is looked up.

    Whoever may write to one of them decides where the path leads. What is not there, or too many
    links in a row, ends it.
    """
    directory, names, links = "/", _names(path), 0
    while names:
        name = names.pop()
        if name == "..":
            directory = os.path.dirname(directory)
            continue
        yield directory
        entry = os.path.join(directory, name)
        try:
            target = readlink(entry)
        except OSError:  # EINVAL: no link; where nothing is there, there is no link either
            directory = entry
            continue
        links += 1
        if links > _MOST_LINKS:
            return
        if target.startswith("/"):
            directory = "/"
        names += _names(target)


def _names(path: str) -> list[str]:
    """The last one first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def is_below(path: str, directory: str) -> bool:
    """Whether a path is the directory or below it, both by their real names."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")
