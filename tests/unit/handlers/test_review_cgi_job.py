"""CGI requests where the machine, the client or the program is slow, full or stubborn."""

from __future__ import annotations

import gc
import os
import resource
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from forkd.handlers.base import PAUSE_ABOVE
from forkd.handlers.programs import Ended
from tests.unit.handlers.programs import Scene
from tests.unit.handlers.test_cgi_job import HEAD
from tests.unit.stepped import SteppedLoop

pytestmark = pytest.mark.usefixtures("no_descriptor_leaks")


@contextmanager
def limited(which: int, most: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(which)
    resource.setrlimit(which, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(which, (soft, hard))


def test_an_upload_that_takes_longer_than_the_timeout_is_progress(loop: SteppedLoop) -> None:
    scene = Scene(loop, "Content-Length: 100").start()
    for _ in range(5):
        scene.job.body(b"x")
        assert scene.program.read() == b"x"
        loop.pass_time(6)
    assert scene.program.calls == []
    scene.job.body(b"x" * 95)
    scene.job.body_ended()
    loop.pass_time(11)
    assert scene.exchange.calls == ["resume body", "fail 504"], "now it has all and is silent"
    scene.end(Ended(15, 0.0, 0))
    scene.assert_over()


def test_input_that_moves_does_not_count_against_a_program_held_back(loop: SteppedLoop) -> None:
    scene = Scene(loop, "Content-Length: 1000000").start()
    scene.job.body(bytes(300_000))
    scene.program.say(HEAD + b"x")
    scene.exchange.queued = PAUSE_ABOVE + 1
    loop.settle()
    scene.program.read(65536)
    loop.pass_time(30)
    assert "terminate" not in scene.program.calls
    scene.exchange.queued = 0
    scene.job.drained()
    scene.do(["out", "err", "end"])
    scene.assert_over()


def test_input_that_moves_does_not_lengthen_the_wait_for_a_header(loop: SteppedLoop) -> None:
    scene = Scene(loop, "Content-Length: 1000000").start()
    scene.job.body(bytes(300_000))
    scene.program.shut(1)
    loop.settle()
    scene.program.read(65536)
    loop.pass_time(3)
    assert scene.exchange.calls[-1] == "fail 502"
    scene.end(Ended(15, 0.0, 0))
    scene.assert_over()


def test_a_program_that_does_not_last_costs_no_timer_and_its_stderr_is_read_at_its_end(
    loop: SteppedLoop, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(loop).start(lasts=False)
    assert len(loop.watched) == 1, "its output, and nothing else"
    assert loop.timers.next_due == float("inf")
    scene.program.complain(b"a word\n")
    loop.settle()
    assert caplog.messages == []
    scene.program.say(HEAD)
    scene.do(["out", "err", "end"])
    assert any("cgi stderr: a word" in line for line in caplog.messages)
    scene.assert_over()


def test_what_a_program_said_is_logged_before_how_it_ended(
    loop: SteppedLoop, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(loop).start(lasts=False)
    scene.program.say(HEAD)
    scene.program.complain(b"why\n")
    scene.program.shut()
    scene.end(Ended(3 << 8, 0.0, 0))
    lines = [line.partition(" id=")[0] for line in caplog.messages]
    assert lines == ["cgi stderr: why", "cgi ended: exit status 3"]
    scene.assert_over()


def test_of_a_program_that_lasts_stderr_is_read_as_it_comes_and_its_time_runs(
    loop: SteppedLoop, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(loop).start(lasts=False)
    scene.program.complain(b"a word\n")
    scene.program.watcher.lasts()
    loop.settle()
    assert any("cgi stderr: a word" in line for line in caplog.messages)
    loop.pass_time(11)
    assert scene.exchange.calls == ["fail 504"]
    scene.end(Ended(15, 0.0, 0))
    scene.assert_over()


def test_a_program_that_is_ended_before_it_lasts_is_not_timed_afterwards(
    loop: SteppedLoop,
) -> None:
    scene = Scene(loop).start(lasts=False)
    scene.job.disconnected()
    scene.program.watcher.lasts()
    loop.pass_time(30)
    assert scene.program.calls == ["terminate"]
    scene.end(Ended(15, 0.0, 0))
    scene.assert_over()


@pytest.mark.parametrize("headers", [(), ("Content-Length: 5",), ("Transfer-Encoding: chunked",)])
@pytest.mark.parametrize("output", [HEAD + b"x", b"", b"X-Sendfile: /x\n" + HEAD])
def test_a_job_that_is_over_needs_no_collector(
    loop: SteppedLoop, headers: tuple[str, ...], output: bytes
) -> None:
    """Or the memory of some thousand requests waits for it, and then all clients do."""
    gc.collect()
    gc.disable()
    try:
        scene = Scene(loop, *headers).start()
        if headers:
            scene.job.body(b"12345")
            scene.job.body_ended()
        scene.program.say(output)
        scene.do(["out", "err"])
        scene.end()
        scene.assert_over()
        job = weakref.ref(scene.job)
        scene.let_go()
        assert job() is None
    finally:
        gc.enable()


def test_a_redirect_with_a_body_unread_does_not_leave_the_program_waiting(
    loop: SteppedLoop,
) -> None:
    scene = Scene(loop, "Content-Length: 10").start()
    scene.program.say(b"Location: /x\n\n")
    loop.settle()
    assert scene.program.read() == b""
    for _ in range(3):
        scene.program.say(b"and on and on")
        loop.pass_time(4)
    assert scene.program.calls == ["terminate"], "what nobody reads is no progress"
    scene.end(Ended(15, 0.0, 0))
    scene.assert_over()


def test_a_program_that_runs_on_after_its_answer_is_ended_and_that_is_said(
    loop: SteppedLoop, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(loop).start()
    scene.program.say(HEAD)
    scene.program.shut(1)
    loop.pass_time(11)
    assert scene.exchange.calls == ["begin 200", "finish"]
    assert scene.program.calls == ["terminate"]
    assert any("ran on after the answer" in line for line in caplog.messages)
    scene.end(Ended(15, 0.0, 0))
    scene.assert_over()


def test_how_the_program_ended_is_said_also_where_its_end_comes_before_that_of_its_output(
    loop: SteppedLoop, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(loop).start()
    scene.program.shut(1, 2)
    scene.program.watcher.ended(Ended(9, 0.0, 0))
    loop.settle()
    (line,) = [one for one in caplog.messages if one.startswith("cgi 502")]
    assert "signal 9 (SIGKILL)" in line
    scene.assert_over()


@pytest.mark.parametrize("headers", [(), ("Content-Length: 5",), ("Transfer-Encoding: chunked",)])
@pytest.mark.parametrize("room", range(7))
def test_without_descriptors_the_answer_is_503_and_nothing_is_left(
    loop: SteppedLoop, headers: tuple[str, ...], room: int
) -> None:
    scene = Scene(loop, *headers)
    lowest = os.dup(0)
    os.close(lowest)
    with limited(resource.RLIMIT_NOFILE, lowest + room):
        scene.start(pid=0)
        if scene.exchange.calls == ["resume body"] and scene.program.ordered is None:
            scene.job.body(b"12345")
            scene.job.body_ended()
    if scene.program.ends:
        return_to_normal(scene)
    else:
        assert scene.exchange.calls[-1] == "fail 503"
        assert loop.watched == set()


def return_to_normal(scene: Scene) -> None:
    scene.program.shut()
    scene.job.disconnected()
    scene.end(Ended(15, 0.0, 0))


def test_without_room_for_the_body_the_answer_is_503(
    loop: SteppedLoop, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(loop, "Transfer-Encoding: chunked").start()
    with limited(resource.RLIMIT_FSIZE, 100_000):
        scene.job.body(bytes(300_000))
    assert scene.exchange.calls == ["resume body", "fail 503"]
    assert any("File too large" in line for line in caplog.messages)
    assert scene.program.ordered is None
    assert loop.watched == set()


def test_output_of_which_the_client_gets_nothing_is_no_progress(
    loop: SteppedLoop, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(loop).start()
    scene.program.say(HEAD)
    loop.settle()
    scene.exchange.complete = True
    for _ in range(3):
        scene.program.say(b"output for a HEAD request")
        loop.pass_time(4)
    assert scene.exchange.calls == ["begin 200", "finish"]
    assert scene.program.calls == ["terminate"]
    assert any("ran on after the answer" in line for line in caplog.messages)
    scene.end(Ended(15, 0.0, 0))
    scene.assert_over()
