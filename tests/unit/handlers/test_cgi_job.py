"""One CGI request: every order of ends, every fate of client and program."""

from __future__ import annotations

import errno
import os
from itertools import permutations

import pytest

from forkd.handlers.base import PAUSE_ABOVE
from forkd.handlers.programs import Ended
from tests.unit.handlers.programs import Scene
from tests.unit.stepped import SteppedLoop

HEAD = b"Content-Type: text/plain\n\n"
ENDS = list(permutations(["out", "err", "end"]))

pytestmark = pytest.mark.usefixtures("no_descriptor_leaks")


@pytest.mark.parametrize("order", ENDS, ids="-".join)
def test_a_whole_answer_goes_out_whatever_ends_first(
    loop: SteppedLoop, order: tuple[str, ...]
) -> None:
    scene = Scene(loop).start()
    scene.program.say(HEAD + b"hello")
    scene.do(order)
    assert scene.exchange.calls == ["begin 200", "finish"]
    assert scene.exchange.body == b"hello"
    assert scene.program.calls == ["close"]
    scene.assert_over()


@pytest.mark.parametrize("order", ENDS, ids="-".join)
@pytest.mark.parametrize("output", [b"", b"Content-Type: text/pl"])
def test_an_answer_without_a_header_is_502_whatever_ends_first(
    loop: SteppedLoop, order: tuple[str, ...], output: bytes
) -> None:
    scene = Scene(loop).start()
    if output:
        scene.program.say(output)
    scene.do(order)
    assert scene.exchange.calls == ["fail 502"]
    scene.assert_over()


@pytest.mark.parametrize("when", range(4))
@pytest.mark.parametrize("order", ENDS, ids="-".join)
def test_a_client_may_go_at_any_moment(
    loop: SteppedLoop, order: tuple[str, ...], when: int
) -> None:
    scene = Scene(loop).start()
    scene.program.say(HEAD + b"hello")
    scene.do(order[:when])
    if "finish" not in scene.exchange.calls:
        loop.settle()
        scene.job.disconnected()
    calls = list(scene.exchange.calls)
    scene.do(order[when:])
    assert scene.exchange.calls == calls, "nothing of the exchange is called once it is over"
    scene.assert_over()


def test_what_the_program_wrote_before_its_end_was_told_is_not_lost(loop: SteppedLoop) -> None:
    scene = Scene(loop).start()
    scene.program.say(HEAD)
    scene.program.say(b"last words")
    scene.program.shut(1, 2)
    scene.program.watcher.ended(Ended(1 << 8, 0.0, 0))
    loop.settle()
    assert scene.exchange.calls == ["begin 200", "finish"]
    assert scene.exchange.body == b"last words"
    scene.assert_over()


def test_a_descendant_that_holds_the_output_keeps_the_answer_going(loop: SteppedLoop) -> None:
    scene = Scene(loop).start()
    scene.program.say(HEAD + b"one ")
    scene.end()
    scene.program.say(b"two")
    loop.settle()
    assert scene.exchange.calls == ["begin 200"]
    scene.program.shut(1)
    loop.settle()
    assert (scene.exchange.calls, scene.exchange.body) == (["begin 200", "finish"], b"one two")
    scene.assert_over()


def test_a_program_that_closes_its_output_without_a_header_and_stays_is_ended(
    loop: SteppedLoop,
) -> None:
    scene = Scene(loop).start()
    scene.program.shut(1)
    loop.pass_time(1.5)
    assert scene.exchange.calls == []
    loop.pass_time(1)
    assert scene.exchange.calls == ["fail 502"]
    assert scene.program.calls == ["terminate"]
    scene.end(Ended(15, 0.0, 0))
    scene.assert_over()


def test_the_reason_of_a_failure_names_the_end_and_what_was_said(
    loop: SteppedLoop, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(loop).start()
    scene.program.complain(b"NameError: x\n")
    scene.program.shut(1, 2)
    loop.settle()
    scene.end(Ended(3 << 8, 0.0, 0))
    (line,) = [one for one in caplog.messages if one.startswith("cgi 502")]
    assert "without a header (exit status 3)" in line
    assert "NameError: x" in line
    assert scene.exchange.request.id in line
    scene.assert_over()


@pytest.mark.parametrize(
    "output", [b"<html>\n", b"HTTP/1.1 200 OK\n", b"Status: 99\n\n", b"\n", b"X: \0\n\n"]
)
def test_output_that_is_no_header_is_502_and_the_program_is_ended(
    loop: SteppedLoop, output: bytes
) -> None:
    scene = Scene(loop).start()
    scene.program.say(output)
    loop.settle()
    assert scene.exchange.calls == ["fail 502"]
    assert scene.program.calls == ["terminate"]
    scene.end(Ended(15, 0.0, 0))
    scene.assert_over()


def test_status_reason_and_length_are_the_program_s(loop: SteppedLoop) -> None:
    scene = Scene(loop).start()
    scene.program.say(b"Status: 404 Nowhere\r\nContent-Length: 3\r\nX-A: b\r\n\r\nabc")
    scene.do(["out", "end"])
    assert scene.exchange.calls == ["begin 404 Nowhere", "finish"]
    assert (scene.exchange.length, scene.exchange.headers) == (3, [(b"X-A", b"b")])
    scene.assert_over()


def test_a_local_location_is_a_redirect_and_the_program_is_seen_off(loop: SteppedLoop) -> None:
    scene = Scene(loop).start()
    scene.program.say(b"Location: /other?x=1\n\n")
    loop.settle()
    assert scene.exchange.calls == ["redirect /other?x=1"]
    scene.program.say(b"ignored")
    scene.do(["out", "end"])
    assert scene.exchange.calls == ["redirect /other?x=1"]
    scene.assert_over()


def test_no_progress_for_the_timeout_is_504(loop: SteppedLoop) -> None:
    scene = Scene(loop).start()
    loop.pass_time(9.5)
    assert scene.exchange.calls == []
    loop.pass_time(1)
    assert scene.exchange.calls == ["fail 504"]
    assert scene.program.calls == ["terminate"]
    scene.end(Ended(15, 0.0, 0))
    scene.assert_over()


def test_at_half_of_the_timeout_the_log_says_what_the_program_is_at_once(
    loop: SteppedLoop, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(loop).start(os.getpid())
    loop.pass_time(4.9)
    assert not caplog.records
    loop.pass_time(0.3)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    text = record.getMessage()
    assert text.startswith("cgi slow: no progress for 5 s, state R (running)")
    assert ": GET /cgi-bin/x.cgi, 905.1 s after it came client=192.0.2.9 route=/ id=" in text
    assert text.endswith(f" script=/srv/x.cgi pid={os.getpid()}")
    scene.program.say(HEAD)
    loop.pass_time(9)
    assert len(caplog.records) == 1
    assert scene.exchange.calls == ["begin 200"]
    loop.pass_time(2)
    assert scene.exchange.calls == ["begin 200", "fail 504"]
    scene.end(Ended(15, 0.0, 0))
    scene.assert_over()


def test_output_begins_the_timeout_anew(loop: SteppedLoop) -> None:
    scene = Scene(loop).start()
    scene.program.say(HEAD)
    for _ in range(5):
        loop.pass_time(8)
        scene.program.say(b"still here\n")
    assert scene.exchange.calls == ["begin 200"]
    loop.pass_time(11)
    assert scene.exchange.calls == ["begin 200", "fail 504"]
    scene.end(Ended(15, 0.0, 0))
    scene.assert_over()


def test_a_client_slower_than_the_program_pauses_it_and_its_timeout(loop: SteppedLoop) -> None:
    scene = Scene(loop).start()
    scene.program.say(HEAD + b"x")
    scene.exchange.queued = PAUSE_ABOVE + 1
    loop.settle()
    said = scene.program.say(b"y" * 40_000)
    loop.pass_time(60)
    assert scene.exchange.body == b"x"
    assert scene.exchange.calls == ["begin 200"]
    scene.exchange.queued = 0
    scene.job.drained()
    loop.settle()
    assert scene.exchange.body == b"x" + b"y" * said
    scene.do(["end", "out"])
    assert scene.exchange.calls == ["begin 200", "finish"]
    scene.assert_over()


def test_a_paused_answer_is_whole_although_the_program_is_gone(loop: SteppedLoop) -> None:
    scene = Scene(loop).start()
    scene.program.say(HEAD + b"x")
    scene.exchange.queued = PAUSE_ABOVE + 1
    loop.settle()
    scene.program.say(b"rest")
    scene.do(["out", "err", "end"])
    assert scene.exchange.calls == ["begin 200"]
    scene.exchange.queued = 0
    scene.job.drained()
    loop.settle()
    assert (scene.exchange.calls, scene.exchange.body) == (["begin 200", "finish"], b"xrest")
    scene.assert_over()


@pytest.mark.parametrize("begun", [False, True])
def test_where_the_spawner_dies_the_request_fails(loop: SteppedLoop, begun: bool) -> None:
    scene = Scene(loop).start()
    if begun:
        scene.program.say(HEAD + b"half")
        loop.settle()
    scene.end(None)
    assert scene.exchange.calls == (["begin 200"] if begun else []) + ["fail 502"]
    scene.assert_over()


def test_a_program_that_cannot_be_executed_is_500(
    loop: SteppedLoop, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(loop).start(pid=0)
    scene.program.watcher.not_started(500, "/srv/x.cgi is empty")
    assert scene.exchange.calls == ["fail 500"]
    assert "cgi 500: /srv/x.cgi is empty" in caplog.text
    scene.assert_over()


def test_an_order_that_cannot_be_given_is_503(loop: SteppedLoop) -> None:
    scene = Scene(loop)
    scene.program.refusal = OSError(errno.EMFILE, "Too many open files")
    scene.start()
    assert scene.exchange.calls == ["fail 503"]
    assert loop.watched == set()


def test_a_program_that_never_began_is_let_go_of_and_not_signalled(loop: SteppedLoop) -> None:
    scene = Scene(loop).start(pid=0)
    scene.job.disconnected()
    assert scene.program.calls == ["close"]
    scene.assert_over()
