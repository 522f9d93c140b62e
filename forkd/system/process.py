"""Attributes of this process that only prctl(2) can set, and what /proc says of any process."""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    # prctl(2) takes unsigned long; unused arguments of PR_SET_NO_NEW_PRIVS must be 0.
    arguments = [ctypes.c_ulong(number) for number in (value, 0, 0, 0)]
    if libc.prctl(ctypes.c_int(option), *arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def die_with_parent(parent: int, signum: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send signum when the parent dies; leave at once where it died already.

    To be called after the last change of credentials: that clears the setting (prctl(2),
    PR_SET_PDEATHSIG). The comparison closes the race with a parent that died before the call.
    """
    _prctl(_PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        os._exit(0)


def adopt_orphans() -> None:
    """Become the parent of whoever is left behind by a process below this one (prctl(2),
    PR_SET_CHILD_SUBREAPER)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def await_end(pid: int, timeout_s: float) -> bool:
    """Wait until a process is over, which need be no child of ours; False where it takes longer.

    By then its children have their new parent: the kernel sees to that before it tells of the end
    (pidfd_open(2)).
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))
    finally:
        os.close(descriptor)


def forbid_new_privileges() -> None:
    """No execve(2) from here on gains rights: set-user-ID bits and file capabilities are void."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def has_terminal() -> bool:
    """Whether this process has a controlling terminal (tty(4))."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def pss_bytes(pid: int) -> int | None:
    """Proportional set size in bytes; None where the process is gone or may not be read."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def raise_descriptor_limit() -> int:
    """Open files up to the hard limit; gives the number. No right is needed for that.

    Only for a process with many connections: programs, which are started elsewhere, keep the soft
    limit that they expect.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def close_descriptors_except(keep: set[int]) -> None:
    """Close every descriptor of this process above 2 that is not in keep.

    For forked children: what the parent had open is not theirs.
    """
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        if number > 2 and number not in keep:
            try:
                os.close(number)
            except OSError:
                pass  # the descriptor of the listing itself
