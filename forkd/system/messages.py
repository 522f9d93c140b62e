"""Messages between processes of forkd: fields of bytes, and descriptors, over SOCK_SEQPACKET.

Fields are joined by NUL, which no path, argument or variable can hold. A message arrives whole or
not at all, whoever else writes to or reads from the same socket.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

MAX_SIZE = 1 << 18
MAX_DESCRIPTORS = 16
_CREDENTIALS = struct.Struct("=3i")
"""Pid, user and group of the sender (struct ucred, unix(7))."""
_SPACE_BESIDE_DATA = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(
    MAX_DESCRIPTORS * array.array("i").itemsize
)


@dataclass(frozen=True, slots=True)
class Message:
    """What came in one piece. Whoever receives it owns the descriptors."""

    fields: list[bytes]
    descriptors: list[int]
    is_cut: bool = False
    """There was no room for all descriptors, and the others are lost (recvmsg(2), MSG_CTRUNC)."""
    pid: int = 0
    """The sender's, as the kernel knows it; 0 where `tell_senders` was not called."""


def message_pair(buffer_size: int = 0) -> tuple[socket.socket, socket.socket]:
    """Two connected non-blocking ends; buffer_size is asked of the kernel for what waits in it."""
    # Said to socketpair(2): a call less for each end than to say it afterwards.
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    if buffer_size:
        for end in ends:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_size)
    return ends


def descriptor_pair() -> tuple[int, int]:
    """The same for those who say little on each pair: bare descriptors, for `tell` and `hear`."""
    ours, theirs = message_pair()
    return ours.detach(), theirs.detach()


def tell(fd: int, fields: Iterable[bytes]) -> None:
    """Send one small message. Raises OSError as `send` does."""
    os.write(fd, b"\0".join(fields))


def hear(fd: int, size: int) -> list[bytes] | None:
    """The fields of the next message of up to size bytes; None at the end.

    Raises OSError as `receive` does.
    """
    data = os.read(fd, size)
    return data.split(b"\0") if data else None


def copies_of(descriptors: Iterable[int]) -> list[int]:
    """Copies, for what is to be sent later than the caller keeps its own. Raises OSError, and then
    leaves nothing open."""
    copies: list[int] = []
    try:
        for descriptor in descriptors:
            copies.append(os.dup(descriptor))  # noqa: PERF401 what was made must be known at a fault
    except OSError:
        for copy in copies:
            os.close(copy)
        raise
    return copies


def tell_senders(sock: socket.socket) -> None:
    """Have the kernel say with each message that comes by sock who has sent it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)


def send(sock: socket.socket, fields: Iterable[bytes], descriptors: Iterable[int] = ()) -> None:
    """Send one message. Raises BlockingIOError where the receiver is behind, OSError if it is gone.

    EMSGSIZE for more than MAX_SIZE: the receiver would take the beginning for the whole.
    """
    data = b"\0".join(fields)
    if len(data) > MAX_SIZE:
        raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
    rights = array.array("i", descriptors)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else []
    sock.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)


def new_buffer() -> bytearray:
    """For `receive`: room for the largest message. To make room each time costs several times as
    much as all the rest."""
    return bytearray(MAX_SIZE)


def receive(sock: socket.socket, buffer: bytearray | None = None) -> Message | None:
    """The next message; None at the end (the other side is gone).

    buffer: for messages of up to its size, which may be used for many; left out, one is made.
    Raises BlockingIOError where there is none yet. Descriptors arrive close-on-exec.
    """
    if buffer is None:
        buffer = new_buffer()
    size, ancillary, flags, _ = sock.recvmsg_into(
        [buffer], _SPACE_BESIDE_DATA, socket.MSG_CMSG_CLOEXEC
    )
    data = bytes(memoryview(buffer)[:size])
    descriptors = array.array("i")
    pid = 0
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(value[: len(value) - len(value) % descriptors.itemsize])
        elif level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            pid, _, _ = _CREDENTIALS.unpack(value)
    if not data and not descriptors and not flags & socket.MSG_TRUNC:
        return None
    is_cut = bool(flags & socket.MSG_CTRUNC)
    return Message(data.split(b"\0"), list(descriptors), is_cut, pid)
