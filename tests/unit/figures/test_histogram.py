"""Times in buckets, and what can be said of them afterwards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkd.figures.histogram import BOUNDS_S, BUCKETS, Histogram

TIMES = st.lists(st.floats(0, 100), max_size=50)


def of(*seconds: float) -> Histogram:
    histogram = Histogram()
    for one in seconds:
        histogram.note(one)
    return histogram


def test_a_time_that_is_a_bound_is_in_the_bucket_that_ends_there() -> None:
    for number, bound in enumerate(BOUNDS_S):
        assert of(bound).counts[number] == 1
        assert of(bound * 1.0001).counts[number + 1] == 1


def test_what_takes_longer_than_all_bounds_is_in_the_last_bucket() -> None:
    assert of(31.0).counts == [0] * (BUCKETS - 1) + [1]


def test_what_took_no_time_worth_measuring_adds_none() -> None:
    histogram = of(0.002)
    histogram.note_instant(5)
    assert (histogram.counts[0], histogram.total, histogram.seconds) == (5, 6, 0.002)


@given(TIMES, TIMES)
def test_sums_are_what_one_histogram_of_all_would_be(some: list[float], more: list[float]) -> None:
    total = of(*some)
    total.add(of(*more))
    assert total.counts == of(*some, *more).counts
    assert total.total == len(some) + len(more)
    assert total.seconds == pytest.approx(sum(some) + sum(more))


def test_a_copy_is_its_own() -> None:
    first = of(0.5)
    copy = first.copy()
    copy.note(0.5)
    assert (first.total, copy.total) == (1, 2)


@pytest.mark.parametrize(
    ("times", "share", "expected"),
    [
        ((), 0.5, None),
        ((0.3,) * 10, 0.5, 0.375),  # halfway between 0.25 and 0.5
        ((0.3,) * 10, 1.0, 0.5),
        ((0.3,) * 10, 0.0, 0.25),
        ((0.0,) * 10, 0.5, 0.00005),
        ((0.0,) * 99 + (7.0,), 0.99, 0.0001),
        ((0.0,) * 98 + (7.0, 7.0), 0.99, 7.5),
        ((60.0,), 0.5, 30.0),
        ((0.0, 60.0), 0.99, 30.0),
    ],
)
def test_quantiles_are_interpolated(
    times: tuple[float, ...], share: float, expected: float | None
) -> None:
    found = of(*times).quantile(share)
    assert found == (expected if expected is None else pytest.approx(expected))


@given(st.lists(st.floats(0, 30), min_size=1, max_size=50), st.floats(0, 1))
def test_a_quantile_is_in_the_bucket_of_a_time_that_it_stands_for(
    times: list[float], share: float
) -> None:
    found = of(*times).quantile(share)
    assert found is not None
    rank = min(len(times) - 1, max(0, -(-int(share * len(times) * 1e9) // 10**9) - 1))
    meant = sorted(times)[rank]
    buckets = [of(one).counts.index(1) for one in (meant, found)]
    assert abs(buckets[0] - buckets[1]) <= 1
