"""The step in which every event ends: when a generation serves, and what time brings about."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from forkd.channel import Word
from forkd.master.course import Mode
from forkd.master.lifecycle import KILL_GRACE_S, State
from tests.unit.master.assembled import Assembled, assembled
from tests.unit.master.stand_ins import ENDS

GOES_ON = "whoever started forkd: goes on"
READY = "systemd: READY=1"
NO_MORE = "cannot fork: Resource temporarily unavailable"


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Assembled]:
    """Nothing has happened yet."""
    with assembled(tmp_path) as made:
        yield made


@pytest.fixture
def master(fresh: Assembled) -> Assembled:
    """Two workers serve, in slots 0 and 1."""
    fresh.serve()
    return fresh


def test_a_start_is_one_worker_then_all_and_only_then_is_it_told(fresh: Assembled) -> None:
    fresh.begin()
    assert fresh.noted() == ["worker 0 gen 1: forked"]
    fresh.supervisor.say(0, Word.READY)
    assert fresh.noted() == ["worker 1 gen 1: forked"]
    assert fresh.mode() is Mode.STARTING
    fresh.supervisor.say(1, Word.READY)
    assert fresh.noted() == [GOES_ON, READY]
    assert fresh.mode() is Mode.RUNNING


def test_a_step_without_cause_changes_nothing(master: Assembled) -> None:
    for _ in range(3):
        master.steps.take()
        master.loop.settle()
    master.loop.pass_time(60)
    assert master.noted() == []


def test_a_pid_file_that_cannot_be_written_ends_the_start(tmp_path: Path) -> None:
    path = tmp_path / "none" / "pid"
    with assembled(tmp_path, f"pid_file: {path}\n") as fresh:
        fresh.begin()
        fresh.all_come_up()
        assert fresh.noted("systemd", "whoever", "worker 0 gen 1: stop") == [
            "systemd: STOPPING=1",
            "worker 0 gen 1: stop",
        ]
        fresh.loop.pass_time(2)
        fresh.supervisor.end(0, 1)
        assert fresh.noted() == [ENDS], "neither READY nor a sign to whoever started it"
        assert str(path) in str(fresh.ending.failure)


def test_a_reload_is_done_when_nobody_of_before_accepts_any_more(master: Assembled) -> None:
    master.reload("reload")
    master.read()
    master.supervisor.say(2, Word.READY)
    assert master.noted("worker 0", "worker 1", "reload") == [], "they serve until all are there"
    master.supervisor.say(3, Word.READY)
    assert master.noted() == ["worker 0 gen 1: drain", "worker 1 gen 1: drain"]
    master.supervisor.say(0, Word.DRAINING)
    assert master.noted() == []
    assert master.mode() is Mode.RELOADING
    master.supervisor.say(1, Word.DRAINING)
    assert master.noted() == ["reload: ok", READY]
    assert master.mode() is Mode.RUNNING
    assert master.of_state(State.DRAINING) == [0, 1], "what they have is still being answered"


def test_one_that_hangs_holds_up_a_reload_for_a_second(master: Assembled) -> None:
    master.reload("reload")
    master.read()
    master.all_come_up()
    master.supervisor.say(0, Word.DRAINING)
    master.noted()
    master.loop.pass_time(0.8)
    assert master.noted() == []
    master.loop.pass_time(0.4)
    assert master.noted() == ["reload: ok", READY], "nothing has happened but that time went by"


def test_who_does_not_leave_is_made_to_though_nothing_happens(tmp_path: Path) -> None:
    with assembled(tmp_path, "workers: {count: 2, shutdown_timeout: 5s}\n") as master:
        master.serve()
        master.stop()
        master.noted()
        master.loop.pass_time(5 + KILL_GRACE_S - 0.5)
        assert master.noted() == []
        master.loop.pass_time(1)
        assert master.noted() == ["worker 0 gen 1: SIGQUIT", "worker 1 gen 1: SIGQUIT"]
        master.supervisor.end(0)
        master.loop.pass_time(KILL_GRACE_S)
        assert master.noted() == ["worker 1 gen 1: SIGKILL"]
        master.supervisor.end(1, status=signal.SIGKILL)
        assert master.noted() == [ENDS]


def test_a_start_that_takes_too_long_ends_with_what_was_imported(fresh: Assembled) -> None:
    fresh.begin()
    fresh.supervisor.say(0, Word.IMPORTING, "slow_app")
    fresh.noted()
    fresh.loop.pass_time(fresh.settings.workers.boot_timeout + 0.2)
    assert fresh.noted() == ["worker 0 gen 1: SIGABRT"]
    fresh.supervisor.end(0, status=signal.SIGABRT)
    assert fresh.noted() == ["systemd: STOPPING=1", ENDS]
    failure = str(fresh.ending.failure)
    assert failure.endswith("not ready within boot_timeout: it was importing slow_app")


def test_while_the_kernel_forks_no_more_it_is_tried_after_1_2_and_4_seconds(
    master: Assembled, caplog: pytest.LogCaptureFixture
) -> None:
    master.supervisor.refusal = errno.EAGAIN
    master.supervisor.end(0, status=signal.SIGKILL)
    for _ in range(2):
        master.loop.pass_time(3.5)
    waits = [text for text in caplog.messages if "next start" in text]
    assert waits == [f"{NO_MORE}; the next start is tried in {wait} s" for wait in (1, 2, 4)]
    master.supervisor.refusal = None
    assert master.noted() == [], "the other worker serves on, and nobody was asked to leave"
    master.loop.pass_time(0.5)
    assert master.noted() == ["worker 0 gen 1: forked"]


def test_a_reload_that_the_kernel_refuses_a_process_leaves_all_as_it_was(
    master: Assembled,
) -> None:
    master.reload("reload")
    master.supervisor.refusal = errno.EAGAIN
    master.read()
    assert master.noted("worker", "reload") == [f"reload: {NO_MORE}"]
    master.supervisor.refusal = None
    master.loop.pass_time(5)
    assert master.noted("worker", "reload") == []
    assert master.of_state(State.READY) == [0, 1]


def test_a_start_that_the_kernel_refuses_a_process_fails(fresh: Assembled) -> None:
    fresh.supervisor.refusal = errno.EAGAIN
    fresh.begin()
    assert fresh.noted() == ["systemd: STOPPING=1", ENDS]
    assert str(fresh.ending.failure) == NO_MORE


def test_nobody_is_replaced_once_forkd_stops(master: Assembled) -> None:
    master.stop()
    master.supervisor.end(0, status=signal.SIGSEGV)
    master.loop.pass_time(10)
    assert master.noted("worker 0") == ["worker 0 gen 1: stop"]
    assert not master.steps.wanted().counts


def test_with_a_template_the_first_worker_waits_for_it(tmp_path: Path) -> None:
    with assembled(tmp_path, "workers: {count: 2, preload: true}\n") as fresh:
        fresh.begin()
        assert fresh.noted() == ["template 0 gen 1: forked"]
        fresh.supervisor.say(0, Word.READY)
        assert fresh.noted() == ["worker 1 gen 1: forked by template 0 gen 1"]
        fresh.supervisor.say(1, Word.READY)
        assert fresh.noted() == ["worker 2 gen 1: forked by template 0 gen 1"]
