"""How a worker learns that its host goes out of service."""

from __future__ import annotations

from forkd.scoreboard import Scoreboard, Service
from forkd.worker.service import ServiceWatch
from tests.unit.stepped import SteppedLoop


def watch(loop: SteppedLoop, scoreboard: Scoreboard) -> list[str]:
    seen: list[str] = []
    ServiceWatch(loop, scoreboard.slots[3], lambda: seen.append("out"), lambda: seen.append("back"))
    return seen


def test_each_change_is_told_once_and_within_a_second(loop: SteppedLoop) -> None:
    scoreboard = Scoreboard(4)
    seen = watch(loop, scoreboard)
    loop.pass_time(3)
    scoreboard.write_service(Service.LEAVING)
    loop.pass_time(3)
    assert seen == []
    scoreboard.write_service(Service.OUT)
    loop.pass_time(1.2)
    assert seen == ["out"]
    loop.pass_time(3)
    scoreboard.write_service(Service.IN)
    loop.pass_time(1.2)
    assert seen == ["out", "back"]


def test_a_worker_that_starts_meanwhile_knows_at_once(loop: SteppedLoop) -> None:
    scoreboard = Scoreboard(4)
    scoreboard.write_service(Service.OUT)
    assert watch(loop, scoreboard) == ["out"]
