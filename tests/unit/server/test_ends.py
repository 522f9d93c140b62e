"""How connections end: deadlines, half-closes, lingering, draining, clients that go."""

from __future__ import annotations

import socket

import pytest

from forkd.handlers.base import make_response
from forkd.server.context import HALF_CLOSED_S, LINGER_MOST_S, LINGER_S
from tests.unit.server.conftest import MakeScene
from tests.unit.server.scene import Jobs, ManualJob, head, parse, text


def wanting(job: ManualJob) -> None:
    job.on_start = lambda: job.exchange.resume_body()


def test_a_connection_that_says_nothing_is_closed_silently(scene: MakeScene) -> None:
    one = scene({"/": text("x")}, header_timeout="3s")
    one.loop.pass_time(2.8)
    ended = [one.ended]
    one.loop.pass_time(0.5)
    assert one.read() == b""
    assert [*ended, one.ended] == [False, True]
    assert one.lines() == []


def test_a_head_that_trickles_is_408_in_the_same_time(scene: MakeScene) -> None:
    one = scene({"/": text("x")}, header_timeout="3s")
    for byte in b"GET / HTTP/1.1\r\n":
        one.send(bytes([byte]))
        one.loop.pass_time(0.2)
    assert one.reply().status == 408
    assert one.ended


def test_the_time_of_a_second_head_begins_with_its_first_byte(scene: MakeScene) -> None:
    one = scene({"/": text("x")}, header_timeout="3s", keepalive_timeout="60s")
    one.ask().read()
    one.loop.pass_time(50)
    one.send(b"GET / HT")
    one.loop.pass_time(2.5)
    assert not one.ended
    one.loop.pass_time(1)
    assert one.reply().status == 408


def test_an_idle_connection_is_closed_after_its_time(scene: MakeScene) -> None:
    one = scene({"/": text("x")}, keepalive_timeout="10s")
    for _ in range(3):
        one.loop.pass_time(9)
        assert one.ask().reply().body == b"x"
    one.loop.pass_time(10.2)
    assert one.ended


def test_a_client_that_does_not_read_is_given_up(scene: MakeScene) -> None:
    one = scene({"/": text("x" * 3_000_000)}, write_timeout="5s")
    one.ask()
    for _ in range(4):
        one.loop.pass_time(4)
        assert len(one.client.recv(400_000)) > 0
    one.loop.pass_time(5.5)
    assert one.connection.closed
    (line,) = one.lines()
    size = int(line.split()[4])
    assert 1_000_000 < size < 3_000_000, "what the client took is what the log says"


def test_a_client_that_half_closes_after_its_request_gets_its_answer(scene: MakeScene) -> None:
    one = scene({"/": text("x")})
    one.client.send(head())
    one.client.shutdown(socket.SHUT_WR)
    assert one.reply().body == b"x"
    assert one.connection.closed


def test_all_pipelined_requests_before_a_half_close_are_answered(scene: MakeScene) -> None:
    big = "x" * 500_000
    one = scene({"/": text("x"), "/big": text(big)})
    one.client.send(head("/big") + head() + head())
    one.client.shutdown(socket.SHUT_WR)
    data = one.read()
    for body in (big, "x", "x"):
        reply = parse(data)
        assert reply.body == body.encode()
        data = reply.rest
    assert one.connection.closed


def test_an_answer_that_comes_soon_after_a_half_close_is_sent(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    one.client.shutdown(socket.SHUT_WR)
    one.loop.pass_time(HALF_CLOSED_S - 0.5)
    assert jobs.last.told == ["start"]
    jobs.last.exchange.answer(make_response(200, [], b"just in time"))
    assert one.reply().body == b"just in time"


def test_an_answer_that_does_not_come_soon_after_a_half_close_is_given_up(
    scene: MakeScene,
) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    one.client.shutdown(socket.SHUT_WR)
    one.loop.pass_time(HALF_CLOSED_S + 0.5)
    assert jobs.last.told == ["start", "disconnected"]
    assert one.connection.closed


def test_an_answer_that_has_begun_is_not_given_up_for_a_half_close(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    jobs.last.exchange.begin(200, b"", [], None)
    one.client.shutdown(socket.SHUT_WR)
    got = b""
    for _ in range(10):
        one.loop.pass_time(HALF_CLOSED_S - 0.5)
        jobs.last.exchange.write(b"slow")
        got += one.read()
    jobs.last.exchange.finish()
    assert parse(got + one.read()).body == b"slow" * 10


def test_an_answer_that_says_nothing_more_after_a_half_close_is_given_up(
    scene: MakeScene,
) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    jobs.last.exchange.begin(200, b"", [], None)
    one.client.shutdown(socket.SHUT_WR)
    one.loop.pass_time(2 * HALF_CLOSED_S + 0.5)
    assert jobs.last.told == ["start", "disconnected"]
    assert one.connection.closed


def test_a_body_that_ends_early_is_400(scene: MakeScene) -> None:
    jobs = Jobs(wanting)
    one = scene({"/": jobs})
    one.send(head("/", "Content-Length: 10", method="POST") + b"01234")
    one.client.shutdown(socket.SHUT_WR)
    assert one.reply().status == 400
    assert jobs.last.told == ["start", "disconnected"]
    assert one.connection.closed


@pytest.mark.parametrize("begun", [False, True])
def test_a_client_that_goes_is_told_to_the_job(scene: MakeScene, begun: bool) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    if begun:
        jobs.last.exchange.begin(200, b"", [], None)
        jobs.last.exchange.write(b"0123")
    one.client.close()
    one.loop.settle()
    assert jobs.last.told == ["start", "disconnected"]
    assert one.connection.closed


def test_after_a_refusal_the_client_may_read_before_the_connection_goes(scene: MakeScene) -> None:
    one = scene({"/": text("no", 403)}, max_body=1000)
    one.ask("/", "Content-Length: 5000000")
    for _ in range(20):
        one.client.send(bytes(50_000))
        one.loop.settle()
    assert one.reply().status == 413
    assert one.ended
    assert not one.connection.closed, "it reads on, so that no reset overtakes the answer"
    one.loop.pass_time(LINGER_S + 0.2)
    assert one.connection.closed


def test_a_client_that_never_stops_sending_is_not_read_for_ever(scene: MakeScene) -> None:
    one = scene({"/": text("no", 403)}, max_body=1000)
    one.ask("/", "Content-Length: 5000000000")
    passed = 0.0
    while passed < LINGER_MOST_S - 1:
        one.client.send(bytes(50_000))
        one.loop.pass_time(1)
        passed += 1
        assert not one.connection.closed
    one.client.send(bytes(50_000))
    one.loop.pass_time(1.2)
    assert one.connection.closed


def test_lingering_ends_when_the_client_has_closed(scene: MakeScene) -> None:
    one = scene({"/": text("x")})
    one.send(b"bad\r\n\r\n")
    assert one.reply().status == 400
    one.client.close()
    one.loop.settle()
    assert one.connection.closed


def test_a_draining_server_answers_what_is_on_its_way_and_closes(scene: MakeScene) -> None:
    one = scene({"/": text("x")})
    one.ask().read()
    one.server.drain(10.0)
    one.loop.pass_time(9)
    reply = one.ask().reply()
    assert (reply.status, reply.headers["Connection"]) == (200, "close")
    assert one.ended


def test_a_draining_server_keeps_an_idle_connection_for_a_bounded_time(scene: MakeScene) -> None:
    one = scene({"/": text("x")})
    one.ask().read()
    one.server.drain(10.0)
    one.loop.pass_time(9.5)
    assert not one.connection.closed
    one.loop.pass_time(1)
    assert one.connection.closed


def test_a_job_under_way_is_finished_while_draining(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    closed: list[str] = []
    one.server.on_closed = lambda: closed.append("closed")
    one.server.drain(0.5)
    one.loop.pass_time(20)
    assert list(one.server.under_way) == [one.connection]
    jobs.last.exchange.begin(200, b"", [], None)
    jobs.last.exchange.write(b"whole")
    jobs.last.exchange.finish()
    reply = one.reply()
    assert (reply.body, reply.headers["Connection"]) == (b"whole", "close")
    one.client.close()
    one.loop.settle()
    assert closed == ["closed"]


def test_abandoning_counts_the_requests_that_are_lost(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    assert one.server.abandon() == 1
    assert jobs.last.told == ["start", "disconnected"]
    assert one.server.abandon() == 0
