"""Bodies of requests: taken by a job, refused, thrown away."""

from __future__ import annotations

import pytest

from forkd.handlers.base import make_response
from forkd.server.context import LINGER_MOST_S
from tests.unit.server.conftest import MakeScene
from tests.unit.server.scene import Jobs, ManualJob, head, parse, text

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def wanting(job: ManualJob) -> None:
    job.on_start = lambda: job.exchange.resume_body()


@pytest.mark.parametrize(
    ("header", "wire"),
    [
        ("Content-Length: 10", [b"01234", b"56789"]),
        ("Transfer-Encoding: chunked", [b"5\r\n01234\r\n", b"5\r\n56789\r\n0\r\n\r\n"]),
    ],
)
def test_a_job_gets_the_body_as_it_comes_and_then_its_end(
    scene: MakeScene, header: str, wire: list[bytes]
) -> None:
    jobs = Jobs(wanting)
    one = scene({"/": jobs})
    one.send(head("/", header, method="POST") + wire[0])
    assert (jobs.last.got, jobs.last.told) == (b"01234", ["start"])
    one.send(wire[1] + head())
    assert (jobs.made[0].got, jobs.made[0].told) == (b"0123456789", ["start", "body ended"])
    jobs.made[0].exchange.answer(make_response(200, [], b"done"))
    assert one.reply().body == b"done"
    assert len(jobs.made) == 2, "what follows the body is the next request"


def test_a_body_is_not_read_before_the_job_wants_it(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.send(head("/", "Content-Length: 5", method="POST") + b"01234")
    assert jobs.last.got == b""
    jobs.last.exchange.resume_body()
    assert (jobs.last.got, jobs.last.told) == (b"01234", ["start", "body ended"])


def test_a_paused_body_makes_the_client_wait(scene: MakeScene) -> None:
    jobs = Jobs(wanting)
    one = scene({"/": jobs}, max_body=10 << 20)
    one.send(head("/", "Content-Length: 8000000", method="POST"))
    jobs.last.on_body = lambda: jobs.last.exchange.pause_body()
    sent = 0
    try:
        while sent < 8_000_000:
            sent += one.client.send(bytes(50_000))
            one.loop.settle()
    except BlockingIOError:
        pass
    assert sent < 2_000_000
    jobs.last.on_body = lambda: None
    jobs.last.exchange.resume_body()
    while sent < 8_000_000:
        one.loop.settle()
        sent += one.client.send(bytes(min(50_000, 8_000_000 - sent)))
    one.loop.settle()
    assert len(jobs.last.got) == 8_000_000
    assert jobs.last.told == ["start", "body ended"]


def test_a_client_that_waits_for_it_is_told_to_go_on_once(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.send(head("/", "Content-Length: 2", "Expect: 100-continue", method="POST"))
    assert one.read() == b"", "not before somebody wants the body"
    jobs.last.exchange.resume_body()
    assert one.read() == CONTINUE
    one.send(b"o")
    jobs.last.exchange.pause_body()
    jobs.last.exchange.resume_body()
    one.send(b"k")
    assert one.read() == b""
    assert jobs.last.got == b"ok"
    jobs.last.exchange.answer(make_response(200, [], b"x"))
    assert "Connection" not in one.reply().headers


def test_a_client_that_did_not_wait_is_not_told(scene: MakeScene) -> None:
    jobs = Jobs(wanting)
    one = scene({"/": jobs})
    one.send(head("/", "Content-Length: 2", "Expect: 100-continue", method="POST") + b"ok")
    assert one.read() == b""


def test_who_waits_for_100_and_gets_a_refusal_is_told_to_close(scene: MakeScene) -> None:
    """It may send the body or not: what comes next cannot be told apart."""
    one = scene({"/": text("x")})
    one.ask("/", "Content-Length: 5", "Expect: 100-continue", method="POST")
    reply = one.reply()
    assert (reply.status, reply.headers["Connection"]) == (405, "close")
    assert one.ended


@pytest.mark.parametrize(
    ("header", "wire"),
    [
        ("Content-Length: 1001", b""),
        ("Transfer-Encoding: chunked", b"3e9\r\n" + bytes(1001) + b"\r\n0\r\n\r\n"),
    ],
)
def test_a_body_that_is_too_large_is_413(scene: MakeScene, header: str, wire: bytes) -> None:
    one = scene({"/": Jobs(wanting)}, max_body=1000)
    one.send(head("/", header, method="POST") + wire)
    reply = one.reply()
    assert (reply.status, reply.headers["Connection"]) == (413, "close")


@pytest.mark.parametrize("size", [10, 200_000])
def test_a_small_body_that_nobody_wants_is_read_and_the_connection_kept(
    scene: MakeScene, size: int
) -> None:
    one = scene({"/": text("answer", 403), "/x": text("next")})
    one.ask("/", f"Content-Length: {size}")
    assert one.reply().status == 403
    sent = 0
    while sent < size:
        sent += one.client.send(bytes(size - sent))
        one.loop.settle()
    one.ask("/x")
    assert one.reply().body == b"next"


def test_a_large_body_that_nobody_wants_closes_the_connection(scene: MakeScene) -> None:
    one = scene({"/": text("no", 403)}, max_body=10 << 20)
    one.ask("/", "Content-Length: 300000")
    reply = one.reply()
    assert (reply.status, reply.headers["Connection"]) == (403, "close")


def test_an_endless_body_that_nobody_wants_is_not_read_for_ever(scene: MakeScene) -> None:
    one = scene({"/": text("no", 403)}, max_body=100 << 20)
    one.ask("/", "Transfer-Encoding: chunked")
    assert one.reply().status == 403
    chunk = b"8000\r\n" + bytes(0x8000) + b"\r\n"
    sent = 0
    try:
        for _ in range(1000):
            one.client.sendall(chunk)
            one.loop.pass_time(0.1)
            sent += 1
    except OSError:
        pass
    assert sent < 10 * LINGER_MOST_S + 20


@pytest.mark.parametrize("begun", [False, True])
def test_a_body_that_turns_out_malformed_is_told_to_job_and_client(
    scene: MakeScene, begun: bool
) -> None:
    jobs = Jobs(wanting)
    one = scene({"/": jobs})
    one.send(head("/", "Transfer-Encoding: chunked", method="POST") + b"2\r\nok\r\n")
    if begun:
        jobs.last.exchange.begin(200, b"", [], None)
        one.read()
    one.send(b"nonsense\r\n")
    assert jobs.last.told == ["start", "disconnected"]
    data = one.read()
    if begun:
        assert data == b""
    else:
        assert parse(data).status == 400
    assert one.ended


def test_a_body_that_comes_too_slowly_is_408(scene: MakeScene) -> None:
    jobs = Jobs(wanting)
    one = scene({"/": jobs}, body_timeout="5s")
    one.send(head("/", "Content-Length: 5", method="POST") + b"01")
    one.loop.pass_time(4)
    one.send(b"2")
    one.loop.pass_time(4)
    assert one.read() == b""
    one.loop.pass_time(2)
    assert one.reply().status == 408
    assert jobs.last.told == ["start", "disconnected"]
