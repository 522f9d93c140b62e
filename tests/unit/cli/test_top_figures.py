"""Rates are differences of two answers."""

from __future__ import annotations

import pytest

from forkd.cli.top.figures import Figures, History, Rates, busiest, compare
from tests.unit.cli.answers import answer, death, worker


def both(first: dict[str, object], second: dict[str, object], elapsed: float = 2.0) -> Figures:
    return compare(second, 10.0 + elapsed, compare(first, 10.0, None))


def test_the_first_answer_has_no_rates() -> None:
    figures = compare(answer(worker(0, 5), requests=5), 10.0, None)
    assert figures.rates == Rates()
    assert [row.requests_per_s for row in figures.workers] == [None]


def test_rates_are_for_a_second_and_not_for_a_look() -> None:
    figures = both(
        answer(worker(0, 5), worker(1, 0), requests=5),
        answer(worker(0, 9), worker(1, 1), requests=10),
    )
    assert figures.rates == Rates(requests=2.5, errors=0.0, connections=2.5, bytes_sent=2560.0)
    assert [row.requests_per_s for row in figures.workers] == [2.0, 0.5]


def test_a_new_worker_in_an_old_slot_is_not_compared_with_the_one_before() -> None:
    figures = both(answer(worker(0, 100)), answer(worker(0, 4, pid=7)))
    assert figures.workers[0].requests_per_s == 2.0


def test_another_master_begins_anew() -> None:
    figures = both(answer(worker(0, 100), requests=100), answer(worker(0, 4), requests=4, pid=42))
    assert figures.rates == Rates()
    assert figures.workers[0].requests_per_s is None


def test_a_rate_is_never_negative() -> None:
    # While a worker dies its figures are in its slot no more, and not yet among those of the dead.
    figures = both(answer(requests=10), answer(requests=4))
    assert figures.rates.requests == 0.0


def test_two_answers_of_one_moment_do_not_divide_by_nothing() -> None:
    assert both(answer(), answer(), elapsed=0.0).rates == Rates()


def test_routes_and_deaths_may_be_missing_and_may_be_there() -> None:
    assert (both(answer(), answer()).routes, both(answer(), answer()).deaths) == ((), ())
    first = {"route": "/a/", "site": "", "requests": 10}
    second = {
        "route": "/a/",
        "site": "",
        "requests": 20,
        "statuses": {"2xx": 20},
        "latency_ms": {"p50": 1.5, "p99": 9.0},
    }
    other = {"route": "/b/", "requests": 100}
    figures = both(
        answer(routes=[first, other]),
        answer(routes=[second, other], deaths=[death(1.0), death(2.0, kind="spawner")]),
    )
    route = figures.routes[0]
    assert (route.requests_per_s, route.p50_ms, route.p99_ms) == (5.0, 1.5, 9.0)
    assert [route.route for route in busiest(figures.routes)] == ["/a/", "/b/"]
    assert [row.text.split()[0] for row in figures.deaths] == ["spawner", "worker"]


@pytest.mark.parametrize("missing", ["workers", "totals", "pid"])
def test_an_answer_of_another_program_raises_what_compare_says(missing: str) -> None:
    status = answer(worker(0))
    del status[missing]
    with pytest.raises(KeyError):
        both(answer(worker(0)), status)


def test_a_column_of_the_history_is_a_mean() -> None:
    history = History.every(1.0)
    for second, value in enumerate((10, 20, 30, 100, 200)):
        history.add(value, float(second))
    assert list(history.columns) == [20.0, 150.0]


def test_with_a_long_interval_each_value_is_a_column() -> None:
    history = History.every(60.0)
    for minute in range(500):
        history.add(minute, minute * 60.0)
    assert list(history.columns) == list(map(float, range(300, 500)))
