"""CGI programs that cannot be run or answer wrongly: status, one line in the log, no source."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.daemon import eventually
from tests.system.hostile import IDENTITIES, OWN_USER, PROGRAM, Fort, fort
from tests.system.scripts import Scripts, parent_of, running_scripts
from tests.system.tools import need
from tests.system.wire import Wire, fetch, request

SOURCE = b"echo source"
AS_ROOT = os.geteuid() == 0


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
        (bin_ / "loop.sh").symlink_to("loop.sh")
        _write(bin_ / "bad-interpreter.sh", b"#!%b/not-executable.sh\n" % bytes(bin_) + SOURCE)
        _write(bin_ / "directory.sh", b"#!/usr\n" + SOURCE)
        _write(bin_ / "script0.sh", b"#!/bin/sh\n" + SOURCE)
        for number in range(7):
            _write(bin_ / f"script{number + 1}.sh", b"#!%b/script%d.sh\n" % (bytes(bin_), number))
        program = Path("/bin/true").read_bytes()
        machine = b"\x16\x00" if program[18:20] != b"\x16\x00" else b"\x3e\x00"
        _write(bin_ / "other-machine", program[:18] + machine + program[20:])
        _write(bin_ / "no-loader", program.replace(b"/ld-", b"/no-"))
        with socket.socket(socket.AF_UNIX) as sock, open(bin_ / "busy", "wb", 0) as busy:
            sock.bind(str(bin_ / "socket"))
            busy.write(program)
            os.fchmod(busy.fileno(), 0o755)
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
        ("socket", 404, "{} is neither a file nor a directory"),
        ("loop.sh", 404, "{} does not exist"),
        ("x" * 300, 404, "{} does not exist"),
        (".hidden.sh", 404, "{} is hidden"),
        ("no-interpreter.sh", 500, "the interpreter /no/such/interpreter in the first line of {}"),
        ("dos.sh", 500, "the first line of {} ends with a carriage return"),
        ("bad-interpreter.sh", 500, "the interpreter in the first line of {}: user "),
        ("directory.sh", 500, "the interpreter in the first line of {}: /usr is a directory"),
        ("script7.sh", 500, "the interpreter of {} is a script itself, and so on"),
        ("other-machine", 500, "{} is a program for another kind of machine, or damaged"),
        ("no-loader", 500, "{} or the loader that it names does not exist"),
        ("busy", 500, "{} is open for writing"),
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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fort]:
    """One with routes of which each lacks something, and with two small disks, which it alone sees:
    one for temporary files, and one from which nothing may be executed."""
    directory = tmp_path_factory.mktemp("lacking")
    routes = {
        "/long/": f"{{cgi: cgi-bin, env: {{LONG: {'x' * 150_000}}}}}",
        "/longer/": f"{{cgi: cgi-bin, env: {{LONG: {'x' * 300_000}}}}}",
        "/one/": "{MARK, max_concurrent: 1}",
        "*.cgi": "{cgi: html}",
    }
    if AS_ROOT:
        routes |= {
            "/few/": f"{{MARK, user: {OWN_USER}, limits: {{processes: 1}}}}",
            "*.cgi": f"{{cgi: html, user: {OWN_USER}}}",
        }
    for name in ("denied", "noexec"):
        (directory / "cgi-bin" / name).mkdir(parents=True)
    _write(directory / "cgi-bin" / "denied" / "x.sh", b"#!/bin/sh\n" + SOURCE)
    (directory / "cgi-bin" / "denied").chmod(0)
    mounts = (
        'mount -t tmpfs -o size=64k,mode=1777 tmpfs "$0/temporary" && '
        'mount -t tmpfs -o noexec tmpfs "$0/cgi-bin/noexec" && '
        'cp "$0/cgi-bin/hi.sh" "$0/cgi-bin/noexec" && exec "$@"'
    )
    as_root = () if AS_ROOT else ("--user", "--map-root-user")
    prefix = (need("unshare"), *as_root, "--mount", "sh", "-c", mounts, str(directory))
    with fort(directory, routes, IDENTITIES[0], prefix=prefix) as made:
        yield made


@pytest.mark.parametrize(
    ("target", "file", "status", "reason"),
    [
        ("/cgi-bin/noexec/hi.sh", "cgi-bin/noexec/hi.sh", 500, "{} is on a file system that is"),
        pytest.param(
            *("/few/hi.sh", "cgi-bin/hi.sh", 503, "{} cannot be started now: Resource temporarily"),
            marks=pytest.mark.skipif(not AS_ROOT, reason="needs a user of the programs' own"),
        ),
        ("/long/hi.sh", "cgi-bin/hi.sh", 500, "the environment for {} is larger than can be given"),
        ("/longer/hi.sh", "cgi-bin/hi.sh", 500, "the environment for {} is larger than can be"),
        ("/missing.cgi", "html/missing.cgi", 404, "{} does not exist"),
    ],
)
def test_what_a_machine_or_a_route_lacks_is_told(
    site: Fort, target: str, file: str, status: int, reason: str
) -> None:
    reason = reason.replace("{}", f"{site.daemon.directory}/{file}")
    before = len(site.lines(reason))
    assert fetch(site.port, target).status == status
    (line,) = site.lines(reason)[before:]
    assert f"cgi {status}: {reason}" in line
    assert " id=" in line
    site.check_nothing_left()


@pytest.mark.skipif(not AS_ROOT, reason="who may mount here may search every directory as well")
def test_a_directory_that_may_not_be_searched_is_named_with_the_user(site: Fort) -> None:
    assert fetch(site.port, "/cgi-bin/denied/x.sh").status == 403
    reason = f"cgi 403: user www-data may not search the directory {site.directory}/denied id="
    assert site.lines(reason)


def test_a_body_for_which_there_is_no_room_is_told_and_gives_the_room_back(site: Fort) -> None:
    with Wire(site.port) as wire:
        chunks = b"8000\r\n%b\r\n" % bytes(0x8000)
        wire.send(
            request(f"/cgi-bin/{PROGRAM}", "Transfer-Encoding: chunked", method="POST") + chunks * 9
        )
        assert wire.answer().status == 503
    assert site.lines("cgi 503: the program cannot be started: No space left on device", " id=")
    site.check_nothing_left()
    body = b"[\"os.environ['CONTENT_LENGTH']\"]\n"
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    with Wire(site.port) as wire:
        wire.send(
            request(f"/cgi-bin/{PROGRAM}", "Transfer-Encoding: chunked", method="POST") + chunk
        )
        assert wire.answer().text == f'"{len(body)}"\n'


@pytest.mark.parametrize("victim", ["spawner", "worker"])
def test_who_dies_takes_the_programs_that_run_and_the_orders_that_wait(
    site: Fort, victim: str
) -> None:
    with (
        site.sibling("/one") as (pid, wire),
        site.send("/one", "stand()", more=1) as waiting,
    ):
        eventually(lambda: site.daemon.workers()[0]["connections"] == 2, "the second has come")
        assert site.ask("/cgi-bin", "None") == ["done"]  # what came before is ordered by then
        spawner, (worker,) = parent_of(pid), site.daemon.workers()
        os.kill(spawner if victim == "spawner" else worker["pid"], signal.SIGKILL)
        with pytest.raises(ConnectionError):
            wire.chunk()
        if victim == "spawner":
            assert waiting.answer().status == 503
            assert site.lines("cgi 502: the spawner died while the program ran", f"pid={pid}")
            assert site.lines("cgi 503: the spawner died before it started the program", " id=")
        else:
            assert waiting.rest() == b""
    eventually(lambda: not site.running(), "no program is left")
    # There is room for the next one.
    assert site.ask("/one", "None") == ["done"]
