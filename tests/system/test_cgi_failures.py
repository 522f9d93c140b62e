"""CGI programs that cannot be run or answer wrongly: status, one line in the log, no source."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.daemon import eventually
from tests.system.scripts import Scripts, running_scripts
from tests.system.wire import Wire, fetch

SOURCE = b"echo source"


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripts]:
    with running_scripts(tmp_path_factory.mktemp("failures")) as running:
        bin_ = running.directory
        _write(bin_ / "not-executable.sh", b"#!/bin/sh\n" + SOURCE, 0o644)
        _write(bin_ / "no-interpreter.sh", b"#!/no/such/interpreter -x\n" + SOURCE)
        _write(bin_ / "dos.sh", b"#!/bin/sh\r\n" + SOURCE + b"\r\n")
        _write(bin_ / "empty.sh", b"")
        _write(bin_ / "garbage", b"\x7fNOT\x00\xff\xfe" * 100)
        _write(bin_ / "text.sh", SOURCE)
        _write(bin_ / ".hidden.sh", b"#!/bin/sh\n" + SOURCE)
        (bin_ / "directory").mkdir()
        os.mkfifo(bin_ / "fifo")
        (bin_ / "dangling.sh").symlink_to("nothing")
        yield running


def _write(path: Path, content: bytes, mode: int = 0o755) -> None:
    path.write_bytes(content)
    path.chmod(mode)


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("not-executable.sh", 403, "may not run {} (chmod +x {})"),
        ("directory", 403, "{} is a directory"),
        ("missing.sh", 404, "{} does not exist"),
        ("dangling.sh", 404, "{} does not exist"),
        ("fifo", 404, "{} is neither a file nor a directory"),
        (".hidden.sh", 404, "{} is hidden"),
        ("no-interpreter.sh", 500, "the interpreter /no/such/interpreter in the first line of {}"),
        ("dos.sh", 500, "the first line of {} ends with a carriage return"),
        ("empty.sh", 500, "{} is empty"),
        ("garbage", 500, "{} is neither a program nor a script"),
        ("text.sh", 500, "{} is neither a program nor a script"),
        ("no-header.sh", 502, "ended without a header (exit status 3)"),
        ("no-colon.sh", 502, "a line without a colon where its header should be: '<html>'"),
        ("no-type.sh", 502, "no Content-Type, Location or Status"),
        ("half-header.sh", 502, "ended within its header"),
        ("killed.sh", 502, "signal 9 (SIGKILL)"),
        ("closes-early.sh", 502, "closed its output without a header, and runs on"),
        ("header.sh?Transfer-Encoding:+chunked", 502, "Transfer-Encoding, which is forkd's"),
        ("header.sh?Status:+abc", 502, "a Status that is not a number from 200 to 599: 'abc'"),
        ("header.sh?Status:+100", 502, "a Status that is not a number from 200 to 599: '100'"),
        ("header.sh?Content-Type:+a/b|Content-Length:+-1", 502, "malformed Content-Length: '-1'"),
        ("header.sh?<b>:+x", 502, "a line that does not begin with a header's name"),
    ],
)
def test_a_failure_has_its_status_and_one_line_that_explains_it(
    scripts: Scripts, name: str, status: int, reason: str
) -> None:
    file = name.partition("?")[0]
    path = str(scripts.directory / file)
    before = len(scripts.lines(f"cgi {status}: "))
    with Wire(scripts.port) as wire:
        answer = wire.get(f"/cgi-bin/{name}")
        assert answer.status == status
        assert SOURCE not in answer.body
        assert path.encode() not in answer.body
        # Nothing about it harms the connection.
        assert wire.get("/page.txt").text == "page"
    (line,) = scripts.lines(f"cgi {status}: ")[before:]
    assert reason.replace("{}", path) in line
    assert path in line
    assert " id=" in line
    scripts.wait_until_gone()


def test_the_failure_repeats_what_the_script_said(scripts: Scripts) -> None:
    fetch(scripts.port, "/cgi-bin/no-header.sh")
    said = scripts.lines("cgi stderr: cannot open the database", "script=", "no-header.sh")
    assert said
    failed = scripts.lines("cgi 502: ", "stderr='cannot open the database'")
    assert failed
    assert said[-1].partition("id=")[2][:16] == failed[-1].partition("id=")[2][:16]


def test_a_path_below_a_script_that_cannot_run_is_no_file(scripts: Scripts) -> None:
    for target in ("/cgi-bin/not-executable.sh/x", "/cgi-bin/", "/cgi-bin/directory/x.sh"):
        answer = fetch(scripts.port, target)
        assert answer.status in (403, 404)
        assert SOURCE not in answer.body


def test_a_failure_after_the_output_leaves_the_answer_as_it_is(scripts: Scripts) -> None:
    answer = fetch(scripts.port, "/cgi-bin/fails-late.sh")
    assert (answer.status, answer.text) == (200, "all of it")
    scripts.daemon.wait_for_log("cgi ended: exit status 1 id=")


def test_a_flood_on_stderr_delays_nothing_but_itself(scripts: Scripts) -> None:
    answer = fetch(scripts.port, "/cgi-bin/flood.pl")
    assert (answer.status, answer.text) == (200, "answer")
    scripts.daemon.wait_for_log("cgi stderr: the last line id=")
    assert len(scripts.lines("flood.pl", "cgi stderr: xxxxxxxxx")) == 20_000


def test_stderr_cannot_forge_the_log(scripts: Scripts) -> None:
    assert fetch(scripts.port, "/cgi-bin/control.sh").text == "answer"
    line = scripts.daemon.wait_for_log("forged")
    assert r"cgi stderr: \x1b[31mred\x07 \r2026 forged \x9b \xff id=" in line
    log = (scripts.daemon.directory / "error.log").read_bytes()
    assert b"\x1b" not in log
    assert b"\r" not in log


def test_a_script_that_is_repaired_runs_at_once(scripts: Scripts) -> None:
    path = scripts.directory / "repaired.sh"
    _write(path, b"#!/bin/sh\nprintf 'Content-Type: a/b\\n\\nfine'\n", 0o644)
    assert fetch(scripts.port, "/cgi-bin/repaired.sh").status == 403
    path.chmod(0o755)
    assert fetch(scripts.port, "/cgi-bin/repaired.sh").text == "fine"
    path.unlink()
    assert fetch(scripts.port, "/cgi-bin/repaired.sh").status == 404


def test_the_access_log_has_the_status_of_a_failure(scripts: Scripts) -> None:
    fetch(scripts.port, "/cgi-bin/killed.sh?logged")
    line = 'GET /cgi-bin/killed.sh?logged HTTP/1.1" 502 '
    eventually(lambda: line in scripts.daemon.access_log, "the line of the failure")
