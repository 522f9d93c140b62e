"""What a connection counts: each answer once, with its route, and how long it took."""

from __future__ import annotations

import mmap

import pytest

from forkd.figures.kinds import METHODS
from forkd.figures.table import SIZE, Snapshot, Table
from forkd.handlers.base import Exchange, Request, Response, make_response
from tests.unit.server.conftest import MakeScene
from tests.unit.server.scene import Fixed, Jobs, ManualJob, Scene, head, text


def snapshot(one: Scene) -> Snapshot:
    table = Table(mmap.mmap(-1, SIZE), 0)
    one.figures.write(table)
    return table.read()


def counted(one: Scene) -> dict[tuple[int, str, int], int]:
    """By number of the route, which counts from 1; 0 is none. To be asked once."""
    found = snapshot(one).requests
    return {(kind.route, METHODS[kind.method], kind.status): n for kind, n in found.items()}


def took(one: Scene, route: int = 1) -> float:
    """The seconds of one request, the only one of its route."""
    durations = snapshot(one).durations[route]
    assert durations.total == 1
    return durations.seconds


def fresh(request: Request) -> Response:
    response = make_response(200, [], b"x")
    response.fresh_until = request.started + 60
    return response


def test_answers_are_counted_by_the_route_that_gives_them(scene: MakeScene) -> None:
    one = scene({"/": text("a"), "/b": text("b", 503), "/c/": text("c")})
    for target, method in (
        *(("/", "GET"), ("/x", "GET"), ("/", "HEAD"), ("/b", "GET"), ("/b", "GET")),
        *(("/", "POST"), ("/", "OPTIONS"), ("/", "BREW"), ("/c", "GET"), ("/c/", "GET")),
    ):
        one.ask(target, method=method).read()
    assert counted(one) == {
        (1, "GET", 200): 2,
        (1, "HEAD", 200): 1,
        (2, "GET", 503): 2,
        (1, "POST", 405): 1,
        (1, "OPTIONS", 200): 1,
        (1, "other", 501): 1,
        (0, "GET", 301): 1,
        (3, "GET", 200): 1,
    }


def test_what_no_route_takes_and_what_is_no_request_has_no_route(scene: MakeScene) -> None:
    one = scene({"/b": text("b")})
    one.ask("/b").read()
    one.ask("/nowhere").read()
    one.send(b"bad\r\n\r\n").read()
    assert counted(one) == {(1, "GET", 200): 1, (0, "GET", 404): 1, (0, "", 400): 1}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_an_answer_that_is_remembered_is_counted_as_any_other(
    scene: MakeScene, method: str, version: str
) -> None:
    one = scene({"/other": text("no"), "/": Fixed(fresh)})
    for _ in range(5):
        one.ask("/", "Connection: keep-alive", method=method, version=version).read()
    one.send(head("/", method=method) * 3).read()
    found = snapshot(one)
    assert {kind.route: n for kind, n in found.requests.items()} == {2: 8}
    assert found.durations[2].total == 8


def test_a_remembered_answer_that_the_client_takes_slowly_is_timed(scene: MakeScene) -> None:
    big = make_response(200, [], bytes(8 << 20))
    big.fresh_until = float("inf")
    one = scene({"/": Fixed(big)})
    for expected in (1, 2):
        one.ask()
        one.loop.pass_time(3.0)
        assert len(one.read()) > 8 << 20
        durations = snapshot(one).durations[1] if expected == 2 else None
    assert durations is not None
    assert durations.total == 2
    assert durations.seconds == pytest.approx(6.0, abs=0.2)


def test_the_time_is_from_the_first_byte_of_the_head_to_the_end_of_the_answer(
    scene: MakeScene,
) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    request = head()
    one.loop.pass_time(5.0)
    one.send(request[:3])
    one.loop.pass_time(1.0)
    one.send(request[3:10])
    one.loop.pass_time(1.0)
    one.send(request[10:])
    one.loop.pass_time(1.0)
    jobs.last.exchange.begin(200, b"", [], 2)
    one.loop.pass_time(1.0)
    jobs.last.exchange.write(b"ok")
    jobs.last.exchange.finish()
    assert took(one) == pytest.approx(4.0)


def test_the_time_of_one_request_is_not_that_of_the_next(scene: MakeScene) -> None:
    jobs = Jobs(lambda job: setattr(job, "on_start", lambda: _answer(job)))
    one = scene({"/slow": jobs, "/": text("x")})
    request = head("/slow")
    one.send(request[:5])
    one.loop.pass_time(2.0)
    one.send(request[5:]).read()
    one.loop.pass_time(2.0)
    one.ask("/").read()
    assert took(one, 1) == pytest.approx(2.0)


def _answer(job: ManualJob) -> None:
    job.exchange.answer(make_response(200, [], b""))


def test_a_request_that_waits_for_the_answer_before_its_own_begins_with_that(
    scene: MakeScene,
) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.send(head("/") * 2)
    one.loop.pass_time(3.0)
    _answer(jobs.last)
    one.loop.pass_time(1.0)
    _answer(jobs.last)
    assert snapshot(one).durations[1].seconds == pytest.approx(4.0)


def test_a_head_that_comes_too_slowly_counts_with_its_time(scene: MakeScene) -> None:
    one = scene({"/": text("x")}, header_timeout=10)
    one.loop.pass_time(4.0)
    one.send(b"GET / HT")
    one.loop.pass_time(6.5)
    found = snapshot(one)
    assert {tuple(kind) for kind in found.requests} == {(0, 0, 408)}
    assert found.durations[0].seconds == pytest.approx(6.0, abs=0.3)


def test_a_client_that_leaves_is_counted_as_499(scene: MakeScene) -> None:
    one = scene({"/": Jobs()})
    one.ask()
    one.client.close()
    one.loop.settle()
    assert counted(one) == {(1, "GET", 499): 1}


def test_an_internal_redirect_counts_for_the_route_that_answers(scene: MakeScene) -> None:
    def redirect(exchange: Exchange) -> None:
        exchange.redirect(b"/to")

    jobs = Jobs(lambda job: setattr(job, "on_start", lambda: redirect(job.exchange)))
    one = scene({"/from": jobs, "/to": text("here")})
    one.ask("/from", method="POST").read()
    assert counted(one) == {(2, "POST", 200): 1}


def test_every_line_of_the_access_log_is_counted_once(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": Fixed(fresh), "/job": jobs}, max_body=3)
    for _ in range(3):
        one.ask().read()
    one.ask("/job")
    jobs.last.exchange.begin(200, b"", [], 10)
    jobs.last.exchange.write(b"half")
    jobs.last.exchange.fail(500)
    one.loop.settle()
    assert len(one.lines()) == sum(snapshot(one).requests.values()) == 4
