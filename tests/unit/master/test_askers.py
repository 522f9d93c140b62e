"""Who may give commands: told by the child of this process that the asker descends from."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from forkd.child import Kind, Pool
from forkd.config.policy import SpawnPolicy
from forkd.config.settings import Sandbox
from forkd.master.askers import Askers
from forkd.master.lifecycle import Child, State
from tests.unit.written import written

FREE = Pool(Kind.SPAWNER, SpawnPolicy())
HELD = Pool(Kind.SPAWNER, SpawnPolicy(sandbox=written(Sandbox)))
WORKER = Pool(Kind.WORKER)


@pytest.fixture
def pid() -> Iterator[int]:
    """Of a child of this process."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.communicate(b"\n")


def askers(*children: tuple[int, Pool], started: Pool = HELD) -> Askers:
    known = [
        Child(pool, 1, slot, pid, State.READY, 0.0, None)
        for slot, (pid, pool) in enumerate(children)
    ]
    made = Askers(lambda: known)
    for pool in (WORKER, started):
        made.started(pool)
    return made


def test_it_is_told_by_the_child_that_an_asker_descends_from(pid: int) -> None:
    assert askers((pid, FREE)).welcomes(pid)
    assert askers((pid, WORKER)).welcomes(pid)
    assert not askers((pid, HELD)).welcomes(pid)


def test_what_has_lost_its_spawner_may_be_of_a_sandbox_where_there_was_one(pid: int) -> None:
    assert not askers((pid + 1, FREE)).welcomes(pid)
    assert askers((pid + 1, FREE), started=FREE).welcomes(pid)


def test_who_was_not_started_here_may_and_who_is_gone_need_not() -> None:
    assert askers().welcomes(os.getppid())
    assert askers().welcomes(0)
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    assert not askers().welcomes(gone.pid)
