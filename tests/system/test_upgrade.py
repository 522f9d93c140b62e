"""USR2 and `forkd upgrade`: another master takes over, and nobody notices."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.system.daemon import (
    REPOSITORY,
    Daemon,
    eventually,
    is_running,
    run_forkd,
    started,
    write_config,
)
from tests.system.load import get, post, under_load
from tests.system.manager import activation
from tests.system.sites import BIG, ROUTES, SMALL, make_site

UPGRADES = 5
SLOW_START = """\
import os, time

while os.path.exists("slow"):
    time.sleep(0.01)


def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@contextmanager
def upgradable(directory: Path, routes: dict[str, str], **more: Any) -> Iterator[Daemon]:
    """A daemon whose last master is stopped at the end, whoever that is."""
    with started(directory, routes, **more) as daemon:
        try:
            yield daemon
        finally:
            master = daemon.status()["pid"]
            assert daemon.ask(command="stop", wait=True)["ok"]
            eventually(lambda: not is_running(master), "the last master has left")


def upgrade(daemon: Daemon) -> int:
    """The pid of the new master, which serves."""
    answer = daemon.ask(command="upgrade")
    assert answer["ok"], answer
    return int(answer["pid"])


def test_another_master_serves_on_the_same_listeners_and_the_old_one_leaves(tmp_path: Path) -> None:
    make_site(tmp_path)
    listen = f'["127.0.0.1:0", "unix:{tmp_path}/http.sock"]'
    pid_file = tmp_path / "forkd.pid"
    with upgradable(tmp_path, ROUTES, listen=listen, top=f"pid_file: {pid_file}") as daemon:
        before, inode = daemon.status(), os.stat(tmp_path / "http.sock").st_ino
        new = upgrade(daemon)
        assert daemon.process.wait(10) == 0
        after = daemon.status()
        assert (after["pid"], after["generation"]) == (new, before["generation"] + 1)
        assert after["listeners"] == before["listeners"]
        assert pid_file.read_text() == f"{new}\n"
        assert os.stat(tmp_path / "http.sock").st_ino == inode
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "http.sock"))
            client.sendall(b"GET /hello HTTP/1.0\r\nHost: x\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        assert requests.get(f"{daemon.url}/hello", timeout=10).text == "hello\n"
    assert not pid_file.exists()
    assert not (tmp_path / "http.sock").exists()
    assert not daemon.control.exists()


def test_upgrades_under_load_lose_no_request(tmp_path: Path) -> None:
    make_site(tmp_path)
    upload = b"u" * 20_000
    asks = (
        (get("/small.txt", SMALL), 4),
        (get("/small.txt", SMALL, name="new connections", reuse=False), 2),
        (get("/small.txt", SMALL, name="idle in between", pause_s=0.02), 2),
        (get("/big.bin", BIG), 1),
        (get("/cgi-bin/hi.sh", b"hi\n", pause_s=0.01), 1),
        (post("/cgi-bin/echo.sh", upload, upload, pause_s=0.01), 1),
    )
    with upgradable(tmp_path, ROUTES) as daemon, under_load(daemon.port, *asks) as load:
        masters = {daemon.pid}
        for _ in range(UPGRADES):
            before = load.answered("new connections")
            masters.add(upgrade(daemon))
            eventually(lambda: load.answered("new connections") > before + 4, "answers")  # noqa: B023 called at once
        load.stop()
        assert load.lost() == {}
        assert sum(counter["closed while idle"] for counter in load.tally.values()) == 0
        assert len(masters) == 1 + UPGRADES
        eventually(lambda: sum(map(is_running, masters)) == 1, "the old masters have left")


def test_the_new_configuration_is_taken_with_its_listeners(tmp_path: Path) -> None:
    make_site(tmp_path)
    old, new = tmp_path / "old.sock", tmp_path / "new.sock"
    listen = f'["127.0.0.1:0", "unix:{old}"]'
    with upgradable(tmp_path, ROUTES, listen=listen) as daemon:
        text = daemon.config.read_text()
        daemon.config.write_text(text.replace(str(old), str(new)))
        upgrade(daemon)
        assert not old.exists()
        assert new.exists()


def test_every_kind_of_listener_is_handed_over(tmp_path: Path) -> None:
    classes = f"path: {REPOSITORY}/tests/apps"
    echo = f"{{protocol: udp, handler: 'socket_classes:Echo', {classes}, address: "
    listen = (
        f'["fd:web", {echo}"127.0.0.1:0"}}, {echo}"unix:{tmp_path}/echo.sock"}}, '
        f'"unix:{tmp_path}/http.sock"]'
    )
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    prefix = activation(["web"], [port])
    with upgradable(tmp_path, {"/": "{respond: hello}"}, listen=listen, prefix=prefix) as daemon:
        before = daemon.status()["listeners"]
        upgrade(daemon)
        assert daemon.process.wait(10) == 0
        upgrade(daemon)  # and on to the next
        assert daemon.status()["listeners"] == before
        assert requests.get(f"http://127.0.0.1:{port}/", timeout=10).text == "hello"
        host, _, number = before[1]["address"].rpartition(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.sendto(b"are you there", (host, int(number)))
            assert client.recv(100) == b"are you there"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.bind(str(tmp_path / "client.sock"))
            client.sendto(b"and you", str(tmp_path / "echo.sock"))
            assert client.recv(100) == b"and you"


def test_a_signal_does_it_too(tmp_path: Path) -> None:
    make_site(tmp_path)
    with upgradable(tmp_path, ROUTES) as daemon:
        first = daemon.pid
        daemon.send_signal(signal.SIGUSR2)
        assert daemon.process.wait(20) == 0
        assert daemon.status()["pid"] != first


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("listen: 127.0.0.1:1\nsites: nothing", "sites"),
        ("bad yaml: [", "still open"),
    ],
)
def test_a_configuration_that_does_not_work_leaves_the_old_master(
    tmp_path: Path, change: str, reason: str
) -> None:
    make_site(tmp_path)
    with upgradable(tmp_path, ROUTES) as daemon:
        daemon.config.write_text(change)
        refused = daemon.command("upgrade")
        assert refused.returncode == 1
        assert reason in refused.stderr
        assert "Traceback" not in refused.stderr
        assert "upgrade failed: this master goes on" in daemon.error_log
        assert daemon.status()["pid"] == daemon.pid
        assert requests.get(f"{daemon.url}/hello", timeout=10).ok
        eventually(lambda: len(daemon.status()["workers"]) == 2, "only the old workers")


def test_an_application_that_fails_in_the_new_program_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Length', '2')])\n    return [b'ok']\n"
    )
    routes = {"/": '{wsgi: "app:application"}'}
    listen = f'["127.0.0.1:0", "unix:{tmp_path}/http.sock"]'
    with upgradable(tmp_path, routes, listen=listen) as daemon:
        (tmp_path / "app.py").write_text("raise RuntimeError('the new version is broken')")
        answer = daemon.ask(command="upgrade")
        assert not answer["ok"]
        assert "the new version is broken" in answer["reasons"][0]
        assert (tmp_path / "http.sock").exists()
        assert requests.get(daemon.url, timeout=10).text == "ok"
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_new_master_that_is_killed_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SLOW_START)
    routes = {"/": '{wsgi: "app:application"}'}
    with upgradable(tmp_path, routes) as daemon:
        (tmp_path / "slow").touch()
        daemon.send_signal(signal.SIGUSR2)
        line = daemon.wait_for_log("the new master is pid")
        new = int(line.split()[-1])
        busy = daemon.command("upgrade")
        assert (busy.returncode, "under way already" in busy.stderr) == (1, True)
        os.kill(new, signal.SIGKILL)
        daemon.wait_for_log("upgrade failed: the new master ended by signal 9")
        (tmp_path / "slow").unlink()
        assert upgrade(daemon) != new


def test_a_stop_in_the_middle_stops_both(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SLOW_START)
    with started(tmp_path, {"/": '{wsgi: "app:application"}'}) as daemon:
        (tmp_path / "slow").touch()
        daemon.send_signal(signal.SIGUSR2)
        new = int(daemon.wait_for_log("the new master is pid").split()[-1])
        assert daemon.stop() == 0
        eventually(lambda: not is_running(new), "the new master is gone")


def test_a_pid_file_that_cannot_be_written_leaves_the_old_master_whole(tmp_path: Path) -> None:
    make_site(tmp_path)
    listen = f'["127.0.0.1:0", "unix:{tmp_path}/http.sock"]'
    with upgradable(tmp_path, ROUTES, listen=listen) as daemon:
        good = daemon.config.read_text()
        daemon.config.write_text(f"{good}pid_file: {tmp_path}/nowhere/forkd.pid\n")
        refused = daemon.command("upgrade")
        assert refused.returncode == 1
        assert "cannot write pid_file" in refused.stderr
        assert daemon.status()["pid"] == daemon.pid
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "http.sock"))
            client.sendall(b"GET /hello HTTP/1.0\r\nHost: x\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        daemon.config.write_text(good)
        upgrade(daemon)


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGTERM])
def test_a_stop_signal_in_the_middle_leaves_no_new_master(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "app.py").write_text(SLOW_START)
    with started(tmp_path, {"/": '{wsgi: "app:application"}'}) as daemon:
        (tmp_path / "slow").touch()
        daemon.send_signal(signal.SIGUSR2)
        new = int(daemon.wait_for_log("the new master is pid").split()[-1])
        daemon.send_signal(number)
        assert daemon.process.wait(20) == 0
        eventually(lambda: not is_running(new), "the new master is gone")


def test_a_reload_in_the_middle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SLOW_START)
    with upgradable(tmp_path, {"/": '{wsgi: "app:application"}'}) as daemon:
        (tmp_path / "slow").touch()
        daemon.send_signal(signal.SIGUSR2)
        daemon.wait_for_log("the new master is pid")
        assert daemon.reload() == {"ok": False, "reasons": ["an upgrade is under way"]}
        (tmp_path / "slow").unlink()
        assert daemon.process.wait(20) == 0


def test_what_the_variable_says_must_make_sense(tmp_path: Path) -> None:
    config = write_config(tmp_path, {"/": "{respond: x}"})
    run = run_forkd("-c", str(config), env={"FORKD_UPGRADE": json.dumps({"channel": 77})})
    assert run.returncode == 1
    assert "start forkd without it" in run.stderr
    assert len(run.stderr.splitlines()) == 1
