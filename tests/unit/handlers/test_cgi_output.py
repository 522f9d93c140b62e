"""What becomes of a program's output: headers of every kind, whole responses, and their ends."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from forkd.config.settings import HeaderChanges
from forkd.handlers.programs import Ended, Program
from tests.unit.handlers.programs import Scene
from tests.unit.handlers.requests import request
from tests.unit.stepped import SteppedLoop

TYPE = b"Content-Type: text/plain\n\n"
RAW = "/srv/nph-x.cgi"

pytestmark = pytest.mark.usefixtures("no_descriptor_leaks")


def play(scene: Scene, output: bytes, step: int) -> None:
    """Have the program write output, so many bytes at a time, and end."""
    scene.start()
    for at in range(0, len(output), step):
        with suppress(BrokenPipeError):  # it has been found out before its end
            scene.program.say(output[at : at + step])
        scene.loop.settle()
    scene.do(["out", "err"])
    scene.end()
    scene.assert_over()


@pytest.mark.parametrize("step", [1, 7, 1 << 16])
@pytest.mark.parametrize(
    ("output", "calls", "body"),
    [
        (TYPE + b"no line end", ["begin 200", "finish"], b"no line end"),
        (TYPE + b"\n\n", ["begin 200", "finish"], b"\n\n"),
        (TYPE, ["begin 200", "finish"], b""),
        (TYPE + b"a\0b\xff", ["begin 200", "finish"], b"a\0b\xff"),
        (TYPE + b"Status: 500\n\nnot a header", ["begin 200", "finish"], None),
        (b"A: 1\r\nB: 2\nContent-Type: a/b\r\n\nx", ["begin 200", "finish"], b"x"),
        (b"Status: 204\n\nbody", ["begin 204", "finish"], b"body"),
        (b"Status: 304\n\nbody", ["begin 304", "finish"], b"body"),
        (b"".join(b"X-%d: y\n" % n for n in range(199)) + TYPE, ["begin 200", "finish"], b""),
        (b"Location: /a?b=%20\n\nunread", ["redirect /a?b=%20"], b""),
        (b"Location: //host/x\n\n", ["redirect //host/x"], b""),
        (b"Location: //host/x\nStatus: 302\n\n", ["begin 302", "finish"], b""),
        (b"Location: http://a/\n\nseen", ["begin 302", "finish"], b"seen"),
    ],
)
def test_a_header_is_read_however_it_comes(
    loop: SteppedLoop, output: bytes, calls: list[str], body: bytes | None, step: int
) -> None:
    scene = Scene(loop)
    play(scene, output, step)
    assert scene.exchange.calls == calls
    assert scene.exchange.body == (output.partition(b"\n\n")[2] if body is None else body)


def test_a_header_of_32_kilobytes_is_read(loop: SteppedLoop) -> None:
    scene = Scene(loop)
    play(scene, b"X: " + b"y" * 32_000 + b"\n" + TYPE + b"z", 5000)
    assert scene.exchange.headers[0] == (b"X", b"y" * 32_000)
    assert scene.exchange.body == b"z"


@pytest.mark.parametrize("step", [1, 1 << 16])
@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (b"X: a\0b\n\n", r"control bytes in it: 'X: a\x00b'"),
        (b"\0\n\n", "a line without a colon"),
        (b"X-1: y\n" * 201, "more than 200 lines"),
        (b"Content-Type: a/b\nno colon\n\n", "a line without a colon"),
        (b"\nContent-Type: a/b\n\n", "an empty line where its header should be"),
    ],
)
def test_what_is_no_header_fails_however_it_comes(
    loop: SteppedLoop, caplog: pytest.LogCaptureFixture, output: bytes, reason: str, step: int
) -> None:
    scene = Scene(loop)
    play(scene, output, step)
    assert scene.exchange.calls == ["fail 502"]
    assert reason in caplog.text


# Whole responses.


@pytest.mark.parametrize("step", [1, 1 << 16])
@pytest.mark.parametrize(
    ("output", "calls", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            ["begin raw 200", "finish"],
            b"hi",
        ),
        (b"HTTP/1.1 299 Mine\nContent-Length: 0\n\n", ["begin raw 299", "finish"], b""),
        (b"HTTP/1.0 200 OK\r\n\r\nhi", ["begin raw 200 closes", "finish"], b"hi"),
        (b"HTTP/1.1 200 OK\r\n\r\nhi", ["begin raw 200 closes", "finish"], b"hi"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            ["begin raw 200", "finish"],
            b"2\r\nhi\r\n0\r\n\r\n",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
            ["begin raw 200 closes", "finish"],
            b"hi",
        ),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 Empty\r\n\r\n",
            ["begin raw 204", "finish"],
            b"",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi there",
            ["begin raw 200", "close after", "finish"],
            b"hi",
        ),
        (
            b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
            ["begin raw 302", "finish"],
            b"",
        ),
        (
            b"HTTP/1.1 200 OK\r\nX-Sendfile: /etc/passwd\r\n\r\nhi",
            ["begin raw 200 closes", "finish"],
            b"hi",
        ),
    ],
)
def test_the_bytes_of_an_nph_script_are_the_response(
    loop: SteppedLoop, output: bytes, calls: list[str], body: bytes, step: int
) -> None:
    scene = Scene(loop, script=RAW, x_sendfile="/")
    play(scene, output, step)
    assert scene.exchange.calls == calls
    assert scene.exchange.body == body
    assert scene.exchange.raw_head + body in output


@pytest.mark.parametrize(
    ("output", "calls", "reason"),
    [
        (TYPE + b"x", ["fail 502"], "the script wrote what is no response of HTTP/1: 'Content-T"),
        (b"", ["fail 502"], "the script wrote no response (exit status 0)"),
        (b"HTTP/1.1 200 OK\r\nA: b", ["fail 502"], "the script wrote half the head of a response"),
        (b"HTTP/1.1 OK\r\n\r\n", ["fail 502"], "the script wrote a malformed status line"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
            ["begin raw 200", "fail 502"],
            "the script wrote no last chunk",
        ),
    ],
)
def test_what_an_nph_script_does_not_write_right_is_told(
    loop: SteppedLoop,
    caplog: pytest.LogCaptureFixture,
    output: bytes,
    calls: list[str],
    reason: str,
) -> None:
    scene = Scene(loop, script=RAW)
    play(scene, output, 1 << 16)
    assert scene.exchange.calls == calls
    (line,) = [one for one in caplog.messages if one.startswith("cgi 502")]
    assert reason in line


def test_a_head_request_to_an_nph_script_gets_no_body(loop: SteppedLoop) -> None:
    asked = request("/nph-x.cgi", method="HEAD")
    scene = Scene(loop, script=RAW, asked=asked)
    play(scene, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 1 << 16)
    assert (scene.exchange.calls, scene.exchange.body) == (["begin raw 200", "finish"], b"")


@pytest.mark.parametrize(
    ("rules", "head"),
    [
        (None, b"HTTP/1.0 200 OK\nA: 1\n\n"),
        (HeaderChanges({}, {}, ()), b"HTTP/1.0 200 OK\nA: 1\n\n"),
        (HeaderChanges({"B": "2"}, {}, ("a",)), b"HTTP/1.0 200 OK\r\nB: 2\r\n\r\n"),
    ],
)
def test_the_headers_of_the_route_change_the_head_of_an_nph_script(
    loop: SteppedLoop, rules: HeaderChanges | None, head: bytes
) -> None:
    scene = Scene(loop, script=RAW, asked=request("/nph-x.cgi", rules=rules))
    play(scene, b"HTTP/1.0 200 OK\nA: 1\n\n", 1 << 16)
    assert scene.exchange.raw_head == head


def test_only_the_beginning_of_the_file_s_own_name_counts(loop: SteppedLoop) -> None:
    scene = Scene(loop, script="/srv/nph-scripts/x-nph-y")
    play(scene, TYPE, 1 << 16)
    assert scene.exchange.calls == ["begin 200", "finish"]


# X-Sendfile. test_sent_file.py has the files.


def test_a_file_takes_the_place_of_the_body(loop: SteppedLoop, tmp_path: Path) -> None:
    (tmp_path / "report").write_bytes(b"from the file")
    scene = Scene(loop, x_sendfile=tmp_path)
    play(scene, b"X-Sendfile: %b/report\nX-A: b\n" % bytes(tmp_path) + TYPE + b"thrown away", 64)
    assert scene.exchange.calls == ["begin 200", "send file", "finish"]
    assert scene.exchange.body == b"from the file"
    names = [name for name, _ in scene.exchange.headers]
    assert names == [b"X-A", b"Content-Type", b"ETag", b"Last-Modified", b"Accept-Ranges"]


def test_a_program_that_writes_on_after_x_sendfile_is_ended(
    loop: SteppedLoop, tmp_path: Path
) -> None:
    (tmp_path / "report").write_bytes(b"x")
    scene = Scene(loop, x_sendfile=tmp_path).start()
    scene.program.say(b"X-Sendfile: %b/report\n" % bytes(tmp_path) + TYPE)
    for _ in range(3):
        scene.program.say(b"and on")
        loop.pass_time(4)
    assert scene.exchange.calls == ["begin 200", "send file", "finish"]
    assert scene.program.calls == ["terminate"]
    scene.end(Ended(15, 0.0, 0))
    scene.assert_over()


def test_a_file_that_may_not_be_sent_is_502(
    loop: SteppedLoop, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    scene = Scene(loop, x_sendfile=tmp_path)
    play(scene, b"X-Sendfile: /etc/passwd\n" + TYPE, 1 << 16)
    assert scene.exchange.calls == ["fail 502"]
    assert f"X-Sendfile names /etc/passwd, which is not below {tmp_path}" in caplog.text


@pytest.mark.parametrize("step", [1, 1 << 16])
def test_without_directories_the_header_is_dropped_and_the_body_sent(
    loop: SteppedLoop, caplog: pytest.LogCaptureFixture, step: int
) -> None:
    scene = Scene(loop)
    play(scene, b"X-Sendfile: /etc/passwd\n" + TYPE + b"own body", step)
    assert scene.exchange.calls == ["begin 200", "finish"]
    assert scene.exchange.headers == [(b"Content-Type", b"text/plain")]
    assert scene.exchange.body == b"own body"
    (line,) = [one for one in caplog.messages if "X-Sendfile" in one]
    assert "the route has no x_sendfile" in line


@pytest.mark.parametrize(
    ("method", "calls"), [("GET", ["fail 502"]), ("HEAD", ["begin 200", "finish"])]
)
def test_without_directories_and_without_a_body_it_is_no_answer(
    loop: SteppedLoop, caplog: pytest.LogCaptureFixture, method: str, calls: list[str]
) -> None:
    scene = Scene(loop, asked=request("/x", method=method))
    play(scene, b"X-Sendfile: /etc/passwd\n" + TYPE, 1 << 16)
    assert scene.exchange.calls == calls
    assert "the route has no x_sendfile" in caplog.text


# What recorders are told.


ORDERED = "ordered /srv/x.cgi"


class Notes:
    def __init__(self) -> None:
        self.told: list[str] = []

    def ordered(self, program: Program) -> None:
        self.told.append(f"ordered {program.argv[0].decode()}")

    def body(self, data: bytes) -> None:
        self.told.append(f"body {data.decode()}")

    def stderr(self, data: bytes) -> None:
        self.told.append(f"stderr {data.decode()}")

    def failed(self, status: int, reason: str) -> None:
        self.told.append(f"failed {status} {reason}")

    def ended(self, end: Ended | None) -> None:
        self.told.append(f"ended {end and end.status}")


def test_a_recorder_is_told_all_of_a_request_that_fails(loop: SteppedLoop) -> None:
    notes = Notes()
    scene = Scene(loop, "Content-Length: 3", recorder=notes).start()
    scene.job.body(b"abc")
    scene.job.body_ended()
    scene.program.complain(b"why")
    scene.program.say(b"<html>\n")
    loop.settle()
    scene.program.complain(b" oh")
    scene.program.shut()
    scene.end(Ended(256, 0.0, 0))
    assert notes.told[:2] == [ORDERED, "body abc"]
    assert notes.told[2] == "stderr why"
    assert notes.told[3].startswith("failed 502 the script wrote a line without a colon")
    assert notes.told[4:] == ["stderr  oh", "ended 256"]
    scene.assert_over()
    assert len(notes.told) == 6, "the end comes last, and once"


@pytest.mark.parametrize(("status", "told"), [(500, ["failed 500 x"]), (503, [])])
def test_a_machine_without_room_is_no_failure_to_record(
    loop: SteppedLoop, status: int, told: list[str]
) -> None:
    notes = Notes()
    scene = Scene(loop, recorder=notes).start(pid=0)
    scene.program.watcher.not_started(status, "x")
    assert notes.told == [ORDERED, *told, "ended None"]
    scene.assert_over()


def test_a_request_that_nobody_waits_for_any_more_does_not_fail(loop: SteppedLoop) -> None:
    notes = Notes()
    scene = Scene(loop, recorder=notes).start()
    scene.job.disconnected()
    scene.end(Ended(15, 0.0, 0))
    assert notes.told == [ORDERED, "ended 15"]
    scene.assert_over()


# What is kept back for a moment.


class Patient(SteppedLoop):
    """A moment is over when the test says so."""

    moment_is_over = False

    def _call_those_of_shortly(self) -> None:
        if self.moment_is_over:
            super()._call_those_of_shortly()


@pytest.mark.parametrize(
    ("method", "header", "length"),
    [
        ("GET", TYPE, 4),
        ("HEAD", TYPE, None),
        ("GET", b"Status: 304\n\n", None),
        ("GET", b"Status: 204\n\n", None),
        ("GET", b"Content-Length: 7\n" + TYPE, 7),
    ],
)
def test_a_program_that_is_over_at_once_has_its_answer_sent_whole(
    method: str, header: bytes, length: int | None
) -> None:
    loop = Patient()
    scene = Scene(loop, asked=request(method=method)).start()
    scene.program.say(header + b"bo")
    loop.settle()
    scene.program.say(b"dy")
    loop.settle()
    assert scene.exchange.calls == []
    scene.do(["out", "err"])
    scene.end()
    scene.assert_over()
    assert scene.exchange.calls[-1] == "finish"
    assert len(scene.exchange.calls) == 2
    assert scene.exchange.length == length
    assert scene.exchange.body == b"body"
    loop.close()


@pytest.mark.parametrize("size", [4, 20_000])
def test_a_program_that_goes_on_is_heard_in_a_moment_or_when_it_has_written_much(
    size: int,
) -> None:
    loop = Patient()
    scene = Scene(loop).start()
    scene.program.say(TYPE + bytes(size))
    loop.settle()
    loop.moment_is_over = size == 4
    loop.settle()
    assert scene.exchange.calls == ["begin 200"]
    assert scene.exchange.length is None
    loop.moment_is_over = True
    scene.program.say(b"more")
    loop.settle()
    assert scene.exchange.body == bytes(size) + b"more"
    scene.do(["out", "err"])
    scene.end()
    assert scene.exchange.calls == ["begin 200", "finish"]
    loop.close()


@pytest.mark.parametrize("at_once", [False, True])
def test_an_answer_that_is_whole_does_not_wait_for_what_the_program_does_then(
    at_once: bool,
) -> None:
    loop = Patient()
    loop.moment_is_over = at_once
    scene = Scene(loop).start()
    scene.exchange.completes_at = 5
    scene.program.say(b"Content-Length: 5\n" + TYPE + b"hello")
    loop.settle()
    loop.moment_is_over = True
    loop.settle()
    assert scene.exchange.calls == ["begin 200", "finish"]
    loop.pass_time(11)
    assert scene.program.calls == ["terminate"]
    scene.end(Ended(15, 0.0, 0))
    scene.assert_over()
    loop.close()
