"""Answers that a job makes bit by bit: framing, bodies, redirects, faults."""

from __future__ import annotations

import os

import pytest

from forkd.handlers.base import make_response
from tests.unit.server.conftest import MakeScene
from tests.unit.server.scene import Jobs, ManualJob, head, parse, text


@pytest.mark.parametrize(
    ("version", "length", "framing", "kept"),
    [
        ("1.1", None, {"Transfer-Encoding": "chunked"}, True),
        ("1.1", 10, {"Content-Length": "10"}, True),
        ("1.0", 10, {"Content-Length": "10", "Connection": "keep-alive"}, True),
        ("1.0", None, {"Connection": "close"}, False),
    ],
)
def test_how_the_end_of_a_body_is_told(
    scene: MakeScene, version: str, length: int | None, framing: dict[str, str], kept: bool
) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask("/", "Connection: keep-alive", version=version)
    exchange = jobs.last.exchange
    begun = [exchange.begun]
    exchange.begin(200, b"", [(b"X-A", b"b")], length)
    assert [*begun, exchange.begun] == [False, True]
    for piece in (b"01234", b"", b"56789"):
        exchange.write(piece)
    exchange.finish()
    reply = one.reply()
    assert reply.body == b"0123456789"
    assert reply.headers["X-A"] == "b"
    names = ("Transfer-Encoding", "Content-Length", "Connection")
    assert {name: reply.headers[name] for name in names if name in reply.headers} == framing
    assert one.ended is not kept


@pytest.mark.parametrize(
    ("method", "status", "length", "content_length"),
    [
        ("HEAD", 200, None, None),
        ("HEAD", 200, 10, "10"),
        ("GET", 204, None, None),
        ("GET", 204, 10, None),
        ("GET", 304, None, None),
        ("GET", 304, 10, "10"),
    ],
)
def test_an_answer_without_a_body_has_none_whatever_the_job_writes(
    scene: MakeScene, method: str, status: int, length: int | None, content_length: str | None
) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask(method=method)
    jobs.last.exchange.begin(status, b"", [], length)
    jobs.last.exchange.write(b"0123456789")
    jobs.last.exchange.finish()
    reply = one.reply(head_only=True)
    assert (reply.status, reply.rest) == (status, b"")
    assert reply.headers.get("Content-Length") == content_length
    assert "Transfer-Encoding" not in reply.headers
    assert not one.ended


def test_the_reason_is_the_job_s(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    jobs.last.exchange.begin(299, b"Nearly", [], 0)
    jobs.last.exchange.finish()
    assert one.read().startswith(b"HTTP/1.1 299 Nearly\r\n")


@pytest.mark.parametrize(
    ("length", "got"), [(None, b"hello, you"), (10, b"hello, you"), (3, b"hel")]
)
def test_the_beginning_of_a_body_may_come_with_the_head(
    scene: MakeScene, length: int | None, got: bytes
) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    jobs.last.exchange.begin(200, b"", [], length, b"hello")
    jobs.last.exchange.write(b", you")
    jobs.last.exchange.finish()
    assert one.reply().body == got
    assert one.lines() == [f'"GET / HTTP/1.1" 200 {len(got)} "-" "-"']
    one.ask(method="HEAD")
    jobs.last.exchange.begin(200, b"", [], length, b"hello")
    jobs.last.exchange.finish()
    assert one.reply(head_only=True).rest == b""


def test_more_body_than_its_length_is_cut_off(
    scene: MakeScene, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    jobs.last.exchange.begin(200, b"", [], 5)
    jobs.last.exchange.write(b"0123456789")
    jobs.last.exchange.write(b"more")
    jobs.last.exchange.finish()
    assert one.reply().body == b"01234"
    assert "more body than its Content-Length" in caplog.text
    assert one.ask().read() == b"", "the connection goes on: a second job waits"


def test_less_body_than_its_length_closes_the_connection(
    scene: MakeScene, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    jobs.last.exchange.begin(200, b"", [], 10)
    jobs.last.exchange.write(b"01234")
    jobs.last.exchange.finish()
    reply = one.reply()
    assert reply.body is None
    assert one.ended
    assert "5 bytes less than Content-Length" in caplog.text


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_job_that_fails_after_the_head_leaves_no_whole_answer(
    scene: MakeScene, version: str
) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask(version=version)
    jobs.last.exchange.begin(200, b"", [], None)
    jobs.last.exchange.write(b"half")
    assert one.read().endswith(b"half\r\n" if version == "1.1" else b"half")
    jobs.last.exchange.fail(502)
    assert one.read() == b"", "neither a final chunk nor an error page"
    assert one.ended


def test_a_job_that_fails_before_the_head_gives_an_error_page(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    jobs.last.exchange.fail(504)
    assert one.reply().status == 504
    jobs.last.exchange.fail(500)
    jobs.last.exchange.write(b"x")
    jobs.last.exchange.finish()
    assert one.read() == b"", "what a job does after the end has no effect"


@pytest.mark.parametrize("begun", [False, True])
def test_a_fault_in_a_job_ends_its_request_only(
    scene: MakeScene, begun: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def prepare(job: ManualJob) -> None:
        def fault() -> None:
            if begun:
                job.exchange.begin(200, b"", [], None)
            raise RuntimeError("broken job")

        job.on_start = fault

    one = scene({"/": text("fine"), "/job": Jobs(prepare)})
    reply = one.ask("/job").reply()
    assert reply.status == (200 if begun else 500)
    assert "broken job" in caplog.text
    assert one.ended is begun


def test_a_whole_response_may_be_given_instead(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    jobs.last.exchange.answer(make_response(418, [], b"teapot"))
    assert (reply := one.reply()).status == 418
    assert reply.body == b"teapot"


def test_a_job_that_answers_in_its_start_can_be_pipelined(scene: MakeScene) -> None:
    def prepare(job: ManualJob) -> None:
        job.on_start = lambda: job.exchange.answer(make_response(200, [], b"at once"))

    one = scene({"/": Jobs(prepare)})
    one.send(head() * 500)
    data = one.read()
    for _ in range(500):
        reply = parse(data)
        assert reply.body == b"at once"
        data = reply.rest
    assert data == b""


def test_requests_behind_a_job_wait_and_are_bounded(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": text("later"), "/job": jobs})
    one.send(head("/job") + head() * 3)
    assert one.read() == b""
    flood = head() * 20_000
    sent = 0
    while sent < len(flood):
        try:
            sent += one.client.send(flood[sent:])
        except BlockingIOError:
            one.loop.settle()
            try:
                sent += one.client.send(flood[sent:])
            except BlockingIOError:
                break
    assert sent < len(flood), "a client that floods is made to wait"
    assert one.connection.reader.buffered < 4 * 65536
    jobs.last.exchange.answer(make_response(200, [], b"job"))
    first = parse(one.read())
    assert first.body == b"job"
    assert parse(first.rest).body == b"later"


def test_a_slow_client_is_told_to_the_job_and_so_is_the_end_of_it(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    exchange = jobs.last.exchange
    data = os.urandom(2_000_000)
    exchange.begin(200, b"", [], len(data))
    exchange.write(data)
    assert exchange.queued > 0
    assert jobs.last.told == ["start"]
    got = one.read()
    assert exchange.queued == 0
    assert jobs.last.told == ["start", "drained"]
    exchange.finish()
    assert parse(got + one.read()).body == data


@pytest.mark.parametrize(
    ("target", "status", "body"),
    [("/other", 200, b"other"), ("/none", 404, None), ("/a b", 502, None), ("/../x", 502, None)],
)
def test_an_internal_redirect_is_answered_as_a_get(
    scene: MakeScene, target: str, status: int, body: bytes | None
) -> None:
    jobs, other = Jobs(), text("other")
    one = scene({"/job": jobs, "/other": other})
    one.ask("/job", "X-A: b", method="BREW")
    jobs.last.exchange.redirect(target.encode())
    reply = one.reply()
    assert reply.status == status
    if body is not None:
        assert reply.body == body
        (asked,) = other.asked
        assert (asked.head.method, asked.head.get(b"x-a")) == ("GET", b"b")
    assert not one.ended


def test_an_internal_redirect_of_head_stays_head(scene: MakeScene) -> None:
    jobs, other = Jobs(), text("other")
    one = scene({"/job": jobs, "/other": other})
    one.ask("/job", method="HEAD")
    jobs.last.exchange.redirect(b"/other")
    assert one.read().endswith(b"\r\n\r\n")
    (asked,) = other.asked
    assert asked.head.method == "HEAD"


def test_redirects_in_a_circle_end(scene: MakeScene) -> None:
    jobs = Jobs(lambda job: setattr(job, "on_start", lambda: job.exchange.redirect(b"/")))
    one = scene({"/": jobs})
    assert one.ask().reply().status == 500
    assert len(jobs.made) == 11


RAW = b"HTTP/1.1 299 Own\r\nX-A:b\r\n"


@pytest.mark.parametrize(
    ("head", "pieces", "length", "closes", "kept"),
    [
        (RAW + b"Content-Length: 4\r\n\r\n", (b"ab", b"cd"), 4, False, True),
        (RAW + b"Content-Length: 0\r\n\r\n", (), 0, False, True),
        (RAW + b"Transfer-Encoding: chunked\r\n\r\n", (b"1\r\na\r\n0\r\n\r\n",), None, False, True),
        (RAW + b"\r\n", (b"to the end",), None, True, False),
        (RAW + b"Content-Length: 1\r\n\r\n", (b"x",), 1, True, False),
    ],
)
def test_a_raw_answer_goes_out_as_it_is(
    scene: MakeScene,
    head: bytes,
    pieces: tuple[bytes, ...],
    length: int | None,
    closes: bool,
    kept: bool,
) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    exchange = jobs.last.exchange
    exchange.begin_raw(299, head, length, closes)
    assert exchange.begun
    for piece in pieces:
        exchange.write(piece)
    exchange.finish()
    assert one.read() == head + b"".join(pieces)
    assert one.ended is not kept
    assert one.lines() == [f'"GET / HTTP/1.1" 299 {len(b"".join(pieces))} "-" "-"']


def test_a_raw_answer_may_close_although_it_did_not_say_so(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    jobs.last.exchange.begin_raw(200, RAW + b"Content-Length: 0\r\n\r\n", 0, False)
    jobs.last.exchange.close_after()
    jobs.last.exchange.finish()
    assert one.read().endswith(b"\r\n\r\n")
    assert one.ended


def test_a_raw_answer_to_head_has_no_body(scene: MakeScene) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask(method="HEAD")
    head = RAW + b"Content-Length: 4\r\n\r\n"
    jobs.last.exchange.begin_raw(200, head, 0, False)
    jobs.last.exchange.write(b"abcd")
    jobs.last.exchange.finish()
    assert one.read() == head
    assert not one.ended


@pytest.mark.parametrize(
    ("framing", "length", "closes"),
    [
        (b"Content-Length: 10\r\n", 10, False),
        (b"Transfer-Encoding: chunked\r\n", None, False),
        (b"", None, True),
    ],
)
def test_a_raw_answer_that_fails_is_never_whole(
    scene: MakeScene, framing: bytes, length: int | None, closes: bool
) -> None:
    jobs = Jobs()
    one = scene({"/": jobs})
    one.ask()
    jobs.last.exchange.begin_raw(200, RAW + framing + b"\r\n", length, closes)
    jobs.last.exchange.write(b"4\r\n")
    jobs.last.exchange.fail(502)
    assert b"502" not in one.read()
    assert one.ended
