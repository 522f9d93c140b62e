"""Who descends from whom, by /proc (proc_pid_task(5), CONFIG_PROC_CHILDREN).

What is read may have changed by the time when it is used: these are for processes below the
caller, who reaps those that are left behind.
"""

from __future__ import annotations

import os

_TRIES = 5


def children(pid: int) -> list[int]:
    """The children of a process; none where it is gone or the kernel does not tell."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
        except OSError:
            pass
    return found


def descendants(pid: int) -> list[int]:
    """All that is below a process, each parent before its children."""
    found = children(pid)
    for one in found:
        found += children(one)  # the loop goes on with what is added
    return found


def has_in_environment(pid: int, variable: bytes) -> bool:
    """Whether a process was executed with `NAME=value` in its environment."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return variable in file.read().split(b"\0")
    except OSError:
        return False


def branch_of(pid: int, root: int) -> int | None:
    """The child of root that pid is, or descends from; None where pid is not below root.

    Raises ProcessLookupError where there is no such process any more.
    """
    seen: list[int] = []
    for _ in range(_TRIES):
        before, seen = seen, []
        one = pid
        while one > 1:
            seen.append(one)
            try:
                parent = _parent(one)
            except OSError:
                break  # it is gone, and its children have another parent; or it is hidden
            if parent == root:
                return one
            one = parent
        else:
            return None
        if one == pid:
            _check_there(pid)
        if seen == before:
            return None  # another user's, that is hidden (proc(5), hidepid): nothing below us is
    return None


def _check_there(pid: int) -> None:
    try:
        os.kill(pid, 0)
    except PermissionError:
        pass


def _parent(pid: int) -> int:
    """Raises OSError."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[1])
