"""Filters of system calls (seccomp(2)): no network but Unix sockets, no limits but one's own.

Landlock can deny TCP and nothing else of a network: a program could still send datagrams. The
filters are made by pure functions and put on this thread and on whatever it starts.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_PR_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2

# Instructions of linux/bpf_common.h: load a word at an offset, compare with a constant and skip,
# return a constant.
_LOAD: Final = 0x20
_JUMP_EQUAL: Final = 0x15
_JUMP_AT_LEAST: Final = 0x35
_RETURN: Final = 0x06
_INSTRUCTION: Final = struct.Struct("=HBBI")

# struct seccomp_data: nr, arch, instruction_pointer, args[6].
_NUMBER: Final = 0
_ARCH: Final = 4
_FIRST_ARGUMENT: Final = 16

_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000

_X32_BIT: Final = 0x40000000
_IO_URING_SETUP: Final = 425


@dataclass(frozen=True, slots=True)
class Machine:
    """What has another number on each machine. arch: AUDIT_ARCH_* of linux/audit.h. prlimit_32: of
    the 32-bit programs that it runs as well."""

    arch: int
    socket: int
    socketpair: int
    prlimit: int
    prlimit_32: int
    has_x32: bool = False


_MACHINES: Final = {
    "x86_64": Machine(
        0xC000003E, socket=41, socketpair=53, prlimit=302, prlimit_32=340, has_x32=True
    ),
    "aarch64": Machine(0xC00000B7, socket=198, socketpair=199, prlimit=261, prlimit_32=369),
}
"""By the name of uname(2). Both are little-endian: the low half of an argument comes first."""

_POINTER_BITS: Final = struct.calcsize("P") * 8


def machine(name: str, pointer_bits: int) -> Machine | None:
    """None where no filter is known: another machine, or a 32-bit Python on a 64-bit kernel."""
    return _MACHINES.get(name) if pointer_bits == 64 else None


def network_filter(kind: Machine) -> list[tuple[int, int, int, int]]:
    """The filter as instructions (code, jump if true, jump if false, constant).

    - Calls of another machine type (32-bit programs) and of x32 are EPERM: their numbers mean
      something else, socketcall(2) of i386 among them, whose arguments a filter cannot see.
    - io_uring_setup(2) is EPERM, as where kernel.io_uring_disabled is set: a ring makes sockets
      without a system call.
    - socket(2) and socketpair(2) for anything but AF_UNIX are EACCES, as socket(2) has it.
      AF_NETLINK is no exception: nothing without a network needs it (glibc's resolver does
      without), and in a user namespace of its own a program could reach much of the kernel by it.
    """
    refuse = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    program = [
        (_LOAD, 0, 0, _ARCH),
        (_JUMP_EQUAL, 1, 0, kind.arch),
        refuse,
        (_LOAD, 0, 0, _NUMBER),
    ]
    if kind.has_x32:
        program += [(_JUMP_AT_LEAST, 0, 1, _X32_BIT), refuse]
    return [
        *program,
        (_JUMP_EQUAL, 0, 1, _IO_URING_SETUP),
        refuse,
        (_JUMP_EQUAL, 2, 0, kind.socket),
        (_JUMP_EQUAL, 1, 0, kind.socketpair),
        (_RETURN, 0, 0, _ALLOW),
        # The kernel takes the family as an int: the upper half of the argument is not looked at.
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_EQUAL, 0, 1, int(socket.AF_UNIX)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | errno.EACCES),
    ]


def limits_filter(kind: Machine) -> list[tuple[int, int, int, int]]:
    """prlimit64(2) is EPERM for any process but the caller, which is 0.

    Nothing else keeps a program from another one of its user: one whose CPU time is set to 0 is
    killed, a spawner with no descriptors starts nothing any more.
    """
    return [
        (_LOAD, 0, 0, _ARCH),
        (_JUMP_EQUAL, 0, 3, kind.arch),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_EQUAL, 4, 0, kind.prlimit),
        (_JUMP_EQUAL, 3, 2, _X32_BIT | kind.prlimit),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_EQUAL, 1, 0, kind.prlimit_32),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def available() -> bool:
    """Whether this kernel takes filters, and forkd knows one for this machine."""
    if machine(os.uname().machine, _POINTER_BITS) is None:
        return False
    # A filter at address 0 is EFAULT where the kernel would have read one, else EINVAL (prctl(2)).
    return _set_filter(None) == errno.EFAULT


def forbid_network() -> None:
    """Put the filter on this thread for good. Needs no_new_privs. Raises OSError."""
    prepared(network_filter)()


def prepared(make: Callable[[Machine], list[tuple[int, int, int, int]]]) -> Callable[[], None]:
    """What puts a filter on the thread that calls it, as `forbid_network`. Most of the work is done
    by then: it may be called for each program. Raises OSError."""
    kind = machine(os.uname().machine, _POINTER_BITS)
    if kind is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    instructions = make(kind)
    code = b"".join(_INSTRUCTION.pack(*instruction) for instruction in instructions)
    program = _Program(len(instructions), code)
    libc = ctypes.CDLL(None, use_errno=True)

    def put_on() -> None:
        if number := _set_filter(ctypes.byref(program), libc):
            raise OSError(number, os.strerror(number))

    return put_on


def _set_filter(program: object, libc: ctypes.CDLL | None = None) -> int:
    """The errno; 0 where it went well."""
    libc = libc or ctypes.CDLL(None, use_errno=True)
    mode = ctypes.c_ulong(_MODE_FILTER)
    zero = ctypes.c_ulong(0)
    if libc.prctl(ctypes.c_int(_PR_SET_SECCOMP), mode, program, zero, zero) == 0:
        return 0
    return ctypes.get_errno()
