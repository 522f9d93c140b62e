"""When a reload or an upgrade is begun, when it has to wait, and when it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from forkd.channel import Word
from forkd.errors import OperationError
from forkd.master.course import Mode
from forkd.master.lifecycle import State
from tests.unit.master.assembled import Assembled, assembled

READS = "reader: begins"
RELOADING = "systemd: RELOADING=1"
READY = "systemd: READY=1"
STARTS = "new master: begins"
BROKEN = OperationError("forkd.yaml:3: no such key: lisen\nforkd.yaml:7: no such key: sits")


def complete(master: Assembled) -> None:
    """The reader is done, all come up, and those of before accept no more."""
    master.read()
    master.all_come_up()
    for slot in master.of_state(State.DRAINING):
        master.supervisor.say(slot, Word.DRAINING)


def reloads_told(master: Assembled) -> list[tuple[object, object]]:
    """Whether each was a success, and the generation that served after it, as in status."""
    told = master.figures.history.figures()["reloads"]
    assert isinstance(told, list)
    return [(one["ok"], one["generation"]) for one in told]


def test_the_manager_is_told_when_a_reload_begins_and_when_it_is_over(master: Assembled) -> None:
    master.reload("reload")
    assert master.noted() == [RELOADING, READS]
    assert master.mode() is Mode.RELOADING
    complete(master)
    assert master.noted("systemd", "reload") == ["reload: ok", READY]
    assert reloads_told(master) == [(True, 2)]


def test_a_reload_that_fails_is_over_too_and_every_reason_is_told(master: Assembled) -> None:
    master.reload("reload")
    master.noted()
    master.read(BROKEN)
    # Without READY systemd would wait for it until the reload has timed out.
    first, second = str(BROKEN).splitlines()
    assert master.noted() == [f"reload: {first}; {second}", READY]
    assert master.systemd.shown.startswith(f"The last reload failed: {first}; 2 workers")
    assert master.mode() is Mode.RUNNING
    assert reloads_told(master) == [(False, 1)]
    assert master.of_state(State.READY) == [0, 1]


def test_a_start_is_no_reload(tmp_path: Path) -> None:
    with assembled(tmp_path) as master:
        master.serve()
        assert reloads_told(master) == []
        assert master.reloader.last is None


def test_a_reload_that_is_asked_for_during_the_start_comes_after_it(tmp_path: Path) -> None:
    with assembled(tmp_path) as master:
        master.begin()
        master.reload("reload")
        assert READS not in master.journal
        master.all_come_up()
        assert master.noted("reader", "systemd", "reload") == [READY, RELOADING, READS]
        complete(master)
        assert master.noted("reload") == ["reload: ok"]


def test_all_that_are_asked_for_during_a_reload_are_one_more(master: Assembled) -> None:
    for asker in ("first", "second", "third"):
        master.reload(asker)
    master.noted()
    complete(master)
    assert master.noted("first", "second", "third", "reader") == ["first: ok", READS]
    complete(master)
    assert master.noted("first", "second", "third", "reader") == ["second: ok", "third: ok"]
    assert reloads_told(master) == [(True, 2), (True, 3)]


def test_one_that_waits_for_another_is_begun_also_when_that_fails(master: Assembled) -> None:
    master.reload("first")
    master.reload("second")
    master.noted()
    master.read(BROKEN)
    assert master.noted("systemd", "reader") == [READY, RELOADING, READS]


def test_one_that_waits_does_not_begin_where_a_stop_comes_first(master: Assembled) -> None:
    master.reload("first")
    master.reload("second")
    master.noted()
    # In one turn of the loop: the first is over, and then somebody stops forkd.
    master.reloader.found(BROKEN)
    master.ending.begin([])
    master.loop.settle()
    assert master.noted("second", "reader") == ["second: forkd is stopping"]


def test_neither_is_begun_while_the_other_one_is_under_way(master: Assembled) -> None:
    master.renewal.upgrade([master.reply("upgrade")])
    master.reload("reload")
    assert master.noted() == [STARTS, "reload: an upgrade is under way"]
    assert master.mode() is Mode.RUNNING
    master.upgrades.ended("it does not work")
    master.reload("reload")
    assert master.noted() == ["upgrade: it does not work", RELOADING, READS]
    master.renewal.upgrade([master.reply("upgrade")])
    assert master.noted() == ["upgrade: a reload is under way"]
    complete(master)
    master.renewal.upgrade([master.reply("upgrade")])
    assert master.noted(STARTS, "upgrade") == [STARTS]


def test_no_upgrade_while_workers_of_before_may_accept(master: Assembled) -> None:
    master.reload()
    master.read()
    master.all_come_up()
    master.noted()
    master.renewal.upgrade([master.reply("upgrade")])
    assert master.noted() == ["upgrade: a reload is under way"]


def test_no_upgrade_before_anything_serves(tmp_path: Path) -> None:
    with assembled(tmp_path) as master:
        master.begin()
        master.renewal.upgrade([master.reply("upgrade")])
        assert STARTS not in master.journal
        assert master.noted("upgrade") != []


def test_once_forkd_stops_neither_is_begun(master: Assembled) -> None:
    master.stop()
    master.noted()
    master.reload("reload")
    master.renewal.upgrade([master.reply("upgrade")])
    refused = "forkd is stopping"
    assert master.noted() == [f"reload: {refused}", f"upgrade: {refused}"]


def test_a_change_that_all_workers_tell_of_is_one_reload(master: Assembled) -> None:
    for slot in (0, 1):
        master.supervisor.say(slot, Word.CHANGED, "/srv/app.py")
    assert master.noted() == [RELOADING, READS]
    complete(master)
    assert READS not in master.noted()


def test_those_that_leave_are_not_listened_to(master: Assembled) -> None:
    master.reload()
    complete(master)
    master.noted()
    for slot in master.of_generation(1):
        master.supervisor.say(slot, Word.CHANGED, "/srv/app.py")
    assert master.noted() == []


def test_when_the_new_generation_fails_the_old_one_has_noticed_nothing(master: Assembled) -> None:
    before = dict(master.supervisor.children)
    master.reload("reload")
    master.read()
    master.supervisor.say(2, Word.READY)
    master.supervisor.say(3, Word.FAILED, "no module named app")
    master.noted()
    master.supervisor.end(3, status=1 << 8)
    assert master.noted() == ["reload: no module named app", READY, "worker 2 gen 2: drain"]
    master.supervisor.end(2)
    assert master.supervisor.children == before
    assert reloads_told(master) == [(False, 1)]


@pytest.mark.parametrize("slot", [0, 2], ids=["one of before", "the canary"])
def test_a_change_during_a_reload_is_one_more(master: Assembled, slot: int) -> None:
    """Told of by who has told of one before, or by who has imported the file already."""
    for worker in (0, 1):
        master.supervisor.say(worker, Word.CHANGED, "/srv/app.py")
    master.read()
    master.supervisor.say(slot, Word.CHANGED, "/srv/app.py")
    master.noted()
    master.all_come_up()
    for old in master.of_state(State.DRAINING):
        master.supervisor.say(old, Word.DRAINING)
    assert master.noted("reader") == ["reader: begins"]
