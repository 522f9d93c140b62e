"""Which file a URL's path means, found with the handler's own translate_path().

Paths are decoded; `file_of` gives the absolute file name for one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from forkd.compat.request import Refused


@dataclass(frozen=True, slots=True)
class Script:
    """A program: its path in the URL, its file, and the rest of the path."""

    name: str
    file: str
    path_info: str

    def __str__(self) -> str:
        return f"CGI script {self.name!a}"


def find_script(
    directory: str,
    rest: str,
    file_of: Callable[[str], str],
    may_run: Callable[[str], bool],
) -> Script:
    """The first in rest that is no directory; what follows it is PATH_INFO. Raises Refused."""
    names = rest.split("/")
    name = directory.rstrip("/")
    while names and os.path.isdir(file_of(f"{name}/{names[0]}")):
        name = f"{name}/{names.pop(0)}".rstrip("/")
    if not names:
        raise Refused(403, f"CGI script is not a plain file ({name!a})")
    name = f"{name}/{names.pop(0)}"
    script = Script(name, file_of(name), "/" + "/".join(names) if names else "")
    if not os.path.exists(script.file):
        raise Refused(404, f"No such CGI script ({name!a})")
    if not os.path.isfile(script.file):
        raise Refused(403, f"CGI script is not a plain file ({name!a})")
    if not may_run(script.file):
        raise Refused(403, f"CGI script is not executable ({name!a})")
    return script


def lies_in(file: str, directories: Iterable[str]) -> bool:
    """Whether the file is one of the directories, or in one, by whatever name.

    That is a link, or upper case where the file system does not care for it. Raises ValueError for
    a name that no file can have.
    """
    roots = {_identity(directory) for directory in directories if os.path.isdir(directory)}
    place = os.path.realpath(file)
    while roots:
        if _identity(place) in roots:
            return True
        if place == "/":
            break
        place = os.path.dirname(place)
    return False


def _identity(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return -1, -1
    return status.st_dev, status.st_ino
