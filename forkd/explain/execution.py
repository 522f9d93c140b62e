"""Whether the kernel would execute a program, without doing it: the errno of execve(2).

What is looked at is what the kernel looks at: rights, the mount, the first line with its
interpreter, the loader that an ELF file names. Formats of binfmt_misc are not known here; where
some are registered, an unknown format is let pass.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator

from forkd.handlers.cgi_failures import interpreter_of
from forkd.handlers.cgi_scripts import first_line
from forkd.system.credentials import current_user, denied_directory

_MOST_INTERPRETERS = 5
"""The kernel gives up where a script's interpreter is a script, and so on, more often."""
_BINFMT_MISC = "/proc/sys/fs/binfmt_misc"
_ELF_HEAD = struct.Struct("<16xHHIQQQIHHH")
_PROGRAM_HEAD = struct.Struct("<IIQQQQ")
_PT_INTERP = 3


def foresee(path: str) -> int | None:
    """The errno with which an execution by this process's effective user would fail; or None."""
    for _ in range(_MOST_INTERPRETERS + 1):
        try:
            status = os.stat(path)
        except OSError as error:
            return error.errno
        if not os.path.isfile(path) or not os.access(path, os.X_OK, effective_ids=True):
            return errno.EACCES
        if status.st_size == 0:
            return errno.ENOEXEC
        line = first_line(path)
        if not line.startswith(b"#!"):
            return _foresee_binary(path, line)
        path = interpreter_of(line)
        if not path:
            return errno.ENOEXEC
    return errno.ELOOP


def executed(path: str) -> list[str]:
    """The program, its interpreter, and so on: all that must be executed for it."""
    found = [path]
    while len(found) <= _MOST_INTERPRETERS and (line := first_line(found[-1])).startswith(b"#!"):
        if not (interpreter := interpreter_of(line)):
            break
        found.append(interpreter)
    return found


def _foresee_binary(path: str, beginning: bytes) -> int | None:
    if not beginning:
        return None  # it can be executed without being read
    if not beginning.startswith(b"\x7fELF"):
        return None if _has_other_formats() else errno.ENOEXEC
    loader = _loader(path)
    return errno.ENOENT if loader is not None and not os.path.exists(loader) else None


def _loader(path: str) -> bytes | None:
    """What an ELF file of 64 bits, little endian, names in its PT_INTERP; None where it has none.

    elf(5). Others are not taken apart.
    """
    with open(path, "rb") as file:
        data = file.read(65536)
    if len(data) < _ELF_HEAD.size or data[4:6] != b"\x02\x01":
        return None
    fields = _ELF_HEAD.unpack_from(data)
    offset, size, count = fields[4], fields[8], fields[9]
    for number in range(count):
        at = offset + number * size
        if at + _PROGRAM_HEAD.size > len(data):
            return None
        kind, _, begin, _, _, length = _PROGRAM_HEAD.unpack_from(data, at)
        if kind == _PT_INTERP:
            return data[begin : begin + length].rstrip(b"\0") or None
    return None


def _has_other_formats() -> bool:
    try:
        return bool(set(os.listdir(_BINFMT_MISC)) - {"register", "status"})
    except OSError:
        return False


def wanted_of_env(line: bytes) -> bytes | None:
    """What `#!/usr/bin/env NAME` has env(1) look for; None for any other first line."""
    words = line[2:].split()
    if not words or os.path.basename(words[0]) != b"env":
        return None
    for word in words[1:]:
        if not word.startswith(b"-") and b"=" not in word:
            return word
    return None


def find_on_path(name: bytes, search_path: bytes) -> str | None:
    """Where env(1) finds a program for this process's effective user."""
    if b"/" in name:
        places: Iterator[bytes] = iter((name,))
    else:
        places = (directory + b"/" + name for directory in search_path.split(b":"))
    for place in places:
        if os.path.isfile(place) and os.access(place, os.X_OK, effective_ids=True):
            return os.fsdecode(place)
    return None


def why_unreadable(path: str) -> str | None:
    """Why an interpreter could not read a script as this process's effective user; or None."""
    if os.access(path, os.R_OK, effective_ids=True):
        return None
    if (directory := denied_directory(path)) is not None:
        return f"user {current_user()} may not search the directory {directory}"
    return f"user {current_user()} may run {path} but not read it, which its interpreter has to"
