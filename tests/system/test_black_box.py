"""Failed CGI requests are recorded, and `forkd replay` runs them again as they were run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.system.daemon import FORKD, Daemon, environment, eventually, run_forkd, started
from tests.system.sites import ROUTES, make_site, open_to_all, script

IS_ROOT = os.geteuid() == 0
USER = "www-data"
HEAD = "printf 'Content-Type: text/plain\\n\\n'"
ID = re.compile(r"[0-9a-f]{16}")
NONE = "0" * 16


def recording_site(directory: Path) -> str:
    """Scripts that fail, a directory for records; gives a line that the configuration needs."""
    make_site(directory)
    script(directory, "fails.sh", "echo cannot >&2; exit 3")
    script(directory, "html.sh", "echo '<html>'")
    # The body first: what has not come when the request fails is in no record.
    tells = 'body=$(cat); echo no colon; env | sort; echo "$body"; echo bad >&2; exit 1'
    script(directory, "tells.sh", tells)
    script(directory, "held.sh", "echo $$ > PID.new; mv PID.new PID; exec sleep 1000")
    held = directory / "cgi-bin" / "held.sh"
    held.write_text(held.read_text().replace("PID", f"{directory}/records/pid"))
    script(directory, "dos.sh", "")
    (directory / "cgi-bin" / "dos.sh").write_bytes(b"#!/bin/sh\r\n")
    script(directory, "norun.sh", "").chmod(0o644)
    script(
        directory, "limits.sh", "ulimit -n; ulimit -t; id -un; grep NoNewPrivs /proc/self/status"
    )
    (directory / "records").mkdir(mode=0o700)
    (directory / "file").write_text("")
    open_to_all(directory)
    if not IS_ROOT:
        return ""
    shutil.chown(directory / "records", USER)
    return f"user: {USER}"


RECORDING = ROUTES | {
    "/r/": "{cgi: cgi-bin, record: records, timeout: 1s, env: {MINE: of the route}}",
    "/full/": "{cgi: cgi-bin, record: file/records}",
    "/small/": "{cgi: cgi-bin, record: records, limits: {open_files: 33, cpu: 7s}}",
    "/new/": "{cgi: cgi-bin, record: records/new}",
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("recording")
    top = recording_site(directory)
    with started(directory, RECORDING, top=top) as daemon:
        yield daemon


def fail(daemon: Daemon, path: str, status: int, body: bytes | None = None) -> str:
    """Have a request fail; the id under which it is recorded."""
    asked = requests.request("GET" if body is None else "POST", daemon.url + path, data=body)
    assert asked.status_code == status
    script_path = f"script={daemon.directory}/cgi-bin/{path.split('/')[2].partition('?')[0]}"

    def recorded() -> list[str]:
        lines = daemon.error_log.splitlines()
        return [line for line in lines if "cgi recorded: " in line and script_path in line]

    known = _known(daemon)
    known.setdefault(script_path, 0)
    eventually(lambda: len(recorded()) > known[script_path], "it is recorded")
    known[script_path] = len(recorded())
    found = re.search(r"forkd replay (\w+) runs it again", recorded()[-1])
    assert found is not None
    return found[1]


def _known(daemon: Daemon) -> dict[str, int]:
    known: dict[str, int] = vars(daemon).setdefault("recorded", {})
    return known


def replay(daemon: Daemon, request_id: str) -> list[str]:
    """The lines of a replay that succeeds."""
    result = daemon.command("replay", request_id)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


@pytest.mark.parametrize(
    ("path", "status", "reason", "end"),
    [
        ("/r/fails.sh", 502, "the script ended without a header (exit status 3)", "exit status 3"),
        ("/r/html.sh", 502, "the script wrote a line without a colon", "exit status 0"),
        ("/r/held.sh", 504, "no progress for 1 s: terminated", "signal 15 (SIGTERM)"),
        ("/r/dos.sh", 500, "the first line of {} ends with a carriage return", "not started"),
    ],
)
def test_a_failure_is_recorded_and_fails_again_when_it_is_replayed(
    daemon: Daemon, path: str, status: int, reason: str, end: str
) -> None:
    request_id = fail(daemon, f"{path}?a=b", status)
    file = f"{daemon.directory}/cgi-bin/{path.removeprefix('/r/')}"
    lines = replay(daemon, request_id)
    assert lines[0].endswith(f"  GET {path}?a=b")
    reason = reason.replace("{}", file)
    assert lines[1].startswith(f"failed with {status}: {reason}")
    assert lines[2].startswith(f"again: {file} as ")
    assert lines[-2].startswith(end)
    assert lines[-1].startswith(f"would be answered with {status}: {reason}")


def test_the_program_is_given_again_what_it_was_given(daemon: Daemon) -> None:
    request_id = fail(daemon, "/r/tells.sh/info?x=%20y", 502, b"some body")
    lines = replay(daemon, request_id)
    for line in (
        "out| no colon",
        "out| QUERY_STRING=x=%20y",
        "out| PATH_INFO=/info",
        "out| CONTENT_LENGTH=9",
        "out| MINE=of the route",
        f"out| REQUEST_ID={request_id}",
        "out| some body",
        "err| bad",
    ):
        assert line in lines
    environ = {line.removeprefix("out| ").partition("=")[0] for line in lines if "=" in line}
    record = json.loads((daemon.directory / "records" / f"{request_id}.json").read_text())
    assert set(record["environ"]) <= environ
    assert lines[2].endswith(f" as {record_user()}, with 9 bytes of body")


def record_user() -> str:
    import pwd

    return USER if IS_ROOT else pwd.getpwuid(os.geteuid()).pw_name


def test_of_a_large_body_it_is_told_that_it_was_cut(daemon: Daemon) -> None:
    request_id = fail(daemon, "/r/fails.sh", 502, b"x" * 100_000)
    lines = replay(daemon, request_id)
    # What the program says may come in between.
    assert (
        "NOT THE SAME: the body had 100000 bytes, of which only the first 65536 were recorded"
        in lines
    )


def test_a_record_is_its_owners_alone(daemon: Daemon) -> None:
    request_id = fail(daemon, "/new/fails.sh", 502)
    directory = daemon.directory / "records" / "new"
    found = (directory / f"{request_id}.json").stat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert found.st_uid != 0 or not IS_ROOT


def test_a_script_that_was_repaired_is_seen_to_work(daemon: Daemon) -> None:
    script(daemon.directory, "repaired.sh", "exit 1")
    request_id = fail(daemon, "/r/repaired.sh", 502)
    script(daemon.directory, "repaired.sh", f"{HEAD}; echo fine")
    lines = replay(daemon, request_id)
    assert "out| fine" in lines
    assert lines[-2].startswith("exit status 0, ")
    assert lines[-1] == "would be answered with 200"


def test_the_limits_of_the_route_are_those_of_the_replay(daemon: Daemon) -> None:
    request_id = fail(daemon, "/small/limits.sh", 502)
    lines = replay(daemon, request_id)
    assert ["out| 33", "out| 7", f"out| {record_user()}", "out| NoNewPrivs:\t1"] == [
        line.replace("\\t", "\t") for line in lines if line.startswith("out| ")
    ]


def test_what_does_not_fail_is_not_recorded(daemon: Daemon) -> None:
    before = daemon.error_log.count("cgi recorded: ")
    for path, status in (("hi.sh", 200), ("missing.sh", 404), ("norun.sh", 403)):
        assert requests.get(f"{daemon.url}/r/{path}", timeout=10).status_code == status
    fail(daemon, "/r/html.sh", 502)
    assert daemon.error_log.count("cgi recorded: ") == before + 1


def test_a_directory_that_cannot_be_written_is_one_line_and_no_more(daemon: Daemon) -> None:
    assert requests.get(f"{daemon.url}/full/fails.sh", timeout=10).status_code == 502
    line = daemon.wait_for_log(f"cgi not recorded in {daemon.directory}/file/records: ")
    assert "ERROR" in line
    assert requests.get(f"{daemon.url}/full/hi.sh", timeout=10).text == "hi\n"


def test_records_are_listed_the_newest_first(daemon: Daemon) -> None:
    first, second = (fail(daemon, "/r/fails.sh", 502) for _ in range(2))
    result = daemon.command("replay")
    assert result.returncode == 0
    # One directory that cannot be read does not hide what is in the others.
    assert result.stderr.endswith(
        f" cannot read {daemon.directory}/file/records: Not a directory\n"
    )
    lines = result.stdout.splitlines()
    assert [ID.search(line)[0] for line in lines[:2]] == [second, first]  # type: ignore[index]
    assert f"  502  {daemon.directory}/cgi-bin/fails.sh  the script ended without" in lines[0]
    listed = json.loads(daemon.command("replay", "--json").stdout)
    assert [one["id"] for one in listed[:2]] == [second, first]
    assert len(listed) == len(lines)


def test_whoever_has_seen_enough_ends_the_program(daemon: Daemon) -> None:
    fail(daemon, "/r/held.sh", 504)
    request_id = fail(daemon, "/r/held.sh", 504)
    pid_file = daemon.directory / "records" / "pid"
    pid_file.unlink()
    process = subprocess.Popen(
        [*FORKD, "replay", request_id, "--control", str(daemon.control)],
        env=environment(),
        stdout=subprocess.DEVNULL,
    )
    eventually(pid_file.exists, "the program runs")
    pid = int(pid_file.read_text())
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the program is gone")


def test_an_id_that_is_none_is_refused(daemon: Daemon) -> None:
    result = daemon.command("replay", NONE)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"forkd: no record {NONE} in {daemon.directory}/")
    assert daemon.command("replay", "../../etc/passwd").returncode == 1


def test_whoever_asks_hands_over_a_socket_and_three_ends(daemon: Daemon) -> None:
    refusal = {
        "ok": False,
        "reasons": ["replay takes 4 descriptors, of which the first is a socket"],
    }
    assert daemon.ask(command="replay", id=NONE) == refusal
    with socket.socket(socket.AF_UNIX) as sock, open(os.devnull) as null:
        sock.settimeout(20)
        sock.connect(str(daemon.control))
        line = json.dumps({"command": "replay", "id": NONE}).encode() + b"\n"
        socket.send_fds(sock, [line], [null.fileno()] * 4)
        assert json.loads(sock.recv(65536)) == refusal


def test_nothing_is_left_open_in_the_master(daemon: Daemon) -> None:
    def descriptors() -> int:
        return len(os.listdir(f"/proc/{daemon.pid}/fd"))

    request_id = fail(daemon, "/r/fails.sh", 502)
    before = descriptors()
    for _ in range(3):
        replay(daemon, request_id)
    daemon.command("replay", NONE)
    eventually(lambda: descriptors() == before, "the master has what it had")


def test_nobody_is_there(tmp_path: Path) -> None:
    result = run_forkd("replay", "--control", str(tmp_path / "control.sock"))
    assert (result.returncode, len(result.stderr.splitlines())) == (3, 1)


@pytest.mark.skipif(not IS_ROOT, reason="only root can become another user")
def test_the_user_of_the_route_runs_it_again(tmp_path: Path) -> None:
    top = recording_site(tmp_path)
    routes = RECORDING | {"/theirs/": "{cgi: cgi-bin, record: records, user: nobody}"}
    with started(tmp_path, routes, top=top) as daemon:
        request_id = fail(daemon, "/theirs/limits.sh", 502)
        assert (tmp_path / "records" / f"{request_id}.json").owner() == USER
        assert "out| nobody" in replay(daemon, request_id)
        # Nobody runs what the route is not for, whatever a record says.
        file = tmp_path / "records" / f"{request_id}.json"
        file.write_text(file.read_text().replace("cgi-bin/limits.sh", "html/small.txt"))
        result = daemon.command("replay", request_id)
        assert result.returncode == 1
        assert "is no program of" in result.stderr


def test_a_route_that_is_gone_runs_nothing_again(tmp_path: Path) -> None:
    top = recording_site(tmp_path)
    with started(tmp_path, RECORDING, top=top) as daemon:
        request_id = fail(daemon, "/r/fails.sh", 502)
        daemon.config.write_text(daemon.config.read_text().replace('"/r/":', '"/moved/":'))
        assert daemon.reload()["ok"]
        result = daemon.command("replay", request_id)
        assert result.returncode == 1
        assert "not in the configuration any more" in result.stderr
        listed = json.loads(daemon.command("replay", "--json").stdout)
        assert [one["id"] for one in listed] == [request_id]
