"""`forkd drain` in the master: the steps, and who waits for them."""

from __future__ import annotations

from forkd.master.answers import Answers
from forkd.master.outage import Outage
from forkd.scoreboard import Scoreboard, Service
from tests.unit.stepped import SteppedLoop


class Site:
    """A master's part in it; `connections` is what the workers have."""

    def __init__(self, loop: SteppedLoop) -> None:
        self.connections = 0
        self.scoreboard = Scoreboard(2)
        self.outage = Outage(loop, self.scoreboard, lambda: self.connections)
        self.told: list[dict[str, object]] = []

    @property
    def seen(self) -> Service:
        """What a worker reads."""
        return self.scoreboard.slots[1].service


def test_after_the_grace_nothing_is_accepted(loop: SteppedLoop) -> None:
    site = Site(loop)
    site.outage.begin(10.0, [])
    assert (site.seen, site.outage.service) == (Service.LEAVING, Service.LEAVING)
    loop.pass_time(9.5)
    assert site.seen is Service.LEAVING
    loop.pass_time(1)
    assert (site.seen, site.outage.service) == (Service.OUT, Service.OUT)


def test_undo_works_at_either_step(loop: SteppedLoop) -> None:
    site = Site(loop)
    for passed in (1.0, 5.0):
        site.outage.begin(2.0, [])
        loop.pass_time(passed)
        site.outage.end()
        assert site.seen is Service.IN
        loop.pass_time(5)
        assert site.seen is Service.IN


def test_the_grace_can_be_changed_under_way(loop: SteppedLoop) -> None:
    site = Site(loop)
    site.outage.begin(60.0, [])
    site.outage.begin(0.0, [])
    loop.pass_time(0.3)
    assert site.seen is Service.OUT
    site.outage.begin(60.0, [])
    assert site.seen is Service.OUT


def test_who_waits_is_told_when_the_last_connection_is_gone(loop: SteppedLoop) -> None:
    site = Site(loop)
    site.connections = 2
    site.outage.begin(1.0, [site.told.append])
    loop.pass_time(5)
    assert site.told == []
    site.connections = 0
    loop.pass_time(1)
    assert site.told == [{"ok": True}]
    loop.pass_time(5)
    assert len(site.told) == 1


def test_without_connections_the_grace_is_waited_for(loop: SteppedLoop) -> None:
    site = Site(loop)
    site.outage.begin(2.0, [site.told.append])
    loop.pass_time(1.5)
    assert site.told == []
    loop.pass_time(1.5)
    assert site.told == [{"ok": True}]


def test_undo_tells_those_who_wait_that_it_came_to_nothing(loop: SteppedLoop) -> None:
    site = Site(loop)
    site.outage.begin(2.0, [site.told.append])
    site.outage.end()
    assert [one["ok"] for one in site.told] == [False]
    loop.pass_time(5)
    assert len(site.told) == 1


def test_many_questions_are_answered_by_one(loop: SteppedLoop) -> None:
    made: list[float] = []

    def status() -> dict[str, object]:
        made.append(loop.now)
        return {"number": len(made)}

    answers = Answers(loop, {"status": status})
    assert {answers.about("status") for _ in range(20)} == {b'{"number": 1}'}
    loop.now += 0.21
    assert {answers.about("status") for _ in range(20)} == {b'{"number": 2}'}
