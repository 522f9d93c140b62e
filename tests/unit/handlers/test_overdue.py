"""Calls that take too long: when that is, and what becomes of them."""

from __future__ import annotations

import logging
import threading
from typing import cast

import pytest

from forkd.handlers.application import ApplicationCall
from forkd.handlers.base import Exchange, Response
from forkd.handlers.overdue import GRACE_S, Lasting, Overseer, State
from forkd.loop.crew import Call, Crew, Pace, Stage
from tests.unit.handlers.requests import request
from tests.unit.stepped import SteppedLoop

FRESH, SLOW, GIVEN_UP, STUCK = State.FRESH, State.SLOW, State.GIVEN_UP, State.STUCK


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ([4.9], [None]),
        ([5.0, 9.9, 10.0, 10.0 + GRACE_S], [SLOW, None, GIVEN_UP, STUCK]),
        ([5.0, 5.1, 5.2], [SLOW, None, None]),
        ([12.0, 12.1], [GIVEN_UP, None]),
        ([60.0, 60.0, 60.0], [GIVEN_UP, None, None]),
        ([60.0, 59.9 + GRACE_S, 60.0 + GRACE_S, 99.0], [GIVEN_UP, None, STUCK, None]),
    ],
)
def test_a_call_without_progress_comes_to_each_state_once(
    moments: list[float], expected: list[State | None]
) -> None:
    lasting = Lasting(100.0)
    assert [lasting.judge(0, False, 10.0, 100.0 + moment) for moment in moments] == expected


def test_progress_and_waiting_for_the_client_begin_the_time_anew() -> None:
    lasting = Lasting(100.0)
    assert lasting.judge(1, False, 10.0, 108.0) is None
    assert lasting.judge(1, True, 10.0, 117.0) is None
    assert lasting.judge(1, False, 10.0, 121.9) is None
    assert lasting.judge(1, False, 10.0, 122.0) is SLOW
    assert lasting.due(10.0) == 127.0
    assert lasting.judge(2, False, 10.0, 126.0) is None
    assert lasting.judge(2, False, 10.0, 132.0) is None, "the log has said it"
    assert lasting.judge(2, False, 10.0, 136.0) is GIVEN_UP


def test_what_a_call_does_after_it_was_given_up_is_no_progress() -> None:
    lasting = Lasting(100.0)
    assert lasting.judge(0, False, 10.0, 110.0) is GIVEN_UP
    assert lasting.judge(5, True, 10.0, 110.0 + GRACE_S) is STUCK


def test_the_grace_begins_when_it_was_given_up() -> None:
    """A loop that stood still looks late; the call may have been on its way back all the time."""
    lasting = Lasting(100.0)
    assert lasting.judge(0, False, 10.0, 130.0) is GIVEN_UP
    assert lasting.due(10.0) == 130.0 + GRACE_S


class Told:
    """An exchange that remembers what was asked of it, and is over after an end."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.begun = False
        self.over = False
        self.answers: list[Response] = []

    def fail(self, status: int) -> None:
        self.calls.append(f"fail {status}")
        self.over = True

    def answer(self, response: Response) -> None:
        self.calls.append(f"answer {response.status}")
        self.answers.append(response)
        self.over = True


class Still(ApplicationCall):
    """Is under way until the test says that it has returned."""

    def run(self, stage: Stage) -> None:
        raise AssertionError(f"no thread is there to make it: {stage}")


class CrewWithoutThreads(Crew):
    """Calls are under way, and nobody makes them."""

    def _start(self, call: Call) -> None:
        self._under_way[call] = self.loop.now


class Scene:
    """A crew of two, and an overseer with a patience of 10 seconds."""

    def __init__(self, loop: SteppedLoop) -> None:
        self.loop = loop
        self.crew = CrewWithoutThreads(loop, 2)
        self.reasons: list[str] = []
        self.pace = Pace(10.0)
        Overseer(loop, self.crew, 10.0, self.reasons.append)

    def submit(self) -> tuple[Still, Told]:
        call, told = Still(self.crew, self.pace, request("/slow", started=self.loop.now)), Told()
        call.start(cast(Exchange, told))
        return call, told


@pytest.fixture
def scene(loop: SteppedLoop) -> Scene:
    return Scene(loop)


def test_a_call_is_logged_at_half_its_time_and_given_up_at_the_end(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    call, told = scene.submit()
    scene.loop.pass_time(4.9)
    assert not caplog.records
    scene.loop.pass_time(0.3)
    (slow,) = caplog.records
    assert slow.levelno == logging.WARNING
    assert slow.getMessage().startswith(
        "slow request: GET /slow has given its client nothing for 5"
    )
    assert f"client=192.0.2.9 route=/ id={call.request.id}" in slow.getMessage()
    assert told.calls == []
    scene.loop.pass_time(5.0)
    assert told.calls == ["fail 504"]
    assert call.gone
    assert caplog.messages[1].startswith("504, out of time: GET /slow")
    assert len(caplog.records) == 2


def test_progress_before_the_first_look_counts_as_well(scene: Scene) -> None:
    call, told = scene.submit()
    scene.loop.pass_time(0.5)
    call._given = 1
    scene.loop.pass_time(9.9)
    assert told.calls == []
    scene.loop.pass_time(1.0)
    assert told.calls == ["fail 504"]


def test_a_call_that_never_returns_costs_the_worker_its_place_once(scene: Scene) -> None:
    for _ in range(2):
        scene.submit()
    scene.loop.pass_time(14.5)
    assert scene.reasons == []
    scene.loop.pass_time(1.0)
    (reason,) = scene.reasons
    assert "a call of route / has not returned 5 s after its time of 10 s" in reason
    scene.loop.pass_time(60.0)
    assert len(scene.reasons) == 1


def test_a_call_that_returns_late_costs_nothing(scene: Scene) -> None:
    call, told = scene.submit()
    scene.loop.pass_time(12.0)
    scene.crew.ended(call)
    scene.loop.pass_time(60.0)
    assert (told.calls, scene.reasons) == (["fail 504"], [])


def test_a_call_that_goes_on_after_its_answer_is_told_so(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    _, told = scene.submit()
    scene.loop.pass_time(8.0)
    told.over = True
    scene.loop.pass_time(8.0)
    assert "goes on" not in caplog.text, "half was said once, and the time has begun anew"
    scene.loop.pass_time(3.5)
    assert caplog.messages[1].startswith("out of time: GET /slow goes on 10.")


def test_an_answer_that_has_begun_is_broken_off(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    _, told = scene.submit()
    told.begun = True
    scene.loop.pass_time(11.0)
    assert caplog.messages[1].startswith(
        "504, connection closed: GET /slow has given its client nothing more for 10."
    )


def test_the_log_says_where_the_code_is(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    call, _ = scene.submit()
    gate, begun = threading.Event(), threading.Event()

    def user_code() -> None:
        begun.set()
        gate.wait(20.0)

    thread = threading.Thread(target=user_code)
    thread.start()
    try:
        assert begun.wait(20.0)
        assert thread.ident is not None
        scene.crew._apart[call] = thread.ident
        scene.loop.pass_time(6.0)
    finally:
        gate.set()
        thread.join()
    first, *stack = caplog.messages[0].split("\n")
    assert first.endswith(f"id={call.request.id}")
    assert stack[0] == f'  File "{__file__}", line {stack[0].split()[3][:-1]}, in user_code'
    assert stack[1] == "    gate.wait(20.0)"


def test_who_waits_for_a_thread_longer_than_its_time_gets_503(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        scene.submit()
    late, told = scene.submit()
    scene.loop.pass_time(2.0)
    _, other = scene.submit()
    scene.loop.pass_time(10.2)
    assert told.calls == ["answer 503"]
    assert b"Retry-After: 5\r\n" in told.answers[0].prefix
    assert other.calls == []
    assert scene.crew.waiting == 1
    assert late.gone
    text = "1 requests waited longer for a thread than they may take, answered with 503"
    assert text in caplog.text


def test_calls_that_are_no_requests_are_left_alone(scene: Scene, loop: SteppedLoop) -> None:
    class Connection:
        pace = Pace()

        def run(self, stage: Stage) -> None:
            raise AssertionError(f"no thread is there to make it: {stage}")

    calls: list[Call] = [Connection() for _ in range(3)]
    for call in calls:
        scene.crew.submit(call)
    loop.pass_time(100.0)
    assert (scene.crew.busy, scene.crew.waiting, scene.reasons) == (2, 1, [])


def test_a_short_time_is_kept_as_well(loop: SteppedLoop) -> None:
    scene = Scene(loop)
    Overseer(loop, scene.crew, 0.5, scene.reasons.append)
    scene.pace.timeout_s = 0.5
    _, told = scene.submit()
    loop.pass_time(0.9)
    assert told.calls == ["fail 504"]
