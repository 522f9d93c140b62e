"""What follows when a child has come up or died: for its pool, its generation, and in the log."""

from __future__ import annotations

import logging
import signal

import pytest

from forkd.channel import Word
from forkd.master.generation import WORKERS
from forkd.master.lifecycle import State
from tests.unit.master.assembled import Assembled
from tests.unit.master.stand_ins import NO_PID

REQUEST = b"0123\x00192.0.2.9\x00GET\x00/slow?q=1\x00/"


@pytest.fixture
def loud(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What a person sees who has `log.error.level: warning`."""
    caplog.set_level(logging.WARNING, "forkd")
    return caplog


def deaths_told(master: Assembled) -> list[object]:
    """Reasons of those in status."""
    told = master.figures.history.figures()["deaths"]
    assert isinstance(told, list)
    return [one["reason"] for one in told]


def test_a_worker_that_crashes_is_replaced_at_once_and_its_request_is_named(
    master: Assembled, loud: pytest.LogCaptureFixture
) -> None:
    slot = master.supervisor.scoreboard.slots[0]
    slot.write(master.loop.now, 0, 0, 0, 0, 0, 1, master.loop.now - 2.0)
    slot.write_request(REQUEST)
    master.supervisor.end(0, status=signal.SIGSEGV)
    assert master.noted() == ["worker 0 gen 1: forked"]
    (said,) = loud.records
    assert said.levelno == logging.ERROR
    assert said.message == (
        f"worker 0 gen 1 pid {NO_PID + 1} died by signal 11 (SIGSEGV): it is replaced; what it was "
        "answering is lost: GET /slow?q=1 of 192.0.2.9 for 2.0 s, id=0123, route /"
    )
    assert deaths_told(master) == ["died by signal 11 (SIGSEGV)"]


def test_what_a_worker_has_answered_is_counted_when_it_is_gone(master: Assembled) -> None:
    master.supervisor.scoreboard.slots[0].write(master.loop.now, 7, 0, 0, 0, 0, 0, 0.0)
    master.supervisor.end(0, status=signal.SIGKILL)
    assert "7 requests answered" in master.figures.summary(), "though another has the slot now"


def test_who_was_asked_and_leaves_is_no_death_that_people_are_told_of(
    master: Assembled, loud: pytest.LogCaptureFixture
) -> None:
    master.succession.adjust(-1)
    master.steps.take()
    (slot,) = master.of_state(State.DRAINING)
    master.supervisor.end(slot)
    assert loud.messages == []
    assert deaths_told(master) == []


def test_a_worker_that_does_not_come_up_is_tried_again_after_a_while_and_the_others_serve(
    master: Assembled, loud: pytest.LogCaptureFixture
) -> None:
    master.supervisor.end(0, status=signal.SIGKILL)
    master.noted()
    loud.clear()
    for wait in (1, 2):
        master.supervisor.say(0, Word.FAILED, "no module named app")
        master.supervisor.end(0, status=1 << 8)
        assert master.noted() == []
        assert loud.messages == [f"no module named app; the next start is tried in {wait} s"]
        loud.clear()
        master.loop.pass_time(wait + 0.2)
        assert master.noted() == ["worker 0 gen 1: forked"]
    assert master.of_state(State.READY) == [1]


def test_one_that_has_come_up_makes_up_for_all_that_failed_before(
    master: Assembled, loud: pytest.LogCaptureFixture
) -> None:
    def fail_at_the_start() -> str:
        master.supervisor.end(0, status=1 << 8)
        master.loop.pass_time(5)
        return loud.messages[-1]

    master.supervisor.end(0, status=signal.SIGKILL)
    assert fail_at_the_start().endswith("in 1 s")
    assert fail_at_the_start().endswith("in 2 s")
    master.supervisor.say(0, Word.READY)
    master.supervisor.end(0, status=signal.SIGKILL)
    assert fail_at_the_start().endswith("in 1 s")


def test_a_generation_fails_once_with_what_its_child_has_said(
    master: Assembled, loud: pytest.LogCaptureFixture
) -> None:
    master.reload("reload")
    master.read()
    master.supervisor.say(2, Word.READY)
    master.supervisor.say(3, Word.FAILED, "no module named app", "is it installed?")
    master.noted()
    # All of its children have the same trouble, and are reaped together.
    master.supervisor.end(3, 2, status=1 << 8)
    assert master.noted("reload") == ["reload: no module named app; is it installed?"]
    assert master.figures.history.reload_counts == {"success": 0, "failure": 1}
    failed = [text for text in loud.messages if text.startswith("reload failed")]
    assert failed == [
        "reload failed: no module named app",
        "reload failed: is it installed?",
        "reload failed: generation 1 goes on serving",
    ]
    assert not master.failures.not_before, "the next reload begins at once"


def test_a_canary_that_says_nothing_is_named_with_how_it_ended(master: Assembled) -> None:
    master.reload("reload")
    master.read()
    master.noted()
    master.supervisor.end(2, status=signal.SIGKILL)
    told = f"reload: worker 2 gen 2 pid {NO_PID + 3} died by signal 9 (SIGKILL)"
    assert master.noted("reload") == [told]


def test_a_death_among_those_that_serve_is_no_failure_of_a_reload(master: Assembled) -> None:
    master.reload("reload")
    master.read()
    master.noted()
    master.supervisor.end(0, status=signal.SIGKILL)
    assert master.noted() == ["worker 0 gen 1: forked"], "the old generation is kept complete"
    master.all_come_up()
    assert master.succession.live is not None
    assert master.succession.live.number == 2


def test_one_of_before_that_crashes_is_told_of_and_not_replaced(
    master: Assembled, loud: pytest.LogCaptureFixture
) -> None:
    master.reload()
    master.read()
    master.all_come_up()
    master.noted()
    master.supervisor.end(0, status=signal.SIGSEGV)
    assert master.noted("worker") == []
    (said,) = loud.messages
    assert said.startswith(f"worker 0 gen 1 pid {NO_PID + 1} died by signal 11 (SIGSEGV)")
    assert "replaced" not in said
    assert deaths_told(master) == ["died by signal 11 (SIGSEGV)"]


def test_a_generation_is_forgotten_with_the_last_of_its_children(master: Assembled) -> None:
    master.reload()
    master.read()
    master.all_come_up()
    master.supervisor.end(0)
    assert master.succession[1].full()[WORKERS] == 2, "one still needs its settings"
    master.supervisor.end(1)
    with pytest.raises(KeyError):
        master.succession[1]
    assert master.succession[2].full()[WORKERS] == 2


def test_at_a_stop_no_death_is_said_to_be_made_good(
    master: Assembled, loud: pytest.LogCaptureFixture
) -> None:
    master.stop()
    master.supervisor.end(0, status=signal.SIGSEGV)
    assert not [text for text in loud.messages if "replaced" in text or "next start" in text]
    assert deaths_told(master) == ["died by signal 11 (SIGSEGV)"]


@pytest.mark.parametrize("reloaded", [False, True], ids=["stop", "reload"])
def test_a_request_that_is_lost_while_a_worker_drains_is_named(
    master: Assembled, caplog: pytest.LogCaptureFixture, reloaded: bool
) -> None:
    if reloaded:
        master.reload()
        master.read()
        master.all_come_up()
    else:
        master.stop()
    slot = master.supervisor.scoreboard.slots[0]
    slot.write_request(REQUEST)
    caplog.clear()
    master.supervisor.end(0, status=signal.SIGKILL)
    assert "GET /slow?q=1 of 192.0.2.9" in caplog.text
