"""Connections that hostile or unlucky clients and jobs bring into corners."""

from __future__ import annotations

import socket

import pytest

from forkd.handlers.base import Request, Response, make_response
from forkd.server.context import HALF_CLOSED_S, READ_AHEAD
from tests.unit.server.conftest import MakeScene
from tests.unit.server.scene import Fixed, Jobs, ManualJob, Scene, head, parse, text


def wanting(job: ManualJob) -> None:
    job.on_start = lambda: job.exchange.resume_body()


def fill(one: Scene) -> None:
    """Let the client's receive queue become full, so that from now on output waits."""
    jobs_exchange = one.connection
    while not jobs_exchange.queued:
        jobs_exchange.send(bytes(1 << 16))


def test_reading_goes_on_when_half_a_head_follows_what_was_read_ahead(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": text("ok"), "/slow/": jobs})
    first = head("/slow/")
    many = head("/") * (2 * READ_AHEAD // len(head("/")))
    last = head("/", "X-Last: yes")
    try:
        one.client.sendall(first + many + last[:-10])
    except BlockingIOError:
        pytest.skip("the socket does not take that much")
    one.loop.settle()
    jobs.last.exchange.answer(make_response(200, [], b""))
    got = one.read()
    one.send(last[-10:])
    got += one.read()
    assert got.count(b"HTTP/1.1 200") == 2 + many.count(b"GET")


def test_a_head_that_begins_late_in_the_idle_time_has_its_own_time(scene: MakeScene) -> None:
    one = scene({"/": text("ok")}, keepalive_timeout="20s", header_timeout="10s")
    one.ask().read()
    one.loop.pass_time(19)
    one.send(head()[:10])
    one.loop.pass_time(8)
    one.send(head()[10:])
    assert one.reply().status == 200


def test_a_head_that_trickles_gains_nothing(scene: MakeScene) -> None:
    one = scene({"/": text("ok")}, keepalive_timeout="20s", header_timeout="10s")
    one.ask().read()
    for byte in head()[:11]:
        one.send(bytes([byte]))
        one.loop.pass_time(1)
    assert one.reply().status == 408


def test_a_job_that_writes_on_does_not_keep_a_stuck_client(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs}, write_timeout="10s")
    one.ask()
    jobs.last.exchange.begin(200, b"", [], None)
    while not one.connection.queued:
        jobs.last.exchange.write(bytes(1 << 16))
    for _ in range(12):
        one.loop.pass_time(1)
        jobs.last.exchange.write(b"tick")
    assert one.connection.closed
    assert jobs.last.told == ["start", "disconnected"]


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204)])
def test_a_head_without_a_body_that_is_not_taken_has_a_deadline(
    scene: MakeScene, method: str, status: int
) -> None:
    jobs = Jobs()
    one = scene({"/": jobs}, write_timeout="10s")
    one.ask(method=method)
    fill(one)
    jobs.last.exchange.begin(status, b"", [], None)
    jobs.last.exchange.write(b"ignored")
    one.loop.pass_time(11)
    assert one.connection.closed


def test_a_client_that_is_gone_is_noticed_though_nothing_is_written(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask(method="HEAD")
    jobs.last.exchange.begin(200, b"", [], None)
    one.client.shutdown(socket.SHUT_WR)
    for _ in range(20):
        jobs.last.exchange.write(b"output of which a HEAD request gets nothing")
        one.loop.pass_time(HALF_CLOSED_S / 10)
    assert jobs.last.told == ["start", "disconnected"]


def test_a_half_closed_client_that_takes_what_comes_gets_all(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    jobs.last.exchange.begin(200, b"", [], None)
    one.client.shutdown(socket.SHUT_WR)
    for _ in range(6):
        one.loop.pass_time(HALF_CLOSED_S - 1)
        jobs.last.exchange.write(b"x")
    jobs.last.exchange.finish()
    assert one.reply().body == b"xxxxxx"


def test_a_half_close_counts_for_each_of_several_requests(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.send(head() + head())
    one.client.shutdown(socket.SHUT_WR)
    one.loop.settle()
    jobs.last.exchange.answer(make_response(200, [], b"first"))
    assert len(jobs.made) == 2
    one.loop.pass_time(HALF_CLOSED_S + 0.5)
    assert jobs.last.told == ["start", "disconnected"]


def test_a_whole_body_with_a_half_close_behind_it_is_no_fault(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.send(head("/", "Content-Length: 5", method="POST") + b"01234")
    one.client.shutdown(socket.SHUT_WR)
    one.loop.settle()
    jobs.last.exchange.resume_body()
    assert (jobs.last.got, jobs.last.told) == (b"01234", ["start", "body ended"])
    jobs.last.exchange.answer(make_response(200, [], b"done"))
    assert one.reply().body == b"done"


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET http://example.org/ HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 2\r\n\r\n01",
    ],
    ids=["HTTP/1.0 without a Host", "absolute target", "with a body that nobody read"],
)
def test_an_internal_redirect_is_a_request_of_the_same_client(
    scene: MakeScene, request_head: bytes
) -> None:
    seen: list[Request] = []

    def there(request: Request) -> Response:
        seen.append(request)
        return make_response(200, [], b"there")

    jobs = Jobs()
    one = scene({"/": jobs, "/there": Fixed(there)})
    one.send(request_head)
    jobs.last.exchange.redirect(b"/there")
    assert one.reply().body == b"there"
    assert seen[0].head.method == "GET"
    assert seen[0].head.host in ("", "example.org")
    assert seen[0].head.version == jobs.last.exchange.request.head.version


def test_a_body_left_behind_by_a_redirect_is_not_the_next_request(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs, "/there": text("there"), "/next": text("next")})
    smuggled = head("/evil")
    one.send(head("/", f"Content-Length: {len(smuggled)}", method="POST"))
    jobs.last.exchange.redirect(b"/there")
    assert one.reply().body == b"there"
    one.send(smuggled + head("/next"))
    assert one.reply().body == b"next"


def test_too_much_body_is_said_once(scene: MakeScene, caplog: pytest.LogCaptureFixture) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    jobs.last.exchange.begin(200, b"", [], 3)
    for _ in range(5):
        jobs.last.exchange.write(b"12")
    jobs.last.exchange.finish()
    assert one.reply().body == b"121"
    assert len([line for line in caplog.messages if "Content-Length" in line]) == 1


def test_a_client_lost_at_the_answer_has_taken_nothing(scene: MakeScene) -> None:
    def answer(_request: Request) -> Response:
        one.client.close()
        return make_response(200, [], b"0123456789")

    one = scene({"/": Fixed(answer)})
    one.ask()
    assert one.connection.closed
    (line,) = one.lines()
    assert '" 200 0 ' in line


def test_what_a_lost_client_had_not_taken_is_not_counted(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    jobs.last.exchange.begin(200, b"", [], 1 << 22)
    jobs.last.exchange.write(bytes(1 << 22))
    waiting = one.connection.queued
    assert waiting
    one.client.close()
    one.loop.settle()
    (line,) = one.lines()
    assert f'" 200 {(1 << 22) - waiting} ' in line


def test_thousands_of_requests_at_once_need_no_stack(scene: MakeScene) -> None:
    jobs = Jobs(lambda job: setattr(job, "on_start", lambda: job.exchange.fail(503)))
    one = scene({"/": jobs})
    data = head() * 5000
    got = 0
    while data:
        sent = one.client.send(data[:50_000])
        data = data[sent:]
        got += one.read().count(b"HTTP/1.1 503")
    assert got == 5000


def test_a_fault_after_the_head_breaks_the_answer_and_nothing_else(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    jobs.last.exchange.begin(200, b"", [], 100)
    jobs.last.exchange.write(b"half")
    jobs.last.exchange.fail(502)
    reply = parse(one.read(), closed=one.ended)
    assert reply.body is None
    assert len(one.lines()) == 1
