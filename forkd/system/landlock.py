"""Landlock (landlock(7)): what a thread, and whatever it starts, may do from now on and for good.

Which rights a kernel knows is told by a number, the ABI. What that means is pure and stands above;
the three system calls stand below. Who is given which paths belongs to `confinement.py`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import Final


class Access(IntFlag):
    """Rights to files: LANDLOCK_ACCESS_FS_* of linux/landlock.h."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    """Rename and link from one directory to another."""
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


NOTHING: Final = Access(0)
READ: Final = Access.EXECUTE | Access.READ_FILE | Access.READ_DIR
WRITE: Final = (
    Access.READ_FILE
    | Access.READ_DIR
    | Access.WRITE_FILE
    | Access.REMOVE_DIR
    | Access.REMOVE_FILE
    | Access.MAKE_DIR
    | Access.MAKE_REG
    | Access.MAKE_SOCK
    | Access.MAKE_FIFO
    | Access.MAKE_SYM
    | Access.REFER
    | Access.TRUNCATE
    | Access.IOCTL_DEV
)
"""Reading and writing, and no EXECUTE: what was uploaded is not run. No MAKE_CHAR and MAKE_BLOCK
either: for root, a disk made where it may write would be a way around every other rule."""
DEVICE: Final = Access.READ_FILE | Access.WRITE_FILE | Access.TRUNCATE | Access.IOCTL_DEV
"""To read and write one file. IOCTL_DEV so that isatty(3) is told that it is no terminal, and not
that it may not ask: Perl asks of every file that it opens."""
FOR_FILES: Final = Access.EXECUTE | DEVICE
"""What a rule for something that is no directory may give: more is EINVAL."""
_ALL: Final = READ | WRITE | Access.MAKE_CHAR | Access.MAKE_BLOCK

_BIND_TCP: Final = 1 << 0
_CONNECT_TCP: Final = 1 << 1
_SCOPE_ABSTRACT_UNIX: Final = 1 << 0
_SCOPE_SIGNAL: Final = 1 << 1


@dataclass(frozen=True, slots=True)
class Handled:
    """What a domain denies where no rule gives it. The fields are those of the kernel's struct
    landlock_ruleset_attr."""

    files: Access
    tcp: int
    scoped: int


def files_known(abi: int) -> Access:
    """The rights to files that a kernel with this ABI can deny."""
    if abi < 1:
        return NOTHING
    known = _ALL
    if abi < 2:
        known ^= Access.REFER  # where it is unknown, it is denied to every domain
    if abi < 3:
        known ^= Access.TRUNCATE
    if abi < 5:
        known ^= Access.IOCTL_DEV
    return known


def handled(abi: int, *, network: bool) -> Handled:
    """All that can be denied; of the network nothing where a program may use it."""
    tcp = 0 if network or abi < 4 else _BIND_TCP | _CONNECT_TCP
    scoped = 0 if abi < 6 else _SCOPE_SIGNAL
    if abi >= 6 and not network:
        scoped |= _SCOPE_ABSTRACT_UNIX
    return Handled(files_known(abi), tcp, scoped)


def lacks(abi: int, *, network: bool) -> list[str]:
    """What a kernel with this ABI cannot keep a program from, in words for a person.

    TCP (ABI 4) is not among it: without a network a filter holds all of that, see seccomp.py.
    """
    if abi < 1:
        return ["files", "signals to other processes", "tracing other processes"]
    words = []
    if abi < 3:
        words.append("truncating files")
    if abi < 5:
        words.append("ioctl on devices")
    if abi < 6:
        words.append("signals to other processes")
        if not network:
            words.append("abstract Unix sockets")
    return words


# System calls since Linux 5.1 have one number on all machines that Python runs on. No libc wraps
# these.
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
_RULE_PATH_BENEATH: Final = 1
_RULESET: Final = struct.Struct("=QQQ")
_PATH_BENEATH: Final = struct.Struct("=Qi")
_UNAVAILABLE: Final = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)
"""Not built in; built in and not in the list of modules (lsm=); forbidden by a container."""


class Landlock:
    """The system calls. One object of it holds what is costly to look up."""

    def __init__(self) -> None:
        self._call = ctypes.CDLL(None, use_errno=True).syscall
        self._call.restype = ctypes.c_long

    def _checked(self, number: int, *arguments: object) -> int:
        result: int = self._call(ctypes.c_long(number), *arguments)
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return result

    def abi(self) -> int:
        """The ABI of this kernel; 0 where it has no Landlock. Raises OSError."""
        try:
            return self._checked(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION))
        except OSError as error:
            if error.errno not in _UNAVAILABLE:
                raise
            return 0

    def create(self, what: Handled) -> int:
        """A ruleset without rules: the descriptor of it, close-on-exec. Raises OSError."""
        # A kernel that knows fewer fields takes the longer struct where the rest of it is zero.
        attributes = _RULESET.pack(what.files, what.tcp, what.scoped)
        size = ctypes.c_size_t(len(attributes))
        return self._checked(_CREATE_RULESET, attributes, size, ctypes.c_uint(0))

    def allow(self, ruleset: int, descriptor: int, access: Access) -> None:
        """Give rights to an open file, or to a directory and all below. Raises OSError.

        The file itself is meant: another one that takes its name later has no rights by it. Rights
        that the ruleset does not handle are EINVAL.
        """
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= FOR_FILES
        if not access:
            return  # ENOMSG, and nothing to give
        rule = _PATH_BENEATH.pack(access, descriptor)
        kind = ctypes.c_int(_RULE_PATH_BENEATH)
        self._checked(_ADD_RULE, ctypes.c_int(ruleset), kind, rule, ctypes.c_uint(0))

    def restrict_thread(self, ruleset: int) -> None:
        """Put this thread into a domain of its own, below the one that it is in. For good.

        Needs no_new_privs (PR_SET_NO_NEW_PRIVS, prctl(2)). Raises OSError: E2BIG in the 16th domain
        (LANDLOCK_MAX_NUM_LAYERS).
        """
        self._checked(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0))


def abi() -> int:
    """The ABI of this kernel; 0 where it has no Landlock."""
    return Landlock().abi()
