"""What was answered by which route, over workers and generations."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from forkd.config.load import load_text
from forkd.config.settings import Settings
from forkd.figures.counting import Figures
from forkd.figures.kinds import RouteName
from forkd.master.lifecycle import Child
from forkd.master.route_figures import RouteTotals
from forkd.master.supervisor import Supervisor
from forkd.scoreboard import Scoreboard
from tests.unit.master.test_lifecycle import SPAWNERS, child
from tests.unit.master.test_status import add

ROUTES = {1: ("/a", "/b"), 2: ("/new", "/b", "/a")}
"""By generation."""
A, B = RouteName("example.org", "/a"), RouteName("example.org", "/b")


@pytest.fixture
def totals(supervisor: Supervisor, tmp_path: Path) -> RouteTotals:
    return RouteTotals(supervisor, lambda number: settings(ROUTES[number], tmp_path))


def settings(patterns: tuple[str, ...], directory: Path) -> Settings:
    routes = "".join(f"\n      {pattern}: {{respond: x}}" for pattern in patterns)
    text = f"sites:\n  - host: example.org\n    routes:{routes}\n"
    return load_text(text, str(directory / "forkd.yaml"), os.environ)


def serve(supervisor: Supervisor, one: Child, route: int, *seconds: float) -> Figures:
    """A worker that has answered so many requests of a route, in so many seconds each."""
    figures = Figures()
    for took in seconds:
        figures.route(route).count("GET", 200, took)
    figures.write(add(supervisor, one).table())
    return figures


def test_workers_are_added_up_by_the_names_of_routes(
    supervisor: Supervisor, totals: RouteTotals
) -> None:
    serve(supervisor, child(1, generation=1), 1, 0.1, 0.1)
    serve(supervisor, child(2, generation=2), 3, 0.1)
    serve(supervisor, child(3, generation=2), 2, 0.1)
    found = totals.now()
    assert found.requests == {(A, "GET", "200"): 3, (B, "GET", "200"): 1}
    assert {name: one.total for name, one in found.durations.items()} == {A: 3, B: 1}


def test_nothing_goes_down_when_a_worker_is_gone_and_its_slot_is_given_away(
    supervisor: Supervisor, totals: RouteTotals
) -> None:
    one = child(1, generation=1)
    figures = serve(supervisor, one, 1, 0.1, 0.2)
    figures.note_wait(0.1)
    figures.write(supervisor.slot(one).table())
    before = totals.now()
    del supervisor.children[1]
    totals.bury(one)
    for _ in range(2):
        found = totals.now()
        assert found.for_metrics() == before.for_metrics(), "and asking changes nothing"
    supervisor.slot(one).clear()
    serve(supervisor, child(1, generation=2), 3, 0.1)
    assert totals.now().requests == {(A, "GET", "200"): 3}
    assert totals.now().queue.total == 1


def test_only_workers_are_asked(supervisor: Supervisor, totals: RouteTotals) -> None:
    spawner = child(1, generation=7, pool=SPAWNERS)
    add(supervisor, spawner)
    totals.bury(spawner)
    assert totals.now().requests == {}


def test_status_has_classes_of_statuses_and_latencies(
    supervisor: Supervisor, totals: RouteTotals
) -> None:
    figures = Figures()
    route = figures.route(1)
    for status in (200, 206, 304, 404, 499, 502, 999):
        route.count("GET", status, 0.3)
    route.count("POST", 201, 0.3)
    figures.unrouted.count("", 400, 0.0)
    figures.note_wait(0.012)
    figures.write(add(supervisor, child(1, generation=1)).table())
    told = totals.now().for_status()
    assert told == {
        "routes": [
            {
                "route": "",
                "site": "",
                "requests": 1,
                "statuses": {"4xx": 1},
                "latency_ms": {"p50": 0.05, "p90": 0.09, "p99": 0.099},
            },
            {
                "route": "/a",
                "site": "example.org",
                "requests": 8,
                "statuses": {"2xx": 3, "3xx": 1, "4xx": 2, "5xx": 1, "other": 1},
                "latency_ms": {"p50": 375.0, "p90": 475.0, "p99": 497.5},
            },
        ],
        "queue_ms": {"p50": 18.0, "p90": 24.0, "p99": 25.0},
    }


def test_without_requests_there_are_no_routes_and_no_times(totals: RouteTotals) -> None:
    nothing = {"p50": None, "p90": None, "p99": None}
    assert totals.now().for_status() == {"routes": [], "queue_ms": nothing}


def test_metrics_have_a_row_for_each_kind_of_request(
    supervisor: Supervisor, totals: RouteTotals
) -> None:
    serve(supervisor, child(1, generation=1), 2, 0.3, 40.0)
    told = totals.now().for_metrics()
    assert told["requests"] == [["example.org", "/b", "GET", "200", 2]]
    assert told["durations"] == [
        ["example.org", "/b", [0] * 11 + [1] + [0] * 5 + [1], pytest.approx(40.3)]
    ]


def test_programs_are_added_up_and_the_largest_is_kept(
    supervisor: Supervisor, totals: RouteTotals
) -> None:
    gone = child(1, generation=1)
    for one, route, memory in ((gone, 2, 300), (child(2, generation=2), 2, 100)):
        figures = Figures()
        figures.route(route).count_program(0.5, memory)
        figures.route(route).count_program(0.25, 50)
        figures.write(add(supervisor, one).table())
    del supervisor.children[1]
    totals.bury(gone)
    for _ in range(2):
        told = totals.now().for_metrics()
        assert told["programs_by_route"] == [["example.org", "/b", 4, 1.5, 300]]
    supervisor.slot(gone).clear()
    serve(supervisor, child(1, generation=2), 2, 0.1)
    routes = totals.now().for_status()["routes"]
    assert isinstance(routes, list)
    (route,) = routes
    assert route["programs"] == {"ended": 4, "cpu_s": 1.5, "peak_memory": 300}


def test_a_slot_that_is_cleared_has_no_figures_left() -> None:
    slot = Scoreboard(1).slots[0]
    figures = Figures()
    figures.route(1).count("GET", 200, 1.0)
    figures.route(1).count_program(1.0, 1)
    figures.write(slot.table())
    slot.clear()
    assert slot.table().read().requests == {}
    figures.route(1).count("GET", 200, 1.0)
    Figures().write(slot.table())
    slot.table().take_route(0, 1)
    assert slot.table().read().programs == {}
