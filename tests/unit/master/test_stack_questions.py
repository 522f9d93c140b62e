"""`forkd stack`: whatever becomes of the worker that is asked, whoever asked is answered."""

from __future__ import annotations

import os
import signal

import pytest

from forkd.master.stacks import ANSWERS_WITHIN_S, Stacks
from tests.unit.master.assembled import Assembled
from tests.unit.master.stand_ins import NO_PID


@pytest.fixture
def stacks(master: Assembled) -> Stacks:
    return Stacks(master.loop, master.supervisor)


def test_what_the_worker_writes_is_for_all_who_asked(master: Assembled, stacks: Stacks) -> None:
    worker = master.supervisor.children[0]
    for asker in ("one", "two"):
        stacks.show(0, master.reply(asker))
    master.steps.take()
    assert master.noted() == ["worker 0 gen 1: stacks"], "it is asked once"
    os.pwrite(master.supervisor.stacks_of(worker), b"thread: frames", 0)
    master.loop.pass_time(0.5)
    assert master.noted() == ["one: ok", "two: ok"]
    # What it wrote is not taken for the answer to the next question.
    stacks.show(0, master.reply("three"))
    master.loop.pass_time(ANSWERS_WITHIN_S / 2)
    assert master.noted("three") == []


def test_a_question_to_a_worker_that_is_gone_is_answered(master: Assembled, stacks: Stacks) -> None:
    for asker in ("one", "two"):
        stacks.show(1, master.reply(asker))
    master.succession.adjust(-1)
    master.supervisor.end(1, status=signal.SIGKILL)
    master.noted()
    master.loop.pass_time(0.5)
    told = f"worker 1 gen 1 pid {NO_PID + 2} has gone meanwhile"
    assert master.noted() == [f"one: {told}", f"two: {told}"]


def test_the_worker_that_has_taken_its_place_does_not_answer_for_it(
    master: Assembled, stacks: Stacks
) -> None:
    stacks.show(0, master.reply("one"))
    master.supervisor.end(0, status=signal.SIGKILL)
    successor = master.supervisor.children[0]
    os.pwrite(master.supervisor.stacks_of(successor), b"thread: frames", 0)
    master.loop.pass_time(0.5)
    assert master.noted("one") == [f"one: worker 0 gen 1 pid {NO_PID + 1} has gone meanwhile"]


def test_a_worker_that_does_not_answer_is_told_of_in_time(
    master: Assembled, stacks: Stacks
) -> None:
    stacks.show(0, master.reply("one"))
    master.loop.pass_time(ANSWERS_WITHIN_S - 0.2)
    assert master.noted("one") == []
    master.loop.pass_time(0.5)
    (said,) = master.noted("one")
    assert "does not answer within 1 s" in said


@pytest.mark.parametrize("slot", [7, None, "0", True])
def test_where_there_is_no_such_worker_those_that_there_are_are_named(
    master: Assembled, stacks: Stacks, slot: object
) -> None:
    stacks.show(slot, master.reply("one"))
    assert master.noted() == [f"one: no worker {slot}; there are: 0, 1"]
