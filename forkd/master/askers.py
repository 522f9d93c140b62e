"""Who may give commands on the control socket: the programs of a sandbox may not.

The socket's mode lets in whoever is the same user, and a path is nothing that a sandbox can hide.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from forkd.child import Pool
from forkd.master.lifecycle import Child
from forkd.system.process_tree import branch_of


class Askers:
    """Tells them by the child of this master that they descend from."""

    def __init__(self, children: Callable[[], Iterable[Child]]) -> None:
        self._children = children
        self._had_sandbox = False

    def started(self, pool: Pool) -> None:
        """A child of this pool is about to be there."""
        self._had_sandbox = self._had_sandbox or _is_sandboxed(pool)

    def welcomes(self, pid: int) -> bool:
        """Whether the process that has connected may give commands. 0: it is not known."""
        if not pid or not self._had_sandbox:
            return True  # in another PID namespace is nothing that was started here
        try:
            branch = branch_of(pid, os.getpid())
        except ProcessLookupError:
            return False  # nobody waits for an answer
        if branch is None:
            return True
        for child in self._children():
            if child.pid == branch:
                return not _is_sandboxed(child.pool)
        return False  # it has lost its spawner, and which one that was is not known any more


def _is_sandboxed(pool: Pool) -> bool:
    return pool.policy is not None and pool.policy.sandbox is not None
