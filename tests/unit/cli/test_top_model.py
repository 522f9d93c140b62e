"""What becomes of answers, and of none."""

from __future__ import annotations

from pathlib import Path

import pytest

from forkd.cli.top.model import NOT_UNDERSTOOD, Model
from forkd.cli.top.view import AskReload, AskStack, Page
from tests.unit.cli.answers import answer, worker

PATH = Path("/run/control.sock")


@pytest.fixture
def model() -> Model:
    return Model(PATH, 1.0, answer(worker(0, 5), requests=5), 10.0)


def test_figures_and_history_come_from_answers(model: Model) -> None:
    assert list(model.history.columns) == []
    model.told_status(answer(worker(0, 9), requests=9), 12.0)
    assert list(model.history.columns) == [2.0]
    assert model.problem(12.0) == ""


def test_without_an_answer_the_figures_stay_and_the_reason_is_told(model: Model) -> None:
    for error in (FileNotFoundError(), ConnectionRefusedError()):
        model.status_failed(error)
        expected = "nothing is running there any more (last answer 16.0s ago)"
        assert model.problem(26.0) == expected
    assert model.figures.workers[0].requests == 5
    model.told_status(answer(worker(0, 0), pid=42), 27.0)
    assert (model.problem(27.0), model.figures.workers[0].requests) == ("", 0)


def test_a_master_that_hangs_is_told_from_one_that_is_gone(model: Model) -> None:
    model.status_failed(TimeoutError())
    assert model.problem(20.0) == "the master does not answer (last answer 10.0s ago)"


@pytest.mark.parametrize("strange", [{"ok": True}, answer() | {"workers": [{}]}])
def test_an_answer_of_another_version_is_a_problem_and_no_end(
    model: Model, strange: dict[str, object]
) -> None:
    model.told_status(strange, 12.0)
    assert model.problem(12.0).startswith(NOT_UNDERSTOOD)
    model.status_failed(ValueError("no JSON"))
    assert model.problem(13.0).startswith(NOT_UNDERSTOOD)


def test_stacks_are_shown_and_so_is_why_there_are_none(model: Model) -> None:
    assert model.pressed("t") == AskStack(0)
    model.told(AskStack(0), {"ok": True, "stacks": "Thread 1:\n  File x"})
    assert "\n".join(model.view.text) == "Thread 1:\n  File x"
    model.told(AskStack(0), {"ok": False, "reasons": ["no worker 0"]})
    assert "\n".join(model.view.text) == "no worker 0"
    model.failed(AskStack(0), ConnectionResetError())
    assert "any more" in model.view.text[0]


def test_a_reload_is_told_about_when_it_is_over(model: Model) -> None:
    model.pressed("r")
    assert model.pressed("y") == AskReload()
    assert (model.view.page, model.view.notice) == (Page.WORKERS, "reloading ...")
    model.told(AskReload(), {"ok": False, "reasons": ["a", "b"]})
    assert model.view.notice == "reload failed: a; b"
    model.told(AskReload(), {"ok": True})
    assert model.view.notice == "reloaded"
