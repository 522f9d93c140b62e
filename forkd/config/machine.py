"""What a value is measured against: the directories, the file system, the user database.

It looks things up and changes nothing. Every error is a ValueError that says what is missing.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from forkd.config.address import Address, check_unix_path, parse_address
from forkd.config.words import describe, hint, one_of, parse_text, text_of

STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, slots=True)
class Context:
    """What validation knows beside the value.

    `directory` is that of the file. `root` is None where the file gives a root that is wrong: then
    relative paths are not looked at, since each of them would only repeat that one mistake.
    """

    directory: str
    root: str | None
    environ: Mapping[str, str] = field(default_factory=dict)


def find_root(value: object, directory: str) -> Path:
    """The root that is written in a file of `directory`, by default that directory itself."""
    written = "." if value is None else _path_text(value)
    # Lexically, so that `..` in a deployment reached by a symbolic link stays in that deployment.
    root = Path(os.path.normpath(os.path.join(directory, written)))
    # os.path, since Path.is_dir raises where a directory above denies the search.
    if not os.path.isdir(root):
        raise ValueError(f"no such directory: {root}")
    return root


def absolute(value: object, context: Context) -> Path:
    """The absolute path of one that may be relative to root."""
    return Path(os.path.normpath(os.path.join(context.root or "/", _path_text(value))))


def existing(value: object, context: Context) -> Path:
    """The absolute path of a file or directory that is there."""
    path = absolute(value, context)
    if _is_located(value, context):
        mode = _mode(path, "file or directory")
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise ValueError(f"expected a directory or a file, and {path} is neither")
    return path


def existing_directory(value: object, context: Context) -> Path:
    """The absolute path of a directory that is there."""
    path = absolute(value, context)
    if _is_located(value, context) and not stat.S_ISDIR(_mode(path, "directory")):
        raise ValueError(f"expected a directory, and {path} is none")
    return path


def program(value: object, context: Context) -> Path:
    """The absolute path of a file that can be executed.

    By a path, since the directories of a search path may change what is run.
    """
    path = absolute(value, context)
    if _is_located(value, context):
        mode = _mode(path, "program")
        if not stat.S_ISREG(mode):
            raise ValueError(f"expected a program, and {path} is none")
        if not mode & 0o111:
            raise ValueError(f"{path} may be executed by nobody (chmod +x {path})")
    return path


def _is_located(value: object, context: Context) -> bool:
    """Whether it is known where a path is."""
    return context.root is not None or os.path.isabs(_path_text(value))


def _mode(path: Path, noun: str) -> int:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        raise ValueError(f"no such {noun}: {path}") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be used: {error.strerror}") from None


def control_path(value: object, context: Context) -> Path:
    """Where the control socket is, by default in the directory that systemd made for it."""
    if value is not None:
        path = absolute(value, context)
    elif runtime := context.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]:
        path = Path(os.path.abspath(runtime), "control.sock")
    else:
        path = Path(context.root or "/", "run", "control.sock")
    check_unix_path(str(path))
    return path


def log_file(value: object, context: Context) -> str | Path:
    """`stdout`, `stderr` or the absolute path of a log file."""
    if value in STREAMS:
        return str(value)
    path = absolute(value, context)
    if os.path.isdir(path):
        raise ValueError(f"expected {one_of((*STREAMS, 'a file'))}, and {path} is a directory")
    return path


def listen_address(value: object, context: Context) -> Address:
    """The address of a listener; a unix path is relative to root."""
    return parse_address(parse_text(value), context.root or "/")


def user_name(value: object) -> str:
    """The name of a user that exists, given by name or number."""
    text = parse_text(value)
    try:
        if _is_number(text):
            return pwd.getpwuid(int(text)).pw_name
        return pwd.getpwnam(text).pw_name
    except (KeyError, OverflowError):
        near = hint(text, [entry.pw_name for entry in pwd.getpwall()])
        raise ValueError(f"no such user: {describe(text)}{near}") from None


def group_name(value: object) -> str:
    """The name of a group that exists, given by name or number."""
    text = parse_text(value)
    try:
        if _is_number(text):
            return grp.getgrgid(int(text)).gr_name
        return grp.getgrnam(text).gr_name
    except (KeyError, OverflowError):
        near = hint(text, [entry.gr_name for entry in grp.getgrall()])
        raise ValueError(f"no such group: {describe(text)}{near}") from None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20


def _path_text(value: object) -> str:
    text = str(value) if isinstance(value, Path) else text_of(value)
    if not text:
        raise ValueError(f"expected a path, not {describe(value)}")
    return text
