"""The part of the cgroup tree that is forkd's own, where the system has delegated one (cgroups(7)).

Only version 2. What is not delegated is the service manager's, and is left alone.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

LEAF: Final = "forkd"
"""Where the master and its children are: a cgroup that gives its children controllers may hold no
process itself."""
PREFIX: Final = "cgi-"
"""Of the directory with the cgroups of a spawner's programs, before its pid."""
KEPT: Final = "left"
"""The one of them for what programs have left behind in good order."""

_MARKS: Final = ("user.delegate", "trusted.delegate")
"""systemd sets both to 1. The second one can be read with CAP_SYS_ADMIN only."""


def delegated() -> Path | None:
    """The cgroup below which this process may make others; None where there is none."""
    try:
        own = own_cgroup(
            Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text()
        )
    except OSError:
        return None
    return None if own is None else delegated_at(own)


def delegated_at(own: Path) -> Path | None:
    """The same for a process in the cgroup own."""
    # In the leaf is who was started by another master (an upgrade), or by systemd with
    # DelegateSubgroup=, which may name it otherwise.
    if own.name == LEAF and _is_delegated(own.parent):
        found = own.parent
    elif _is_delegated(own):
        found = own
    elif _is_marked(own.parent):
        found = own.parent
    else:
        return None
    # Delegated and not writable is what ProtectControlGroups= makes of it.
    return found if os.access(found, os.W_OK | os.X_OK) else None


def own_cgroup(membership: str, mounts: str) -> Path | None:
    """The directory of a process's cgroup by its /proc/PID/cgroup and /proc/PID/mountinfo; None for
    the root, and where no file system shows it."""
    paths = [line[3:] for line in membership.splitlines() if line.startswith("0::")]
    if not paths or paths[0] == "/" or paths[0].startswith("/.."):
        return None
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            root, point = map(_unescaped, before.split()[3:5])
            if root == "/" or paths[0].startswith(root + "/"):
                return Path(point + paths[0].removeprefix(root.rstrip("/")))
    return None


def settle(base: Path) -> None:
    """Move this process to the leaf, so that base holds none. Raises OSError."""
    leaf = base / LEAF
    leaf.mkdir(exist_ok=True)
    if str(os.getpid()) not in (leaf / "cgroup.procs").read_text().split():
        (leaf / "cgroup.procs").write_text("0")


def offers_pids(base: Path) -> bool:
    """Whether processes below base can be counted."""
    return _has_word(base / "cgroup.controllers", "pids")


def counts_pids(base: Path) -> bool:
    """Whether they are."""
    return _has_word(base / "cgroup.subtree_control", "pids")


def count_pids(base: Path) -> None:
    """From now on they are. Raises OSError: EBUSY where a process is in base itself."""
    if not counts_pids(base):
        (base / "cgroup.subtree_control").write_text("+pids")


def sweep(base: Path) -> None:
    """Remove the cgroups of spawners that are gone, and end what runs in them. What programs have
    left behind in good order stays.

    To be called before this process makes any: those with its pid are of an earlier one.
    """
    for entry in _directories(base):
        pid = entry.name.removeprefix(PREFIX)
        if entry.name.startswith(PREFIX) and pid.isdecimal() and not _is_other(int(pid)):
            for cgroup in _directories(entry):
                if not _is_removed(cgroup) and cgroup.name != KEPT:
                    _kill(cgroup)  # and the next sweep removes it
            _is_removed(entry)


def _directories(cgroup: Path) -> list[Path]:
    try:
        return [entry for entry in cgroup.iterdir() if entry.is_dir()]
    except OSError:
        return []


def _is_removed(cgroup: Path) -> bool:
    try:
        cgroup.rmdir()
    except OSError:
        return False
    return True


def _kill(cgroup: Path) -> None:
    try:
        (cgroup / "cgroup.kill").write_text("1")
    except OSError:
        pass


def _is_other(pid: int) -> bool:
    """Whether there is such a process, and it is not this one."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _is_delegated(cgroup: Path) -> bool:
    if _is_marked(cgroup):
        return True
    try:
        return os.geteuid() != 0 and cgroup.stat().st_uid == os.geteuid()
    except OSError:
        return False


def _is_marked(cgroup: Path) -> bool:
    for name in _MARKS:
        try:
            if os.getxattr(cgroup, name) == b"1":
                return True
        except OSError:
            pass
    return False


def _has_word(path: Path, word: str) -> bool:
    try:
        return word in path.read_text().split()
    except OSError:
        return False


def _unescaped(path: str) -> str:
    """Of a field of mountinfo (proc_pid_mountinfo(5)): a space is \\040."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)
