"""One cgroup of a program, and how a spawner makes all that it will ever have."""

from __future__ import annotations

import logging
import os
import resource
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forkd.config.policy import SpawnPolicy
from forkd.errors import OperationError
from forkd.system import cgroups

log = logging.getLogger("forkd.spawner")

_ROUNDS: Final = 20
_PIECE: Final = 1 << 16
_MOST: Final = 128
_DESCRIPTORS_FOR_EACH: Final = 8
"""Of those that a process may have open: three are the cgroup's, one is the program's."""


@dataclass(slots=True, eq=False)
class Cgroup:
    """One, for one program at a time. The descriptors are open for good; -1: there is no such file.

    kill: cgroup.kill, since Linux 5.14. most: pids.max.
    """

    path: Path
    procs: int
    kill_switch: int = -1
    most: int = -1
    holds_us: bool = False
    """This process is in it, or may be."""

    @classmethod
    def make(cls, path: Path, *, counts: bool) -> Cgroup:
        """Raises OSError."""
        path.mkdir(exist_ok=True)
        return cls(
            path,
            os.open(path / "cgroup.procs", os.O_RDWR | os.O_CLOEXEC),
            _open(path / "cgroup.kill") if (path / "cgroup.kill").exists() else -1,
            _open(path / "pids.max") if counts else -1,
        )

    @property
    def descriptors(self) -> set[int]:
        return {self.procs, self.kill_switch, self.most} - {-1}

    def members(self) -> list[int]:
        """Pids of all who are in it, but not of this process."""
        # By the descriptor: to open the file costs more than all the rest that is done here.
        text = b""
        try:
            while piece := os.pread(self.procs, _PIECE, len(text)):
                text += piece
        except OSError:
            return []
        # Of a zombie it tells nothing; 0 is who lives in another pid namespace.
        return [pid for pid in map(int, text.split()) if pid not in (0, os.getpid())]

    def kill(self) -> None:
        """KILL for all who are in it, whoever they are."""
        if self.kill_switch >= 0 and not self.holds_us:
            try:
                os.write(self.kill_switch, b"1")
            except OSError as error:
                log.error("%s: cannot be killed: %s", self.path, error.strerror)
            return
        # One by one: who forks in between is there in the next round.
        for _ in range(_ROUNDS):
            members = self.members()
            for pid in members:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass  # gone, or a set-user-ID program
            if not members:
                return

    def limit(self, most: int) -> None:
        """Set how many processes and threads may be in it. Raises OSError."""
        if self.most >= 0:
            os.write(self.most, b"%d" % most)


@dataclass(frozen=True, slots=True)
class Made:
    """The cgroups of a spawner, as they are made at its start."""

    free: tuple[Cgroup, ...]
    kept: Cgroup
    """For what programs leave behind in good order."""
    home: int
    """cgroup.procs of the leaf: where the spawner is while no cgroup is free."""
    counts: bool
    """Whether they limit how many processes a program has."""

    @property
    def descriptors(self) -> set[int]:
        found = {self.home} | self.kept.descriptors
        return found.union(*(cgroup.descriptors for cgroup in self.free))


def cgroups_for(policy: SpawnPolicy, *, counts: bool) -> Made | None:
    """The cgroups for programs of a policy, made by whoever may; None where they have none.

    counts: limits.processes is a matter of theirs. Raises OperationError where it cannot be.
    """
    base = cgroups.delegated() if counts or policy.sandbox is not None else None
    if counts and (base is None or not cgroups.counts_pids(base)):
        raise OperationError("limits.processes: the cgroup that forkd was given is gone")
    if base is None:
        return None
    # In one the spawner waits for the next order, and some are those of programs just over.
    most = _MOST if policy.max_concurrent is None else min(_MOST, policy.max_concurrent + 3)
    try:
        return make_cgroups(base, most, counts=counts)
    except OSError as error:
        trouble = f"cannot make cgroups for programs in {base}: {error.strerror}"
        if counts:
            raise OperationError(trouble) from None
        log.warning("%s: they are ended without", trouble)
        return None


def make_cgroups(base: Path, most: int, *, counts: bool) -> Made:
    """Make up to most of them below base, which is delegated. To be called by whoever may.

    Raises OSError.
    """
    cgroups.sweep(base)
    own = base / f"{cgroups.PREFIX}{os.getpid()}"
    own.mkdir(exist_ok=True)  # of an earlier process with this pid: nobody is in it
    if counts:
        cgroups.count_pids(own)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    number = max(1, min(most, limit // _DESCRIPTORS_FOR_EACH))
    return Made(
        tuple(Cgroup.make(own / str(one), counts=counts) for one in range(number)),
        Cgroup.make(own / cgroups.KEPT, counts=counts),
        _open(base / cgroups.LEAF / "cgroup.procs"),
        counts,
    )


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CLOEXEC)
