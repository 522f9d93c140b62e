"""What the service manager is told, and when: stages, patience, the watchdog."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forkd.child import Kind, Pool
from forkd.config.settings import Workers
from forkd.loop.loop import Loop
from forkd.master.generation import WORKERS
from forkd.master.lifecycle import KILL_GRACE_S, Child, Pressure, State
from forkd.master.service import ServiceManager, Vitals, patience_s, vitals
from forkd.system.systemd import Given, Notifier
from tests.system.manager import Manager, manager
from tests.unit.written import written

WELL = Vitals(wanted=True, last_tick=1e12, patience_s=5.0)


class Scene:
    """A service manager, and forkd as a test wants it."""

    def __init__(self, systemd: Manager, *, speaks: bool, watchdog_s: float | None = None) -> None:
        self.loop = Loop()
        self.systemd = systemd
        self.vitals = WELL
        self.notifier = Notifier(str(systemd.path))
        given = Given(self.notifier, watchdog_s=watchdog_s)
        self.forkd = ServiceManager(self.loop, given, lambda: self.vitals, speaks=speaks)
        self._read = 0

    def said(self) -> list[str]:
        """The datagrams since the last time, STATUS left out where it is not alone."""
        assert self.notifier.barrier(20), "it has read all that was said"
        new = self.systemd.log[self._read : -1]
        self._read = len(self.systemd.log)
        return [
            one["STATUS"] if one.keys() == {"STATUS"} else "=".join(next(iter(one.items())))
            for one in new
        ]

    def pass_time(self, seconds: float) -> None:
        """In steps of the loop, as it would turn."""
        for _ in range(round(seconds * 10)):
            self.loop.now += 0.1
            self.loop.timers.fire(self.loop.now)

    def end(self) -> None:
        self.notifier.close()
        self.loop.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Manager]:
    with manager(tmp_path) as made:
        yield made


@contextmanager
def on(systemd: Manager, **options: Any) -> Iterator[Scene]:
    made = Scene(systemd, **options)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def scene(systemd: Manager) -> Iterator[Scene]:
    with on(systemd, speaks=True) as made:
        yield made


@pytest.fixture
def watched(systemd: Manager) -> Iterator[Scene]:
    with on(systemd, speaks=True, watchdog_s=2.0) as made:
        yield made


def child(state: State, deadline: float | None, pressure: Pressure = Pressure.NONE) -> Child:
    return Child(WORKERS, 1, 0, 4711, state, 0.0, deadline, pressure)


def test_a_whole_life(scene: Scene) -> None:
    forkd = scene.forkd
    booting, draining = child(State.STARTING, 130.0), child(State.DRAINING, 120.0)
    forkd.look("0 workers", [booting], 100.0)
    assert scene.said() == ["EXTEND_TIMEOUT_USEC=10000000"]
    forkd.ready("2 workers")
    forkd.look("2 workers", [booting], 101.0)
    forkd.look("3 workers", [], 102.0)
    forkd.look("3 workers", [], 103.0)
    assert scene.said() == ["READY=1", "3 workers"], "what is known is not told again"
    forkd.reloading()
    forkd.look("3 workers", [draining], 104.0)
    forkd.look("3 workers", [booting], 105.0)
    forkd.ready("4 workers")
    assert scene.said() == ["RELOADING=1", "EXTEND_TIMEOUT_USEC=10000000", "READY=1"]
    forkd.stopping("Draining")
    forkd.look("1 workers", [draining], 116.0)
    assert scene.said() == [
        "STOPPING=1",
        f"EXTEND_TIMEOUT_USEC={4 + KILL_GRACE_S:.0f}000000",
        "Draining: 1 workers",
    ]


def test_a_reload_that_failed_is_told_until_one_succeeds(scene: Scene) -> None:
    forkd = scene.forkd
    forkd.ready("2 workers")
    forkd.reloading()
    forkd.ready("2 workers", "no such file")
    forkd.look("3 workers", [], 100.0)
    failed = "The last reload failed: no such file; "
    assert scene.said()[-1] == f"{failed}3 workers"
    assert scene.systemd.log[2]["STATUS"] == f"{failed}2 workers"
    forkd.reloading()
    forkd.ready("2 workers")
    forkd.look("3 workers", [], 101.0)
    assert scene.said() == ["RELOADING=1", "READY=1", "3 workers"]


def test_a_stop_is_final(scene: Scene) -> None:
    forkd = scene.forkd
    forkd.ready("2 workers")
    forkd.stopping("Draining")
    forkd.ready("2 workers")
    forkd.reloading()
    forkd.stopping("Stopping at once")
    assert scene.said() == ["READY=1", "STOPPING=1"]


def test_at_an_upgrade_the_old_master_is_silent_after_the_new_ones_pid(systemd: Manager) -> None:
    with (
        on(systemd, speaks=True, watchdog_s=10.0) as old,
        on(systemd, speaks=False, watchdog_s=10.0) as new,
    ):
        an_upgrade(old, new)


def an_upgrade(old: Scene, new: Scene) -> None:
    old.forkd.ready("old")
    new.forkd.look("new", [child(State.STARTING, 1e12)], 100.0)
    new.forkd.ready("new")
    new.pass_time(20)
    assert old.said() == ["READY=1", "WATCHDOG=1"]
    old.forkd.hand_over(4711)
    old.forkd.stopping("Draining")
    old.forkd.look("old", [child(State.DRAINING, 1e12)], 101.0)
    old.pass_time(20)
    new.forkd.take_over("new")
    new.forkd.look("newer", [], 102.0)
    assert old.said() == ["MAINPID=4711", "READY=1", "WATCHDOG=1", "newer"]


@pytest.mark.parametrize(
    ("children", "seconds"),
    [
        ([], 0.0),
        ([child(State.READY, None)], 0.0),
        ([child(State.STARTING, 105.0)], 5.0 + KILL_GRACE_S),
        ([child(State.STARTING, 105.0), child(State.STARTING, 103.0)], 5.0 + KILL_GRACE_S),
        ([child(State.STARTING, 900.0)], 10.0),
        ([child(State.DRAINING, 105.0)], 0.0),
        ([child(State.STARTING, 90.0)], 0.0),
        ([child(State.STARTING, 101.0, Pressure.ASKED)], 1.0 + KILL_GRACE_S),
        ([child(State.STARTING, 101.0, Pressure.KILLED)], 0.0),
    ],
)
def test_patience_is_asked_for_no_longer_than_it_may_take(
    children: list[Child], seconds: float
) -> None:
    assert patience_s(children, (State.STARTING,), 100.0) == seconds


def test_the_watchdog_is_fed_at_half_of_its_time(watched: Scene) -> None:
    watched.pass_time(10)
    assert watched.said() == [], "it watches from READY on"
    watched.forkd.ready("2 workers")
    watched.pass_time(4.8)
    # At once and after 1, 2, 3 and 4 seconds, each late by a tick or two of the wheel at most.
    assert watched.said() == ["READY=1", *["WATCHDOG=1"] * 5]
    watched.forkd.stopping("Draining")
    watched.pass_time(1.2)
    assert watched.said() == ["STOPPING=1", "WATCHDOG=1"], "a stop may outlast the watchdog"


def test_a_pool_that_stands_still_for_too_long_ends_the_pings(watched: Scene) -> None:
    watched.vitals = replace(WELL, last_tick=watched.loop.now)
    watched.forkd.ready("2 workers")
    watched.pass_time(4.8)
    assert watched.said() == ["READY=1", *["WATCHDOG=1"] * 5]
    watched.pass_time(0.5)
    watched.said()
    watched.pass_time(10)
    assert watched.said() == []
    # Workers that are at work again, or that nobody wants, are no reason to be ended.
    watched.vitals = replace(WELL, last_tick=watched.loop.now)
    watched.pass_time(2)
    assert set(watched.said()) == {"WATCHDOG=1"}
    watched.vitals = Vitals(wanted=False, last_tick=0.0, patience_s=5.0)
    watched.pass_time(12)
    assert len(watched.said()) >= 10


def test_without_a_watchdog_there_are_no_pings(scene: Scene) -> None:
    scene.forkd.ready("2 workers")
    scene.pass_time(60)
    assert scene.said() == ["READY=1"]


def test_the_vitals_are_those_of_the_liveliest_worker_that_serves() -> None:
    settings = written(Workers, hang_timeout="15s", boot_timeout="30s")
    ticks = {1: 50.0, 2: 70.0, 3: 90.0, 4: 95.0}
    children = [
        replace(child(State.READY, None), slot=1),
        replace(child(State.RETIRING, None), slot=2),
        replace(child(State.STARTING, None), slot=3),
        replace(child(State.READY, None), slot=4, pool=Pool(Kind.SPAWNER)),
    ]
    found = vitals(children, lambda one: ticks[one.slot], {(1, WORKERS): 2}, settings)
    assert (found.wanted, found.last_tick) == (True, 70.0)
    # The master's own remedies come first: it looks, kills, and starts others.
    assert found.patience_s > 15 + 30
    for counts in ({}, {(1, WORKERS): 0}, {(1, Pool(Kind.SPAWNER)): 2}):
        assert not vitals(children, lambda one: ticks[one.slot], counts, settings).wanted
    assert vitals([], lambda one: ticks[one.slot], {(1, WORKERS): 2}, settings).last_tick == 0.0
