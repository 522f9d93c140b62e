"""Bodies of requests on their way to a CGI program, and clients that leave one behind."""

from __future__ import annotations

import os

import pytest

from forkd.handlers.base import PAUSE_ABOVE
from forkd.handlers.programs import Ended
from tests.unit.handlers.programs import Scene
from tests.unit.handlers.test_cgi_job import HEAD
from tests.unit.stepped import SteppedLoop

pytestmark = pytest.mark.usefixtures("no_descriptor_leaks")


def test_without_a_body_standard_input_is_empty(loop: SteppedLoop) -> None:
    scene = Scene(loop).start()
    assert (scene.size, scene.program.read()) == (None, b"")
    scene.program.shut(1)
    scene.end()
    scene.assert_over()


def test_a_body_is_streamed_and_its_end_is_the_end_of_input(loop: SteppedLoop) -> None:
    scene = Scene(loop, "Content-Length: 10").start()
    assert (scene.size, scene.exchange.calls) == (10, ["resume body"])
    scene.job.body(b"01234")
    assert scene.program.read() == b"01234"
    scene.job.body(b"56789")
    scene.job.body_ended()
    assert scene.program.read() == b"56789"
    assert scene.program.read() == b""
    scene.do(["out", "end"])
    scene.assert_over()


def test_an_empty_body_has_a_length(loop: SteppedLoop) -> None:
    scene = Scene(loop, "Content-Length: 0").start()
    assert (scene.size, scene.program.read()) == (0, b"")
    scene.do(["out", "end"])
    scene.assert_over()


def test_a_program_slower_than_the_client_pauses_the_body(loop: SteppedLoop) -> None:
    scene = Scene(loop, "Content-Length: 1000000").start()
    data = os.urandom(300_000)
    scene.job.body(data)
    assert scene.exchange.calls == ["resume body", "pause body"]
    got = b""
    while len(got) < 300_000 - PAUSE_ABOVE - 65536:
        got += scene.program.read(20_000)
        loop.settle()
    assert scene.exchange.calls[-1] == "resume body"
    while len(got) < 300_000:
        got += scene.program.read(65536)
        loop.settle()
    assert got == data
    scene.program.say(HEAD)
    scene.do(["out", "err", "end"])
    scene.assert_over()


def test_a_program_that_does_not_read_its_input_answers_all_the_same(loop: SteppedLoop) -> None:
    scene = Scene(loop, "Content-Length: 1000000").start()
    scene.job.body(bytes(300_000))
    scene.program.shut(0)
    loop.settle()
    assert scene.exchange.calls[-1] == "resume body", "what comes is thrown away"
    scene.job.body(bytes(300_000))
    scene.program.say(HEAD + b"done")
    scene.do(["out", "end"])
    assert scene.exchange.calls[-2:] == ["begin 200", "finish"]
    scene.assert_over()


def test_a_program_may_write_before_it_has_read_all(loop: SteppedLoop) -> None:
    scene = Scene(loop, "Content-Length: 1000000").start()
    scene.job.body(bytes(300_000))
    scene.program.say(HEAD + b"x" * 30_000)
    loop.settle()
    assert scene.exchange.body == b"x" * 30_000
    scene.program.shut()
    scene.end()
    assert scene.exchange.calls[-1] == "finish"
    scene.assert_over()


def test_a_chunked_body_is_spooled_so_that_its_length_is_true(loop: SteppedLoop) -> None:
    scene = Scene(loop, "Transfer-Encoding: chunked").start()
    assert scene.exchange.calls == ["resume body"]
    scene.job.body(b"hello ")
    scene.job.body(b"world")
    assert scene.program.ordered is None
    scene.job.body_ended()
    assert (scene.size, scene.program.read()) == (11, b"hello world")
    scene.program.watcher.started(4711)
    scene.program.say(HEAD)
    scene.do(["out", "err", "end"])
    assert scene.exchange.calls == ["resume body", "begin 200", "finish"]
    scene.assert_over()


def test_a_client_that_goes_while_its_body_is_spooled_leaves_nothing(loop: SteppedLoop) -> None:
    scene = Scene(loop, "Transfer-Encoding: chunked").start()
    scene.job.body(b"half")
    scene.job.disconnected()
    assert scene.program.ordered is None
    assert loop.watched == set()
    loop.pass_time(30)
    assert scene.exchange.calls == ["resume body"]


def test_when_the_client_goes_the_program_is_terminated(loop: SteppedLoop) -> None:
    scene = Scene(loop, "Content-Length: 10").start()
    scene.job.body(b"01234")
    scene.job.disconnected()
    assert scene.program.calls == ["terminate"]
    assert scene.program.read() == b"01234"
    with pytest.raises(BlockingIOError):
        scene.program.read()  # half of an upload does not end as a whole one does
    scene.program.complain(b"interrupted\n")
    scene.program.shut()
    scene.end(Ended(15, 0.0, 0))
    assert scene.exchange.calls == ["resume body"]
    scene.assert_over()


def test_an_order_with_a_part_of_its_body_is_seen_to_its_end(loop: SteppedLoop) -> None:
    """The program may have begun to read when it is taken back."""
    scene = Scene(loop, "Content-Length: 10").start(pid=0)
    scene.job.body(b"01234")
    scene.job.disconnected()
    assert scene.program.calls == ["terminate"]
    scene.program.watcher.started(4711)
    assert scene.program.read() == b"01234"
    with pytest.raises(BlockingIOError):
        scene.program.read()
    scene.end(Ended(15, 0.0, 0))
    scene.assert_over()


def test_a_program_that_is_to_finish_is_read_on_for_nobody(loop: SteppedLoop) -> None:
    scene = Scene(loop, on_disconnect="finish").start()
    scene.program.say(HEAD + b"x")
    scene.exchange.queued = PAUSE_ABOVE + 1
    loop.settle()
    scene.job.disconnected()
    for _ in range(10):
        assert scene.program.say(b"y" * 60_000) == 60_000
        loop.pass_time(5)
    assert scene.exchange.body == b"x"
    assert scene.program.calls == []
    scene.do(["out", "err", "end"])
    scene.assert_over()


def test_a_program_that_is_to_finish_still_has_its_timeout(loop: SteppedLoop) -> None:
    scene = Scene(loop, on_disconnect="finish").start()
    scene.job.disconnected()
    loop.pass_time(11)
    assert scene.program.calls == ["terminate"]
    assert scene.exchange.calls == []
    scene.end(Ended(15, 0.0, 0))
    scene.assert_over()
