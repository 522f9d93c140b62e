"""Deaths and reloads that are told of later."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest

from forkd.master.death import Death
from forkd.master.history import History
from forkd.master.lifecycle import State
from forkd.master.status import LastReload
from tests.unit.master.test_lifecycle import SPAWNERS, child


def death(state: State = State.READY, status: int = 0, **more: object) -> Death:
    return replace(Death(child(1, state), status, (), "", None), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        (death(status=signal.SIGKILL), "SIGKILL"),
        (death(status=signal.SIGSEGV), "SIGSEGV"),
        (death(status=signal.SIGRTMIN + 3), f"signal {signal.SIGRTMIN + 3}"),
        (death(status=3 << 8), "exit 3"),
        (death(), "exit 0"),
        (death(State.STARTING, 1 << 8, reasons=("no module named x",)), "failed to start"),
        (death(State.STARTING, signal.SIGABRT, killed_for="not ready"), "boot_timeout"),
        (death(State.READY, signal.SIGABRT, killed_for="stands still"), "hang_timeout"),
        (death(State.RETIRING, signal.SIGABRT, killed_for="stands still"), "hang_timeout"),
        (death(State.DRAINING, signal.SIGKILL, killed_for="not done"), "shutdown_timeout"),
    ],
)
def test_the_causes_of_deaths_are_few_words(found: Death, cause: str) -> None:
    assert found.cause == cause
    assert os.linesep not in found.reason


def test_deaths_of_workers_are_counted_by_cause_beyond_the_last_ones() -> None:
    history = History()
    for _ in range(30):
        history.note_death(death(status=signal.SIGKILL), 1.0)
    history.note_death(death(status=1 << 8), 1.0)
    spawner = Death(child(2, pool=SPAWNERS), signal.SIGKILL, (), "", None)
    history.note_death(spawner, 1.0)
    assert history.death_counts == {"SIGKILL": 30, "exit 1": 1}
    kept = history.figures()["deaths"]
    assert isinstance(kept, list)
    assert (len(kept), kept[-1]["kind"]) == (20, "spawner")


def test_reloads_are_counted_by_result() -> None:
    history = History()
    assert history.reload_counts == {"success": 0, "failure": 0}
    for ok in (True, False, False):
        history.note_reload(LastReload(1.0, ok), 2)
    assert history.reload_counts == {"success": 1, "failure": 2}
