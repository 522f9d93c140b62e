"""When a worker asks to be replaced."""

from __future__ import annotations

import pytest

from forkd.worker.retirement import Retirement, resident_bytes
from tests.unit.worker.settings import workers


@pytest.mark.parametrize("jitter", [0, 50])
def test_after_so_many_requests_and_some_more_by_chance_it_says_so_once(jitter: int) -> None:
    retirement = Retirement(workers(max_requests=100, max_requests_jitter=jitter))
    due = [number for number in range(200) if retirement.after(number)]
    assert len(due) == 1
    assert 100 <= due[0] <= 100 + jitter


def test_not_all_retire_at_once() -> None:
    due = set()
    for _ in range(100):
        retirement = Retirement(workers(max_requests=100, max_requests_jitter=50))
        due.add(next(number for number in range(200) if retirement.after(number)))
    assert len(due) > 10


def test_without_limits_it_never_retires() -> None:
    retirement = Retirement(workers())
    assert retirement.after(10**9) is None
    assert retirement.above(10**12) is None


def test_above_max_rss_it_says_so_once_with_both_figures() -> None:
    retirement = Retirement(workers(max_rss="64M"))
    assert retirement.above(64 * 2**20) is None
    assert retirement.above(65 * 2**20) == "its memory is 65.0 MiB, above max_rss 64.0 MiB"
    assert retirement.above(66 * 2**20) is None


def test_the_resident_memory_is_that_of_this_process() -> None:
    before = resident_bytes()
    held = b"x" * (64 * 2**20)  # written to, or the kernel would not give it yet
    assert resident_bytes() - before > 60 * 2**20
    del held
