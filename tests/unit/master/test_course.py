"""Which part of its life the master is in, in the words of `forkd status`."""

from __future__ import annotations

import pytest

from forkd.master.course import Course, Mode


@pytest.mark.parametrize("late", list(Mode))
def test_a_stop_is_final_whatever_ends_later(late: Mode) -> None:
    course = Course()
    course.enter(Mode.STOPPING)
    course.enter(late)
    assert (course.mode, course.stopping, course.starting) == (Mode.STOPPING, True, False)


def test_a_reload_comes_after_the_start_and_goes_by() -> None:
    course = Course()
    seen = [(course.mode.value, course.starting)]
    for mode in (Mode.RUNNING, Mode.RELOADING, Mode.RUNNING):
        course.enter(mode)
        seen.append((course.mode.value, course.starting))
    running = ("running", False)
    assert seen == [("starting", True), running, ("reloading", False), running]
    assert not course.stopping
