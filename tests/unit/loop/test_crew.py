"""Calls that may block, in the thread of the loop or in another."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from forkd.loop.crew import Crew, Pace, Stage
from forkd.loop.loop import Loop
from forkd.loop.timers import Timer
from forkd.system.alarm import Alarm

DEADLINE_S = 20.0


class Scene:
    """A crew in threads of its own; the test is one more thread."""

    def __init__(self, size: int) -> None:
        self.loop = Loop()
        self.crew = Crew(self.loop, size)
        self.faults: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)
        started = threading.Event()
        self.loop.call_soon(started.set)
        self._thread.start()
        assert started.wait(DEADLINE_S)

    def _run(self) -> None:
        try:
            self.crew.run()
        except BaseException as fault:
            self.faults.append(fault)

    def submit(self, act: Callable[[Stage], None], pace: Pace | None = None) -> Made:
        call = Made(act, pace or Pace())
        self.loop.post(partial(self.crew.submit, call))
        return call

    def ask(self, question: Callable[[], object]) -> object:
        """What the loop's thread finds."""
        answers: list[object] = []
        there = threading.Event()

        def answer() -> None:
            answers.append(question())
            there.set()

        self.loop.post(answer)
        assert there.wait(DEADLINE_S), "the loop does not turn"
        return answers[0]

    def counts(self, busy: int, waiting: int) -> bool:
        """Whether it comes to so many calls under way and waiting."""
        deadline = time.monotonic() + DEADLINE_S
        while self.ask(lambda: (self.crew.busy, self.crew.waiting)) != (busy, waiting):
            if time.monotonic() > deadline:
                return False
        return True

    def close(self) -> None:
        self.loop.post(self.loop.stop)
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        self.crew.close()
        self.loop.close()


class Made:
    """A call that says where it was made."""

    def __init__(self, act: Callable[[Stage], None], pace: Pace) -> None:
        self.pace = pace
        self.thread: threading.Thread | None = None
        self.begun = threading.Event()
        self.over = threading.Event()
        self._act = act

    def run(self, stage: Stage) -> None:
        self.thread = threading.current_thread()
        self.begun.set()
        try:
            self._act(stage)
        finally:
            stage.do(self.over.set)

    def is_made(self) -> Made:
        assert self.begun.wait(DEADLINE_S)
        return self

    def wait(self) -> Made:
        assert self.over.wait(DEADLINE_S)
        return self


MakeScene = Callable[[int], Scene]


@pytest.fixture
def scene() -> Iterator[MakeScene]:
    made: list[Scene] = []

    def make(size: int) -> Scene:
        made.append(Scene(size))
        return made[-1]

    yield make
    for one in made:
        one.close()


def nothing(_stage: Stage) -> None:
    pass


def wait_for(event: threading.Event, _stage: Stage) -> None:
    assert event.wait(DEADLINE_S)


def test_a_call_that_comes_back_is_made_by_the_thread_of_the_loop(scene: MakeScene) -> None:
    one = scene(4)
    leader = one.ask(threading.current_thread)
    for _ in range(100):
        assert one.submit(nothing).wait().thread is leader
    assert one.ask(threading.current_thread) is leader


def test_the_watchman_is_put_off_as_long_as_calls_come_back(
    scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    wound: list[float] = []
    monkeypatch.setattr(Alarm, "wind", lambda _alarm: wound.append(time.monotonic()))
    one = scene(1000)
    calls = [Made(nothing, Pace()) for _ in range(800)]

    def submit_all() -> None:
        for call in calls:
            one.crew.submit(call)

    one.ask(submit_all)
    for call in calls:
        call.wait()
    assert len(wound) >= 100, "by every eighth call, though all are made in one turn"


def test_a_call_that_blocks_loses_the_loop_and_comes_back_all_the_same(scene: MakeScene) -> None:
    one = scene(4)
    gate = threading.Event()
    leader = one.ask(threading.current_thread)
    call = one.submit(partial(wait_for, gate)).is_made()
    assert one.ask(threading.current_thread) is not leader, "the loop turns"
    assert call.thread is leader
    gate.set()
    call.wait()
    assert one.counts(0, 0)


def test_what_it_has_done_in_the_loop_is_done_by_the_loops_thread_in_order(
    scene: MakeScene,
) -> None:
    one = scene(4)
    gate = threading.Event()
    told: list[tuple[int, threading.Thread]] = []

    def tell(number: int) -> None:
        told.append((number, threading.current_thread()))

    def act(stage: Stage) -> None:
        stage.do(partial(tell, 1))
        stage.do(partial(tell, 2))
        wait_for(gate, stage)
        stage.do(partial(tell, 3))
        stage.do(partial(tell, 4))

    call = one.submit(act).is_made()
    leader = one.ask(threading.current_thread)
    gate.set()
    call.wait()
    assert [number for number, _ in told] == [1, 2, 3, 4]
    assert [thread for _, thread in told] == [call.thread] * 2 + [leader] * 2


class Dawdler(Pace):
    """Keeps the watchman, once he has taken the loop, until the call's thread has gone home or has
    gone on as if the loop were still its own."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = threading.Event()
        self.went_on = threading.Event()
        self.in_time = False
        self.crew: Crew | None = None

    def blocked(self, now: float) -> None:
        self.taken.set()
        assert self.crew is not None
        deadline = time.monotonic() + DEADLINE_S
        while self.crew._idle._value == 0 and not self.went_on.is_set():
            assert time.monotonic() < deadline
            time.sleep(0.001)
        self.in_time = not self.went_on.is_set()
        super().blocked(now)


def test_a_call_that_ends_while_the_loop_is_taken_from_it_does_not_go_on_with_it(
    scene: MakeScene,
) -> None:
    one, pace = scene(4), Dawdler()
    pace.crew = one.crew
    call = Made(partial(wait_for, pace.taken), pace)

    def begin() -> None:
        one.crew.submit(call)
        one.loop.call_soon(pace.went_on.set)

    one.loop.post(begin)
    call.wait()
    assert pace.went_on.wait(DEADLINE_S)
    assert pace.in_time


def test_code_that_has_blocked_is_called_apart_for_a_while(scene: MakeScene) -> None:
    one = scene(4)
    gate, pace = threading.Event(), Pace()
    blocking = one.submit(partial(wait_for, gate), pace).is_made()
    leader = one.ask(threading.current_thread)
    one.ask(lambda: setattr(pace, "apart_until", one.loop.now + 1000))
    assert one.submit(nothing, pace).wait().thread is not leader
    assert one.submit(nothing).wait().thread is leader, "other code is not"
    one.ask(lambda: setattr(pace, "apart_until", one.loop.now))
    assert one.submit(nothing, pace).wait().thread is leader
    gate.set()
    blocking.wait()


def test_who_says_that_it_waits_lets_go_at_once(scene: MakeScene) -> None:
    one = scene(4)
    gate, waits = threading.Event(), threading.Event()

    def act(stage: Stage) -> None:
        stage.let_go()
        waits.set()
        wait_for(gate, stage)

    call = one.submit(act, pace := Pace())
    assert waits.wait(DEADLINE_S)
    assert one.ask(threading.current_thread) is not call.thread
    assert pace.apart_until == 0.0, "that is no fault of the code"
    gate.set()
    call.wait()


def test_only_so_many_are_made_at_a_time_and_the_others_wait_in_order(scene: MakeScene) -> None:
    one = scene(3)
    gates = [threading.Event() for _ in range(8)]
    begun: list[int] = []

    def act(number: int, stage: Stage) -> None:
        stage.do(partial(begun.append, number))
        wait_for(gates[number], stage)

    calls = [one.submit(partial(act, number)) for number in range(8)]
    assert one.counts(3, 5)
    assert one.ask(lambda: one.crew.withdraw(calls[4]))
    assert not one.ask(lambda: one.crew.withdraw(calls[0]))
    for left, number in zip(range(6, -1, -1), (2, 0, 1, 3, 5, 6, 7), strict=True):
        gates[number].set()
        calls[number].wait()
        assert one.counts(min(3, left), max(0, left - 3))
    assert sorted(begun[:3]) == [0, 1, 2]
    assert begun[3:] == [3, 5, 6, 7]


def test_a_fault_in_a_call_ends_nothing_else(
    scene: MakeScene, caplog: pytest.LogCaptureFixture
) -> None:
    one = scene(1)

    def leave(_stage: Stage) -> None:
        sys.exit("the application's own idea")

    def break_the_loop(stage: Stage) -> None:
        stage.do(lambda: 1 / 0)  # type: ignore[arg-type]

    for act in (leave, break_the_loop, nothing):
        one.submit(act).wait()
    assert one.counts(0, 0)
    assert "the application's own idea" in caplog.text
    assert "division by zero" in caplog.text


def test_the_watchman_has_gone_home_before_his_alarm_is_taken_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wait, close = Alarm.wait, Alarm.close
    at_close: list[str] = []

    def wait_and_dawdle(alarm: Alarm) -> None:
        wait(alarm)
        time.sleep(0.05)  # long enough for `run` to return, if it did not wait for him

    monkeypatch.setattr(Alarm, "wait", wait_and_dawdle)

    def look_and_close(alarm: Alarm) -> None:
        at_close.extend(thread.name for thread in threading.enumerate())
        close(alarm)

    monkeypatch.setattr(Alarm, "close", look_and_close)
    Scene(1).close()
    assert at_close
    assert "watchman" not in at_close


def test_many_calls_of_all_kinds_leave_nothing_behind(scene: MakeScene) -> None:
    """The loop changes hands all the time, since each second call says that it waits."""
    one = scene(4)
    leaders: set[object] = set()
    done: list[int] = []

    def act(number: int, stage: Stage) -> None:
        if number % 2:
            stage.let_go()
        stage.do(partial(done.append, number))
        stage.do(lambda: leaders.add(threading.current_thread()))

    calls = [one.submit(partial(act, number)) for number in range(2000)]
    for call in calls:
        call.wait()
    assert sorted(done) == list(range(2000))
    assert one.counts(0, 0)
    assert len(leaders) > 1


def test_the_loop_serves_its_timers_and_signals_whoever_runs_it(scene: MakeScene) -> None:
    one = scene(2)
    gate, fired = threading.Event(), threading.Event()
    call = one.submit(partial(wait_for, gate)).is_made()
    one.ask(lambda: one.loop.timers.set(Timer(lambda _now: fired.set()), one.loop.now))
    assert fired.wait(DEADLINE_S)
    gate.set()
    call.wait()


@pytest.mark.parametrize(
    ("blocks_at", "apart_s"),
    [([10.0], 0.1), ([10.0, 10.15], 0.2), ([10.0, 10.15, 10.5], 0.4), ([10.0, 20.0], 0.1)],
)
def test_code_that_blocks_again_and_again_stays_apart_for_longer(
    blocks_at: list[float], apart_s: float
) -> None:
    pace = Pace()
    for now in blocks_at:
        pace.blocked(now)
    assert pace.apart_until == pytest.approx(blocks_at[-1] + apart_s)


def test_it_is_never_kept_apart_for_long() -> None:
    pace = Pace()
    for _ in range(20):
        pace.blocked(pace.apart_until)
    now = pace.apart_until
    pace.blocked(now)
    assert pace.apart_until - now == pytest.approx(10.0)
