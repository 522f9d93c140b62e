"""One line for each answer, with the bytes of the body that the client took."""

from __future__ import annotations

import pytest

from forkd.handlers.base import make_response
from forkd.server.clock import Clock, log_time
from tests.unit.server.conftest import MakeScene
from tests.unit.server.scene import Jobs, head, text

NOBODY = '"-" "-"'


def test_each_answer_has_its_line(scene: MakeScene) -> None:
    one = scene({"/": text("hello")})
    one.ask("/?q=1", "Referer: http://a/", "User-Agent: curl/8").read()
    one.ask("/", method="HEAD").read()
    one.ask("/", method="POST").read()
    one.send(b"bad\r\n\r\n")
    one.read()
    lines = one.lines()
    assert lines[0] == '"GET /?q=1 HTTP/1.1" 200 5 "http://a/" "curl/8"'
    assert lines[1] == f'"HEAD / HTTP/1.1" 200 0 {NOBODY}'
    assert lines[2].startswith('"POST / HTTP/1.1" 405 ')
    assert lines[3].startswith('"-" 400 ')
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("method", "length", "line"),
    [
        ("GET", None, '"GET / HTTP/1.1" 200 10'),
        ("GET", 10, '"GET / HTTP/1.1" 200 10'),
        ("HEAD", 10, '"HEAD / HTTP/1.1" 200 0'),
    ],
)
def test_a_job_s_bytes_are_those_of_its_body_without_the_framing(
    scene: MakeScene, method: str, length: int | None, line: str
) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask(method=method)
    jobs.last.exchange.begin(200, b"", [], length)
    jobs.last.exchange.write(b"01234")
    jobs.last.exchange.write(b"56789")
    assert one.lines() == []
    jobs.last.exchange.finish()
    assert one.lines() == [f"{line} {NOBODY}"]


def test_a_client_that_goes_before_the_answer_is_499(scene: MakeScene) -> None:
    one = scene({"/": Jobs()})
    one.ask()
    one.client.close()
    one.loop.settle()
    assert one.lines() == [f'"GET / HTTP/1.1" 499 0 {NOBODY}']


def test_a_client_that_goes_within_the_answer_is_logged_with_what_was_sent(
    scene: MakeScene,
) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    jobs.last.exchange.begin(200, b"", [], None)
    jobs.last.exchange.write(b"0123")
    one.client.close()
    one.loop.settle()
    assert one.lines() == [f'"GET / HTTP/1.1" 200 4 {NOBODY}']


def test_an_answer_that_waits_is_logged_once_it_is_taken(scene: MakeScene) -> None:
    one = scene({"/": text("x" * 3_000_000), "/a": text("a")})
    one.send(head("/") + head("/a"))
    assert one.lines() == []
    one.read()
    assert one.lines() == [
        f'"GET / HTTP/1.1" 200 3000000 {NOBODY}',
        f'"GET /a HTTP/1.1" 200 1 {NOBODY}',
    ]
    assert one.server.tally.bytes_sent == 3_000_001


def test_a_redirect_inside_is_one_request_and_one_line(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/job": jobs, "/": text("there")})
    one.ask("/job")
    jobs.last.exchange.redirect(b"/")
    one.read()
    assert one.lines() == [f'"GET /job HTTP/1.1" 200 5 {NOBODY}']
    assert one.server.tally.requests == 1


def test_what_a_client_sends_cannot_forge_a_line(scene: MakeScene) -> None:
    one = scene({"/": text("x")})
    one.ask('/"%0a', 'User-Agent: a" 200 \\ ü').read()
    (line,) = one.lines()
    assert line.endswith('"GET /\\x22%0a HTTP/1.1" 200 1 "-" "a\\x22 200 \\x5C \\xC3\\xBC"')


def test_errors_are_counted_where_they_are_the_server_s(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs, "/a": text("no", 403)})
    one.ask("/a").read()
    one.ask()
    jobs.last.exchange.answer(make_response(503, [], b""))
    assert one.server.tally.errors == 1


def test_the_clock_is_right_for_the_rest_of_its_second() -> None:
    clock = Clock(0.0)
    clock.refresh(500.0)
    assert 500.0 < clock.until <= 501.0
    assert clock.keeping == b"Date: %b\r\n\r\n" % clock.date
    assert clock.closing == b"Date: %b\r\nConnection: close\r\n\r\n" % clock.date
    assert clock.keeping_1_0 == b"Date: %b\r\nConnection: keep-alive\r\n\r\n" % clock.date


def test_the_time_of_a_log_line_is_local_and_has_its_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "XST-01:30")
    time.tzset()
    try:
        assert log_time(784111777) == b"06/Nov/1994:10:19:37 +0130"
    finally:
        monkeypatch.undo()
        time.tzset()
