"""An alarm that is set and put off."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from forkd.system.alarm import Alarm

DEADLINE_S = 20.0
LONG_S = 1000.0


MakeAlarm = Callable[[float], Alarm]


@pytest.fixture
def alarm(no_descriptor_leaks: None) -> Iterator[MakeAlarm]:  # noqa: ARG001 a fixture
    made: list[Alarm] = []

    def make(after_s: float) -> Alarm:
        made.append(Alarm(after_s))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("after_s", [0.001, 0.02, 1.01])
def test_it_goes_off_when_the_time_has_come(alarm: MakeAlarm, after_s: float) -> None:
    one = alarm(after_s)
    for _ in range(2):
        began = time.monotonic()
        one.wind()
        one.wait()
        assert after_s <= time.monotonic() - began < DEADLINE_S


def test_it_is_put_off_as_often_as_it_is_wound_up(alarm: MakeAlarm) -> None:
    one = alarm(0.2)
    began = wound = time.monotonic()
    while wound - began < 0.1:
        one.wind()
        before, wound = wound, time.monotonic()
    one.wait()
    assert time.monotonic() - before >= 0.2


def test_who_waits_hears_it_when_it_rings_before_its_time(alarm: MakeAlarm) -> None:
    one = alarm(LONG_S)
    one.wind()
    thread = threading.Thread(target=one.wait, daemon=True)
    thread.start()
    one.ring()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()


def test_a_program_that_is_started_does_not_get_it(alarm: MakeAlarm) -> None:
    alarm(LONG_S)
    names = os.listdir("/proc/self/fd")
    found = [int(name) for name in names if "timerfd" in _target(f"/proc/self/fd/{name}")]
    assert found
    assert not any(os.get_inheritable(descriptor) for descriptor in found)


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""
