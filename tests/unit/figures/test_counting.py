"""A worker's figures, and what of them comes to be in shared memory."""

from __future__ import annotations

import mmap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkd.figures.counting import Figures
from forkd.figures.histogram import Histogram
from forkd.figures.kinds import (
    METHODS,
    NO_ROUTE,
    OTHER_KIND,
    OTHER_METHOD,
    OTHER_ROUTE,
    OTHER_STATUS,
    Kind,
    method_number,
)
from forkd.figures.programs import Programs
from forkd.figures.table import MOST_KINDS, MOST_ROUTES, SIZE, Table
from forkd.scoreboard import Scoreboard

GET = method_number("GET")


@pytest.fixture
def table() -> Table:
    return Table(mmap.mmap(-1, SIZE), 0)


def test_programs_are_counted_by_route_also_where_no_answer_has_been_given(table: Table) -> None:
    figures = Figures()
    figures.route(2).count("GET", 200, 0.1)
    figures.route(7).count_program(0.5, 300)
    figures.write(table)
    figures.route(7).count_program(0.25, 200)
    figures.route(2).count_program(0.0, 0)
    figures.route(7).count("GET", 200, 0.1)
    figures.write(table)
    found = table.read()
    assert found.programs == {7: Programs(2, 0.75, 300), 2: Programs(1, 0.0, 0)}
    assert {route: one.total for route, one in found.durations.items()} == {2: 1, 7: 1}


def of(*seconds: float) -> Histogram:
    histogram = Histogram()
    for one in seconds:
        histogram.note(one)
    return histogram


def shape(histogram: Histogram) -> tuple[list[int], float]:
    return histogram.counts, histogram.seconds


def test_a_request_is_counted_by_route_method_and_status(table: Table) -> None:
    figures = Figures()
    first, second = figures.route(1), figures.route(2)
    first.count("GET", 200, 0.002)
    first.count("GET", 200, 0.3)
    first.count("HEAD", 200, 0.0)
    second.count("GET", 404, 50.0)
    figures.unrouted.count("", 400, 0.0)
    figures.write(table)
    found = table.read()
    assert found.requests == {
        Kind(1, GET, 200): 2,
        Kind(1, method_number("HEAD"), 200): 1,
        Kind(2, GET, 404): 1,
        Kind(NO_ROUTE, 0, 400): 1,
    }
    assert found.durations.keys() == {NO_ROUTE, 1, 2}
    assert found.durations[1].total == 3
    assert found.durations[1].seconds == pytest.approx(0.302)


def test_what_is_answered_at_once_is_counted_when_it_is_written(table: Table) -> None:
    figures = Figures()
    route = figures.route(7)
    cell = route.cell_at_once("GET", 200)
    assert cell is route.cell_at_once("GET", 200)
    figures.write(table)
    assert table.read().requests == {}
    for expected in (3, 6):
        cell.at_once += 3
        figures.write(table)
        assert table.read().requests == {Kind(7, GET, 200): expected}
        assert table.read().durations[7].counts[0] == expected
    route.count("GET", 200, 0.2)
    figures.write(table)
    assert table.read().requests == {Kind(7, GET, 200): 7}
    assert table.read().durations[7].total == 7


def test_nothing_is_in_the_table_before_it_is_written(table: Table) -> None:
    figures = Figures()
    figures.route(1).count("GET", 200, 0.1)
    figures.note_wait(0.1)
    assert table.read().requests == {}
    assert table.read().queue.total == 0


def test_the_time_in_the_queue_is_written(table: Table) -> None:
    figures = Figures()
    figures.note_wait(0.004)
    figures.write(table)
    figures.note_wait(2.0)
    figures.write(table)
    assert shape(table.read().queue) == shape(of(0.004, 2.0))


@pytest.mark.parametrize("method", ["PROPFIND", "get", "M" * 5000, "other"])
def test_methods_that_nobody_knows_are_one(table: Table, method: str) -> None:
    figures = Figures()
    figures.route(1).count(method, 200, 0.0)
    figures.write(table)
    assert table.read().requests == {Kind(1, OTHER_METHOD, 200): 1}


@pytest.mark.parametrize("status", [-1, 0, 99, 600, 999, 1 << 70])
def test_statuses_that_are_none_are_one(table: Table, status: int) -> None:
    figures = Figures()
    figures.route(1).count("GET", status, 0.0)
    figures.write(table)
    assert table.read().requests == {Kind(1, GET, OTHER_STATUS): 1}


def test_more_kinds_than_there_is_room_for_are_counted_as_other(table: Table) -> None:
    figures = Figures()
    made = 0
    for route in range(1, 6):
        for status in range(200, 500):
            figures.route(route).count("GET", status, 0.0)
            made += 1
    figures.write(table)
    found = table.read().requests
    assert len(found) == MOST_KINDS
    assert found[OTHER_KIND] == made - (MOST_KINDS - 1)
    assert sum(found.values()) == made
    cell = figures.route(9).cell_at_once("GET", 200)
    cell.at_once += 5
    figures.write(table)
    assert table.read().requests[OTHER_KIND] == found[OTHER_KIND] + 5
    assert table.read().durations[OTHER_ROUTE].total == found[OTHER_KIND] + 5


def test_more_routes_than_there_is_room_for_share_their_times(table: Table) -> None:
    figures = Figures()
    for route in range(300):
        figures.route(route).count("GET", 200, 1.0)
    figures.write(table)
    found = table.read()
    assert len(found.requests) == 300
    assert len(found.durations) == MOST_ROUTES
    assert found.durations[OTHER_ROUTE].total == 300 - (MOST_ROUTES - 1)
    assert sum(one.total for one in found.durations.values()) == 300


def test_a_full_table_is_as_new_when_it_is_cleared(table: Table) -> None:
    figures = Figures()
    for route in range(300):
        for method in METHODS:
            figures.route(route).count(method, 200, 60.0)
    figures.note_wait(60.0)
    figures.write(table)
    table.clear()
    found = table.read()
    assert (found.requests, found.durations, found.queue.total) == ({}, {}, 0)
    again = Figures()
    again.route(5).count("GET", 200, 1.0)
    again.write(table)
    assert table.read().requests == {Kind(5, GET, 200): 1}
    assert shape(table.read().durations[5]) == shape(of(1.0))


REQUESTS = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.sampled_from([*METHODS, "BREW"]),
        st.integers(90, 610),
        st.floats(0, 100),
        st.booleans(),
    ),
    max_size=60,
)


@given(st.lists(REQUESTS, min_size=1, max_size=5))
def test_what_is_counted_is_read_and_neighbours_see_nothing(
    turns: list[list[tuple[int, str, int, float, bool]]],
) -> None:
    before, slot, behind = Scoreboard(3).slots
    figures, table = Figures(), slot.table()
    expected: dict[tuple[int, int, int], int] = {}
    times: dict[int, Histogram] = {}
    for turn in turns:
        for route, method, status, seconds, at_once in turn:
            spent = times.setdefault(route, Histogram())
            if at_once:
                figures.route(route).cell_at_once(method, status).at_once += 1
                spent.note_instant(1)
            else:
                figures.route(route).count(method, status, seconds)
                spent.note(seconds)
            number = OTHER_STATUS if status not in range(100, 600) else status
            key = (route, method_number(method), number)
            expected[key] = expected.get(key, 0) + 1
        figures.write(table)
        found = table.read()
        assert found.requests == expected
        assert {route: one.counts for route, one in found.durations.items()} == {
            route: one.counts for route, one in times.items()
        }
        for route, one in found.durations.items():
            assert one.seconds == pytest.approx(times[route].seconds)
    for other in (before, behind):
        assert (other.table().read().requests, other.table().read().durations) == ({}, {})
