"""Started as root: who the processes are, what they may, and what the master does for them."""

from __future__ import annotations

import grp
import os
import pwd
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.system.daemon import Daemon, eventually, is_running, started
from tests.system.processes import descendants
from tests.system.programs import Held
from tests.system.sites import ROUTES, SMALL, make_site, script

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

USER = "www-data"
SHOW_STATUS = "printf 'Content-Type: text/plain\\n\\n'; cat /proc/self/status"


@pytest.fixture
def site(open_path: Path) -> Path:
    make_site(open_path)
    script(open_path, "status.sh", SHOW_STATUS)
    script(open_path, "warn.sh", "echo complaint >&2; printf 'Content-Type: text/plain\\n\\nhi\\n'")
    return open_path


@pytest.fixture
def daemon(site: Path) -> Iterator[Daemon]:
    listen = f'["127.0.0.1:0", "unix:{site}/http.sock"]'
    with started(site, ROUTES, top=f"user: {USER}", listen=listen) as daemon:
        yield daemon


def fields(text: str) -> dict[str, list[str]]:
    """/proc/PID/status: the values by name."""
    lines = (line.partition(":") for line in text.splitlines())
    return {name: value.split() for name, _, value in lines}


def check_status(status: dict[str, list[str]]) -> None:
    entry = pwd.getpwnam(USER)
    assert status["Uid"] == [str(entry.pw_uid)] * 4
    assert status["Gid"] == [str(entry.pw_gid)] * 4
    assert sorted(map(int, status["Groups"])) == sorted(os.getgrouplist(USER, entry.pw_gid))
    assert int(status["CapEff"][0], 16) == int(status["CapPrm"][0], 16) == 0
    assert int(status["CapInh"][0], 16) == int(status["CapAmb"][0], 16) == 0
    assert status["NoNewPrivs"] == ["1"]


def test_workers_and_spawners_are_the_user_and_can_become_no_other(daemon: Daemon) -> None:
    children = daemon.children()
    assert len(children) > len(daemon.workers())
    for pid in children:
        check_status(fields(Path(f"/proc/{pid}/status").read_text()))
    assert fields(Path(f"/proc/{daemon.pid}/status").read_text())["Uid"] == ["0"] * 4


def test_programs_are_the_user_and_can_become_no_other(daemon: Daemon) -> None:
    answer = requests.get(f"{daemon.url}/cgi-bin/status.sh", timeout=10)
    assert answer.status_code == 200
    check_status(fields(answer.text))


def test_a_route_may_leave_its_programs_the_way_to_more_rights(site: Path) -> None:
    routes = ROUTES | {"/sudo/": "{cgi: cgi-bin, no_new_privileges: false}"}
    with started(site, routes, top=f"user: {USER}") as daemon:
        loose = fields(requests.get(f"{daemon.url}/sudo/status.sh", timeout=10).text)
        assert loose["NoNewPrivs"] == ["0"]
        check_status(loose | {"NoNewPrivs": ["1"]})
        check_status(fields(requests.get(f"{daemon.url}/cgi-bin/status.sh", timeout=10).text))


def test_the_group_may_be_another(site: Path) -> None:
    with started(site, ROUTES, top=f"user: {USER}\ngroup: nogroup") as daemon:
        answer = fields(requests.get(f"{daemon.url}/cgi-bin/status.sh", timeout=10).text)
    assert answer["Gid"] == [str(grp.getgrnam("nogroup").gr_gid)] * 4
    assert answer["Uid"] == [str(pwd.getpwnam(USER).pw_uid)] * 4


def test_a_unix_listener_belongs_to_the_user_with_mode_0660(daemon: Daemon) -> None:
    path = daemon.directory / "http.sock"
    found = path.stat()
    entry = pwd.getpwnam(USER)
    assert (found.st_uid, found.st_gid) == (entry.pw_uid, entry.pw_gid)
    assert stat.S_IMODE(found.st_mode) == 0o660
    assert stat.S_IMODE(daemon.control.stat().st_mode) == 0o600
    assert daemon.control.stat().st_uid == 0
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(path))
        sock.sendall(b"GET /small.txt HTTP/1.0\r\n\r\n")
        with sock.makefile("rb") as stream:
            assert stream.read().endswith(b"\r\n\r\n" + SMALL)


def test_the_rights_of_a_unix_listener_can_be_set(site: Path) -> None:
    entry = f"{{address: 'unix:{site}/own.sock', mode: 0600, owner: nobody, group: nogroup}}"
    with started(site, ROUTES, top=f"user: {USER}", listen=f'["127.0.0.1:0", {entry}]'):
        found = (site / "own.sock").stat()
        assert found.st_uid == pwd.getpwnam("nobody").pw_uid
        assert found.st_gid == grp.getgrnam("nogroup").gr_gid
        assert stat.S_IMODE(found.st_mode) == 0o600
    assert not (site / "own.sock").exists()


def test_logs_may_lie_where_only_root_can_go(site: Path) -> None:
    logs = site / "logs"
    logs.mkdir(mode=0o700)
    access, error = logs / "access.log", logs / "error.log"
    with started(site, ROUTES, top=f"user: {USER}") as daemon:
        text = daemon.config.read_text()
        text = text.replace("file: access.log", "file: logs/access.log")
        daemon.config.write_text(text.replace("file: error.log", "file: logs/error.log"))
        assert daemon.reload()["ok"]
        for turn in ("first", "second"):
            assert requests.get(f"{daemon.url}/cgi-bin/warn.sh?{turn}", timeout=10).ok
            eventually(lambda: f"?{turn}" in access.read_text(), "the access log is written")  # noqa: B023 called at once
            eventually(lambda: "complaint" in error.read_text(), "the error log is written")
            access.rename(logs / f"access.{turn}")
            error.rename(logs / f"error.{turn}")
            assert daemon.command("reopen").returncode == 0
        assert access.exists()
        assert "?second" not in (logs / "access.first").read_text()


def test_root_without_a_user_is_warned_loudly(site: Path) -> None:
    with started(site, ROUTES) as daemon:
        line = daemon.wait_for_log("AS ROOT")
        assert "WARNING" in line
        assert "set user: " in line
        answer = fields(requests.get(f"{daemon.url}/cgi-bin/status.sh", timeout=10).text)
        assert answer["Uid"] == ["0"] * 4
        assert answer["NoNewPrivs"] == ["1"]


def test_with_a_user_there_is_no_warning(daemon: Daemon) -> None:
    assert "WARNING" not in daemon.error_log


def test_a_worker_can_read_its_own_memory_figures(daemon: Daemon) -> None:
    assert all(worker["memory_pss"] > 0 for worker in daemon.workers())


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGKILL])
def test_programs_of_the_user_end_with_the_master(site: Path, number: signal.Signals) -> None:
    site.chmod(0o777)
    with (
        started(site, ROUTES, top=f"user: {USER}") as daemon,
        Held(site, daemon.port) as held,
    ):
        family = descendants(daemon.pid)
        assert held.pid in family
        # A change of identity undoes what ties a child to its parent's death (prctl(2)).
        daemon.send_signal(number)
        eventually(lambda: not any(map(is_running, family)), "everybody is gone", 2)
