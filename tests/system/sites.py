"""Small sites for tests: files and scripts of which the right answers are known."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

SMALL = b"small\n"
BIG = bytes(range(256)) * 400
"""100 KiB."""

ROUTES = {
    "/": "{static: html}",
    "/hello": '{respond: "hello\\n"}',
    "/cgi-bin/": "{cgi: cgi-bin}",
}

HI = "printf 'Content-Type: text/plain\\n\\nhi\\n'"
ECHO = "printf 'Content-Type: application/octet-stream\\n\\n'; cat"


def script(directory: Path, name: str, text: str) -> Path:
    """A shell script in cgi-bin/."""
    path = directory / "cgi-bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def make_site(directory: Path) -> None:
    """What ROUTES serve: two files and two scripts."""
    html = directory / "html"
    html.mkdir(exist_ok=True)
    (html / "small.txt").write_bytes(SMALL)
    (html / "big.bin").write_bytes(BIG)
    script(directory, "hi.sh", HI)
    script(directory, "echo.sh", ECHO)


def held_script(directory: Path) -> tuple[Path, Path]:
    """cgi-bin/held.sh writes its pid to the first file, and ends with `done` when a line comes from
    the second, a FIFO that the caller makes."""
    begun, release = directory / "begun", directory / "release"
    script(
        directory,
        "held.sh",
        f"echo $$ > {begun}.new; mv {begun}.new {begun}; read line < {release}; "
        "printf 'Content-Type: text/plain\\n\\ndone\\n'",
    )
    return begun, release


def lock_out(directory: Path) -> str:
    """Make a directory unreadable for the workers; gives a line that the configuration needs.

    Nothing is unreadable for root, so root's workers are another user, who gets in elsewhere.
    """
    if os.geteuid() != 0:
        directory.chmod(0)
        return ""
    open_to_all(directory.parent)
    directory.chmod(0o700)
    return "user: www-data"


def open_to_all(directory: Path) -> None:
    """Let every user search a directory of pytest, which are its owner's alone.

    Another run of pytest that starts meanwhile closes the one above them: `open_path` stays open.
    """
    for path in (directory, *directory.parents):
        if path.stat().st_uid == os.geteuid() and not path.stat().st_mode & 0o001:
            path.chmod(path.stat().st_mode | 0o011)
        if path == Path(tempfile.gettempdir()):
            return
