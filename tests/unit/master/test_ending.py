"""How the master ends: what is said to whom, in which order, and what it gives up."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from forkd.channel import Word
from forkd.master.course import Mode
from forkd.master.lifecycle import State
from tests.unit.master.assembled import Assembled, assembled
from tests.unit.master.stand_ins import ENDS, NEW_MASTER
from tests.unit.master.test_lifecycle import SPAWNERS, child

STOPPING = "systemd: STOPPING=1"
TOLD = ["worker 0 gen 1: stop", "worker 1 gen 1: stop"]


def test_the_manager_hears_of_a_stop_first_and_who_asked_when_nobody_is_left(
    master: Assembled,
) -> None:
    master.stop("stop")
    assert master.noted() == [STOPPING, *TOLD]
    master.supervisor.end(0)
    assert master.noted() == [], "one still finishes its requests"
    master.supervisor.end(1)
    assert master.noted() == ["stop: ok", ENDS]
    assert master.ending.failure is None, "a stop that was asked for is a success"


def test_a_second_stop_hurries_nobody_and_who_asks_for_it_is_told_as_well(
    master: Assembled,
) -> None:
    master.stop("first")
    master.noted()
    master.stop("second")
    assert master.noted() == [], "neither the workers nor the manager are told twice"
    for slot in (0, 1):
        master.supervisor.end(slot)
    assert master.noted() == ["first: ok", "second: ok", ENDS]


@pytest.mark.parametrize("drains", [False, True], ids=["serving", "draining"])
def test_a_stop_at_once_has_all_leave_and_waits_a_moment_for_who_does_not(
    master: Assembled, drains: bool
) -> None:
    if drains:
        master.stop("stop")
        assert master.noted() == [STOPPING, *TOLD]
    with_a_spawner(master)
    hurry(master)
    told = master.noted()
    hurried = ["worker 0 gen 1: SIGQUIT", "worker 1 gen 1: SIGQUIT", "spawner 9 gen 1: SIGQUIT"]
    assert told[: 4 - drains] == [*([] if drains else [STOPPING]), *hurried]
    assert master.mode() is Mode.STOPPING
    master.supervisor.end(1)
    assert ENDS not in master.noted()
    master.loop.pass_time(1)
    # A spawner has programs to end, which KILL would leave behind.
    assert master.noted() == ["worker 0 gen 1: SIGKILL", "spawner 9 gen 1: SIGQUIT", ENDS]
    assert master.supervisor.children.keys() == {0, 9}, "nobody is waited for any more"
    del master.supervisor.children[9]


def test_where_all_leave_at_once_forkd_ends_with_the_last_one(master: Assembled) -> None:
    hurry(master)
    master.stop("stop")
    master.noted()
    master.supervisor.end(0)
    master.supervisor.end(1)
    assert master.noted() == ["stop: ok", ENDS]


def test_who_stops_at_once_for_a_second_time_has_no_moment_to_spare(master: Assembled) -> None:
    hurry(master)
    master.noted()
    master.ending.at_once()
    assert master.noted() == ["worker 0 gen 1: SIGKILL", "worker 1 gen 1: SIGKILL", ENDS]


def test_a_stop_after_one_at_once_does_not_slow_it_down(master: Assembled) -> None:
    hurry(master)
    master.stop()
    master.noted()
    master.loop.pass_time(1)
    assert master.noted() == ["worker 0 gen 1: SIGKILL", "worker 1 gen 1: SIGKILL", ENDS]


def with_a_spawner(master: Assembled) -> None:
    """One is in the table, which has no channel."""
    deadline = master.loop.now + 60
    one = child(9, State.DRAINING, pool=SPAWNERS, deadline=deadline)
    master.supervisor.children[9] = one


def hurry(master: Assembled) -> None:
    """QUIT, or INT again."""
    master.ending.at_once()
    master.loop.settle()


@pytest.mark.parametrize("at_once", [False, True])
def test_a_stop_while_the_file_is_read_ends_the_reload_and_says_so(
    master: Assembled, at_once: bool
) -> None:
    master.reload("reload")
    master.reload("another")
    master.noted()
    if at_once:
        hurry(master)
    else:
        master.stop()
    gone = ["reader: given up", "another: forkd is stopping", "reload: forkd is stopping"]
    assert master.noted()[:4] == [*gone, STOPPING]
    master.supervisor.end(0)
    assert master.noted("worker 0") == [], "nobody takes its place"


def test_a_stop_takes_the_generation_that_is_coming_along(master: Assembled) -> None:
    master.reload("reload")
    master.read()
    master.noted()
    master.stop("stop")
    assert master.noted() == [
        *("reload: forkd is stopping", STOPPING, *TOLD),
        *("worker 2 gen 2: stop", "worker 2 gen 2: SIGTERM"),
    ]
    # One that says so at this moment is not filled up, and nobody hears READY.
    master.supervisor.say(2, Word.READY)
    assert master.noted() == []
    # By the signal: that is no failure of a generation any more.
    master.supervisor.end(2, status=signal.SIGTERM)
    assert master.noted() == []
    assert master.figures.history.reload_counts["failure"] == 0
    assert master.ending.failure is None


def test_a_reload_that_waits_only_for_the_old_workers_was_one_for_who_asked(
    master: Assembled,
) -> None:
    master.reload("reload")
    master.read()
    master.all_come_up()
    assert master.of_state(State.DRAINING) == [0, 1], "and they may still accept"
    master.noted()
    master.stop()
    assert master.noted() == [
        *("reload: ok", STOPPING),
        *("worker 2 gen 2: stop", "worker 3 gen 2: stop"),
    ]
    master.loop.pass_time(2)
    assert master.noted("systemd", "reload") == [], "after STOPPING nobody says READY"


@pytest.mark.parametrize("at_once", [False, True])
def test_a_stop_in_an_upgrade_ends_the_new_master(master: Assembled, at_once: bool) -> None:
    master.renewal.upgrade([master.reply("upgrade")])
    master.noted()
    if at_once:
        hurry(master)
    else:
        master.stop()
    begun = master.noted()
    assert begun[:3] == ["new master: killed", "upgrade: forkd is stopping", STOPPING]
    assert not any("MAINPID" in line for line in begun)


def test_after_an_upgrade_the_workers_leave_to_others_and_the_manager_hears_nothing_more(
    master: Assembled,
) -> None:
    master.renewal.upgrade([master.reply("upgrade")])
    master.noted()
    master.upgrades.ended()
    master.loop.settle()
    # DRAIN and not STOP: connections that are idle are served until the other one has them.
    assert master.noted() == [
        *("upgrade: ok", f"systemd: MAINPID={NEW_MASTER}"),
        *("worker 0 gen 1: drain", "worker 1 gen 1: drain"),
    ]
    master.stop("stop")
    assert master.noted() == [], "TERM to the old master changes nothing"
    master.supervisor.end(0)
    master.supervisor.end(1)
    assert master.noted() == ["stop: ok", ENDS]
    master.listeners.close_all()
    assert (master.directory / "listen").is_socket(), "it is the other one's now"


def test_after_a_stop_the_file_of_a_listener_is_gone(master: Assembled) -> None:
    master.stop()
    master.listeners.close_all()
    assert not (master.directory / "listen").exists()


def test_a_stop_at_the_start_is_no_failure(tmp_path: Path) -> None:
    with assembled(tmp_path) as master:
        master.begin()
        master.reload("reload")
        master.noted()
        master.stop("stop")
        assert master.noted() == [
            *("reload: forkd is stopping", STOPPING),
            *("worker 0 gen 1: stop", "worker 0 gen 1: SIGTERM"),
        ]
        master.supervisor.end(0, status=signal.SIGTERM)
        assert master.noted() == ["stop: ok", ENDS]
        assert master.ending.failure is None


def test_a_start_that_fails_ends_with_the_reasons_and_takes_the_others_along(
    tmp_path: Path,
) -> None:
    with assembled(tmp_path, "workers: {count: 3}\n") as master:
        master.begin()
        master.reload("reload")
        master.supervisor.say(0, Word.READY)
        master.supervisor.say(2, Word.FAILED, "no module named app", "is it installed?")
        master.noted()
        master.supervisor.end(2, status=1 << 8)
        assert master.noted() == [
            *("reload: forkd is stopping", STOPPING, "worker 0 gen 1: stop"),
            *("worker 1 gen 1: stop", "worker 1 gen 1: SIGTERM"),
        ]
        master.supervisor.end(1, status=signal.SIGTERM)
        master.supervisor.end(0)
        assert master.noted() == [ENDS], "it never said READY"
        assert str(master.ending.failure) == "no module named app\nis it installed?"


def test_who_waits_for_a_stop_is_answered_once(master: Assembled) -> None:
    master.stop("stop")
    master.noted()
    master.supervisor.end(0, 1)
    assert master.noted() == ["stop: ok", ENDS]
