"""What scripts say on stderr, line by line."""

from __future__ import annotations

import logging
import os
import subprocess

import pytest

from forkd.handlers.programs import Ended
from forkd.handlers.script_log import ScriptLog, at_work, printable
from tests.unit.handlers.requests import request

TAIL = "id=0123 script=/srv/x.cgi"


@pytest.fixture
def script_log(caplog: pytest.LogCaptureFixture) -> ScriptLog:
    caplog.set_level(logging.DEBUG, "forkd.cgi")
    return ScriptLog(logging.getLogger("forkd.cgi"), "/srv/x.cgi", "0123")


def test_lines_are_logged_as_they_end_with_the_request_and_the_script(
    script_log: ScriptLog, caplog: pytest.LogCaptureFixture
) -> None:
    script_log.feed(b"one\ntw")
    assert caplog.messages == [f"cgi stderr: one {TAIL}"]
    script_log.feed(b"o\n\nthree")
    script_log.end()
    script_log.end()
    assert caplog.messages[1:] == [f"cgi stderr: {said} {TAIL}" for said in ("two", "", "three")]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_a_line_without_end_is_cut_and_does_not_grow_in_memory(
    script_log: ScriptLog, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(100):
        script_log.feed(b"x" * 1000)
    assert len(caplog.messages) >= 49
    assert max(map(len, caplog.messages)) < 2100
    script_log.end()
    assert "".join(caplog.messages).count("x") == 100_000 + len(caplog.messages) * TAIL.count("x")


def test_of_a_flood_of_tiny_lines_some_are_left_out_and_that_is_said(
    script_log: ScriptLog, caplog: pytest.LogCaptureFixture
) -> None:
    script_log.feed(b"y\n" * 2048)
    assert len(caplog.messages) == 257
    assert caplog.messages[255:] == [
        f"cgi stderr: y {TAIL}",
        f"cgi stderr: (1792 lines more at once: left out) {TAIL}",
    ]
    script_log.feed(b"last\n")
    assert caplog.messages[257:] == [f"cgi stderr: last {TAIL}"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"plain", "plain"),
        ("ünïcode".encode(), "ünïcode"),
        (b"\x1b[31mred", "\\x1b[31mred"),
        (b"bell\x07 tab\t cr\r", "bell\\x07 tab\\t cr\\r"),
        (b"\xff", "\\xff"),
    ],
)
def test_no_control_character_reaches_a_terminal(line: bytes, shown: str) -> None:
    assert printable(line) == shown


def test_a_failure_is_one_line_with_the_end_of_what_the_program_said(
    script_log: ScriptLog, caplog: pytest.LogCaptureFixture
) -> None:
    script_log.pid = 4711
    script_log.feed(b"x" * 5000 + b"\nNameError: y\n")
    caplog.clear()
    script_log.failure(502, "the script ended without a header")
    (message,) = caplog.messages
    assert message.startswith(f"cgi 502: the script ended without a header {TAIL} pid=4711 stderr=")
    assert message.endswith("NameError: y'")
    assert len(message) < 4500
    assert "\n" not in message


def test_the_figures_of_an_end_are_logged(
    script_log: ScriptLog, caplog: pytest.LogCaptureFixture
) -> None:
    script_log.pid = 7
    script_log.debug("ended: exit status 0", Ended(0, 0.0123, 2048))
    assert caplog.messages == [
        f"cgi ended: exit status 0 {TAIL} pid=7 cpu_ms=12 peak_memory=2048",
    ]


def test_what_a_program_is_at_is_told_of_one_that_has_not_started_runs_or_has_ended() -> None:
    with subprocess.Popen(["/bin/true"]) as ended:
        pass  # it has been waited for: there is no process of that number
    asked = request("/x")
    running, gone, none = (at_work(asked, pid, 107.0) for pid in (os.getpid(), ended.pid, 0))
    assert running.startswith("state ")
    assert gone.startswith("it has ended, but what it has started holds its output: GET /x, ")
    assert none.startswith("not started yet: GET /x, ")
