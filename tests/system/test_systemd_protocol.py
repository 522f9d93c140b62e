"""The whole conversation with systemd: in which order, for how long, and by whom."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import requests

from tests.system.daemon import (
    DEADLINE_S,
    FORKD,
    environment,
    eventually,
    started,
    write_config,
)
from tests.system.manager import Manager, manager
from tests.system.sites import ROUTES, held_script, make_site

TCP = "127.0.0.1:0"

GATED = """\
import os, time

while os.path.exists("gate"):
    time.sleep(0.01)


def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def count(systemd: Manager, name: str) -> int:
    return sum(name in said for said in list(systemd.log))


def test_the_order_of_all_that_is_said(tmp_path: Path) -> None:
    make_site(tmp_path)
    one, two = f"unix:{tmp_path}/one.sock", f"unix:{tmp_path}/two.sock"
    with manager(tmp_path) as systemd:
        with started(tmp_path, ROUTES, env=systemd.env, listen=f'["{TCP}", "{one}"]') as daemon:
            # The control socket answers a moment before the start is told.
            eventually(lambda: count(systemd, "READY") == 1, "the start is told")
            assert systemd.words() == ["FDSTORE", "FDSTORE", "READY"]

            write_config(tmp_path, ROUTES, listen=f'["{TCP}", "{two}"]')
            assert daemon.reload()["ok"]
            eventually(lambda: count(systemd, "READY") == 2, "the reload is told")
            reload = ["RELOADING", "FDSTORE", "FDSTOREREMOVE", "READY"]
            assert systemd.words()[3:] == reload
            assert sorted(name[:12] for name in systemd.store) == ["listen-tcp-1", "listen-unix-"]

            # The address that was dropped before is bound again: not before systemd lets go of it.
            write_config(tmp_path, ROUTES, listen=f'["{TCP}", "{two}", "{one}"]')
            assert daemon.reload()["ok"]
            eventually(lambda: count(systemd, "READY") == 3, "the second reload is told")
            assert systemd.words()[7:] == ["RELOADING", "BARRIER", "FDSTORE", "READY"]
            assert len(systemd.store) == 3

            write_config(tmp_path, ROUTES, listen=f'["{TCP}", "unix:{tmp_path}/no/no"]')
            assert not daemon.reload()["ok"]
            eventually(lambda: count(systemd, "READY") == 4, "the failed reload is told")
            assert systemd.words()[11:] == ["RELOADING", "READY"]
            failed = [said for said in systemd.log if "READY" in said][-1]
            assert failed["STATUS"].startswith("The last reload failed: cannot listen on unix:")
        eventually(lambda: count(systemd, "STOPPING") == 1, "the stop is told")
        assert systemd.words()[13:] == ["STOPPING"], "a stop leaves the store to systemd"
        assert set(systemd.senders[: len(systemd.log)]) == {daemon.pid}
        assert count(systemd, "WATCHDOG") == 0


def test_a_canary_that_fails_leaves_nothing_in_the_store(tmp_path: Path) -> None:
    make_site(tmp_path)
    (tmp_path / "broken.py").write_text("raise ValueError('broken')\n")
    more = ROUTES | {"/app/": '{wsgi: "broken:application", path: [.]}'}
    with (
        manager(tmp_path) as systemd,
        started(tmp_path, ROUTES, env=systemd.env) as daemon,
    ):
        write_config(tmp_path, more, listen=f'["{TCP}", "unix:{tmp_path}/new.sock"]')
        assert not daemon.reload()["ok"]
        eventually(lambda: count(systemd, "READY") == 2, "the failed reload is told")
        reload = ["RELOADING", "FDSTORE", "FDSTOREREMOVE", "READY"]
        assert systemd.words() == ["FDSTORE", "READY", *reload]


@pytest.mark.parametrize("broken", ["configuration", "application", "listener"])
def test_a_start_that_fails_says_why_and_never_ready(tmp_path: Path, broken: str) -> None:
    make_site(tmp_path)
    routes, listen = ROUTES, TCP
    if broken == "application":
        (tmp_path / "broken.py").write_text("raise ValueError('broken')\n")
        routes = ROUTES | {"/app/": '{wsgi: "broken:application", path: [.]}'}
    elif broken == "listener":
        listen = f"unix:{tmp_path}/no/no"
    config = write_config(tmp_path, routes, listen=listen)
    if broken == "configuration":
        config.write_text(config.read_text() + "surprise: 1\n")
    with manager(tmp_path) as systemd:
        result = subprocess.run(
            [*FORKD, "-c", str(config)],
            env=environment(**systemd.env),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        assert result.returncode == 1
        eventually(lambda: "Cannot start" in systemd.log[-1].get("STATUS", ""), "it says why")
        reason = systemd.log[-1]["STATUS"].removeprefix("Cannot start: ").partition("; ")[0]
        assert reason in result.stderr
        assert count(systemd, "READY") == 0


def gated(directory: Path) -> dict[str, str]:
    """An application whose import waits as long as there is a file `gate`."""
    (directory / "gated.py").write_text(GATED)
    return ROUTES | {"/app/": '{wsgi: "gated:application", path: [.]}'}


def test_a_start_that_takes_long_asks_for_patience(tmp_path: Path) -> None:
    make_site(tmp_path)
    gate = tmp_path / "gate"
    gate.touch()
    config = write_config(tmp_path, gated(tmp_path), workers="{count: 1, boot_timeout: 60s}")
    with manager(tmp_path) as systemd:
        process = subprocess.Popen([*FORKD, "-c", str(config)], env=environment(**systemd.env))
        try:
            asked = [int(systemd.next_with("EXTEND_TIMEOUT_USEC")["EXTEND_TIMEOUT_USEC"])]
            asked.append(int(systemd.next_with("EXTEND_TIMEOUT_USEC")["EXTEND_TIMEOUT_USEC"]))
            assert all(1_500_000 < one <= 60_000_000 for one in asked), "longer than to the next"
            assert count(systemd, "READY") == 0
            gate.unlink()
            systemd.next_with("READY")
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


def test_a_stop_asks_for_patience_while_requests_are_finished(tmp_path: Path) -> None:
    make_site(tmp_path)
    begun, release = held_script(tmp_path)
    os.mkfifo(release)
    with manager(tmp_path) as systemd, started(tmp_path, ROUTES, env=systemd.env) as daemon:
        with socket.create_connection(("127.0.0.1", daemon.port), DEADLINE_S) as client:
            client.sendall(b"GET /cgi-bin/held.sh HTTP/1.0\r\nHost: x\r\n\r\n")
            eventually(begun.exists, "the script runs")
            daemon.send_signal(signal.SIGTERM)
            systemd.next_with("READY")
            systemd.next_with("STOPPING")
            systemd.next_with("EXTEND_TIMEOUT_USEC")
            eventually(
                lambda: systemd.log[-1].get("STATUS", "").startswith("Draining: "),
                "what the stop waits for is told",
            )
            release.write_text("\n")
            assert b"done" in client.makefile("rb").read()
        assert daemon.process.wait(DEADLINE_S) == 0
        assert systemd.words()[-1] == "STOPPING"


def test_the_watchdog_is_fed_while_forkd_serves(tmp_path: Path) -> None:
    make_site(tmp_path)
    env = {"WATCHDOG_USEC": "1000000"}
    with manager(tmp_path) as systemd, started(tmp_path, ROUTES, env=systemd.env | env):
        systemd.next_with("READY")
        begin = time.monotonic()
        for _ in range(4):
            systemd.next_with("WATCHDOG")
        # One at once, and three at half of the second, each a little late.
        assert 1.4 < time.monotonic() - begin < 3 + DEADLINE_S / 4


def test_a_watchdog_of_another_process_is_left_alone(tmp_path: Path) -> None:
    make_site(tmp_path)
    env = {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    with manager(tmp_path) as systemd, started(tmp_path, ROUTES, env=systemd.env | env) as daemon:
        systemd.next_with("READY")
        # Figures are told once a second: there is time for a ping.
        for _ in range(2):
            assert requests.get(f"{daemon.url}/hello", timeout=10).ok
            systemd.next_with("STATUS")
        assert count(systemd, "WATCHDOG") == 0


def test_a_pool_that_cannot_come_back_ends_the_pings(tmp_path: Path) -> None:
    make_site(tmp_path)
    limits = "{count: 2, hang_timeout: 1s, boot_timeout: 1s}"
    env = {"WATCHDOG_USEC": "1000000"}
    with (
        manager(tmp_path) as systemd,
        started(tmp_path, gated(tmp_path), env=systemd.env | env, workers=limits) as daemon,
    ):
        systemd.next_with("READY")
        systemd.next_with("WATCHDOG")
        (tmp_path / "gate").touch()
        for worker in daemon.workers():
            os.kill(worker["pid"], signal.SIGKILL)
        eventually(lambda: time.monotonic() - systemd.last["WATCHDOG"] > 2, "no ping for long")
        (tmp_path / "gate").unlink()
        before = count(systemd, "WATCHDOG")
        eventually(lambda: count(systemd, "WATCHDOG") > before, "they serve again", 60)


def test_at_an_upgrade_only_the_main_process_speaks(tmp_path: Path) -> None:
    make_site(tmp_path)
    pid_file = tmp_path / "forkd.pid"
    watchdog = {"WATCHDOG_USEC": "2000000"}
    with manager(tmp_path) as systemd:
        with started(
            tmp_path, ROUTES, env=systemd.env | watchdog, top=f"pid_file: {pid_file}"
        ) as daemon:
            answer = daemon.ask(command="upgrade")
            assert answer["ok"], answer
            systemd.next_with("READY")
            said = systemd.next_with("MAINPID")
            assert said == {"MAINPID": str(answer["pid"])}
            systemd.next_with("READY")
            systemd.next_with("WATCHDOG")
            assert pid_file.read_text() == f"{answer['pid']}\n"
            assert daemon.process.wait(DEADLINE_S) == 0
            assert daemon.ask(command="stop", wait=True)["ok"]
            systemd.next_with("STOPPING")
        assert systemd.words() == ["FDSTORE", "READY", "MAINPID", "READY", "STOPPING"]
        main = daemon.pid
        for said, sender in zip(systemd.log, systemd.senders, strict=False):
            assert sender == main, f"systemd would not have heard {said}"
            main = int(said.get("MAINPID", main))
