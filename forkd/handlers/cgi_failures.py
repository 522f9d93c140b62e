"""Why a CGI program cannot be executed, in words that an administrator understands. Pure."""

from __future__ import annotations

import errno
import os
import signal

# What a machine that is busy says.
_NO_ROOM = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def spawn_failure(number: int, path: str, first_line: bytes, interpreter_exists: bool) -> str:
    """The reason for an errno of execve(2), given the script's first line."""
    if number == errno.ENOENT and first_line.startswith(b"#!"):
        interpreter = interpreter_of(first_line)
        if interpreter.endswith("\r"):
            return (
                f"the first line of {path} ends with a carriage return (DOS line endings): "
                f"write it with Unix line endings"
            )
        if not interpreter_exists:
            return f"the interpreter {interpreter} in the first line of {path} does not exist"
    if number == errno.ENOEXEC:
        if not first_line:
            return f"{path} is empty"
        if first_line.startswith(b"\x7fELF"):
            return f"{path} is a program for another kind of machine, or damaged"
        return f"{path} is neither a program nor a script: its first line does not begin with #!"
    if number == errno.EACCES:
        if first_line.startswith(b"#!"):
            return (
                f"{path} or its interpreter {interpreter_of(first_line)} may not be executed "
                f"(run bit, directory rights, or a file system mounted noexec)"
            )
        return f"{path} may not be executed (a file system mounted noexec?)"
    if number in _NO_ROOM:
        return f"{path} cannot be started now: {os.strerror(number)}"
    if number in (errno.E2BIG, errno.EMSGSIZE):
        return f"the environment for {path} is larger than can be given to a program"
    if number == errno.ETXTBSY:
        return f"{path} is open for writing: it can be run when it has been written"
    if number == errno.ELOOP:
        return f"the interpreter of {path} is a script itself, and so on, too often for the kernel"
    if number == errno.ENOENT:
        return f"{path} or the loader that it names does not exist"
    return f"{path} cannot be executed: {errno.errorcode.get(number, number)}"


def spawn_status(number: int) -> int:
    """503 where the machine has no room for one process more, 500 where the script is at fault."""
    return 503 if number in _NO_ROOM else 500


def order_failure(error: OSError, path: str) -> tuple[int, str]:
    """Status and reason where a worker cannot even order a program."""
    if error.errno == errno.EMSGSIZE:
        return spawn_status(error.errno), spawn_failure(error.errno, path, b"", True)
    return 503, f"the program cannot be started: {error.strerror or error}"


def interpreter_of(first_line: bytes) -> str:
    """What stands after #!, without arguments; a carriage return at its end is kept to be seen."""
    line = first_line[2:].split(b"\n", 1)[0].strip(b" \t")
    return line.split(b" ", 1)[0].split(b"\t", 1)[0].decode("utf-8", "backslashreplace")


def exit_value(status: int) -> int | str:
    """A wait status as the exit status, or the name of the signal that ended the program."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def exit_words(status: int) -> str:
    """A wait status as `exit status 3` or `signal 9 (SIGKILL)`."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"signal {-code}"
