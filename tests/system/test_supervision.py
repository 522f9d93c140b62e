"""Workers that die or hang, masters that die, and several masters in one place."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import requests

from tests.system.daemon import eventually, is_running, run_forkd, started, write_config
from tests.system.load import get, under_load
from tests.system.processes import descendants, pids
from tests.system.programs import Held
from tests.system.sites import BIG, ROUTES, SMALL, make_site


def test_a_killed_worker_loses_no_more_than_it_held(tmp_path: Path) -> None:
    make_site(tmp_path)
    asks = (
        (get("/small.txt", SMALL), 6),
        (get("/big.bin", BIG), 2),
        (get("/hello", b"hello\n", name="new connections", reuse=False), 2),
    )
    lanes = sum(count for _, count in asks)
    kills = 10
    with (
        started(tmp_path, ROUTES, workers="{count: 4}") as daemon,
        under_load(daemon.port, *asks) as load,
    ):
        for _ in range(kills):
            before = load.total_lost()
            answered = load.answered("new connections")
            victim = max(daemon.workers(), key=lambda worker: worker["connections"])
            os.kill(victim["pid"], signal.SIGKILL)
            eventually(
                lambda: len(daemon.workers()) == 4 and victim["pid"] not in pids(daemon),  # noqa: B023 called at once
                "the pool is whole again",
            )
            eventually(
                lambda: load.answered("new connections") > answered + 20,  # noqa: B023 called at once
                "new connections are answered",
            )
            # No lane can lose more than the one request that it waits for.
            assert load.total_lost() - before <= lanes
        load.stop()
        lost = load.lost()
        assert not {how for losses in lost.values() for how in losses} & {
            "refused",
            "wrong",
            "timed out",
        }, lost
        assert sum(lost.get("new connections", {}).values()) <= kills * 2
        assert daemon.error_log.count("died by signal 9 (SIGKILL): it is replaced") == kills


def test_a_killed_master_leaves_nothing_behind(tmp_path: Path) -> None:
    make_site(tmp_path)
    pid_file = tmp_path / "forkd.pid"
    with started(tmp_path, ROUTES, top=f"pid_file: {pid_file}") as daemon:
        port = daemon.port
        with Held(tmp_path, port) as held:
            family = descendants(daemon.pid)
            assert held.pid in family
            daemon.process.kill()
            daemon.process.wait(5)
            eventually(lambda: not any(map(is_running, family)), "everybody is gone", 2)
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
        # What it left on the disk does not hinder the next one.
        assert daemon.control.exists()
        assert pid_file.read_text() == f"{daemon.pid}\n"
    with started(tmp_path) as following:
        assert pid_file.read_text() == f"{following.pid}\n"
        assert requests.get(f"{following.url}/hello", timeout=10).ok
        assert following.stop() == 0
        assert not pid_file.exists()


def test_a_hung_worker_is_replaced(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES, workers="{count: 2, hang_timeout: 1s}") as daemon:
        [victim, other] = sorted(pids(daemon))
        os.kill(victim, signal.SIGSTOP)
        eventually(lambda: not is_running(victim), "the hung worker is gone")
        eventually(lambda: len(daemon.workers()) == 2, "the pool is whole again")
        assert other in pids(daemon)
        line = daemon.wait_for_log("its loop has stood still")
        assert f"pid {victim}" in line
        daemon.wait_for_log("it is replaced")


def test_status_answers_while_all_workers_stand_still(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES) as daemon:
        stopped = pids(daemon)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            result = daemon.command("status")
            assert (result.returncode, result.stderr) == (0, "")
            assert all(str(pid) in result.stdout for pid in stopped)
            assert time.monotonic() - began < 5
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)


def test_the_pid_file_is_written_before_forkd_says_that_it_is_ready(tmp_path: Path) -> None:
    make_site(tmp_path)
    pid_file = tmp_path / "missing" / "forkd.pid"
    write_config(tmp_path, ROUTES, top=f"pid_file: {pid_file}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify.sock"))
        manager.setblocking(False)
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify.sock")}
        result = run_forkd("-c", str(tmp_path / "forkd.yaml"), env=env)
        # Where it cannot be written, nobody has been told READY before that came out.
        assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
        assert f"cannot write pid_file {pid_file}" in result.stderr
        said = []
        while True:
            try:
                said.append(manager.recv(4096))
            except BlockingIOError:
                break
        assert not [datagram for datagram in said if b"READY=1" in datagram]
        pid_file.parent.mkdir()
        with started(tmp_path, env=env) as daemon:
            assert pid_file.read_text() == f"{daemon.pid}\n"
            assert daemon.stop() == 0
        assert not pid_file.exists()


def test_a_second_instance_is_refused(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES, top=f"pid_file: {tmp_path}/forkd.pid") as daemon:
        result = run_forkd("-c", str(daemon.config))
        assert result.returncode == 1
        assert len(result.stderr.splitlines()) == 1
        assert "forkd is already running" in result.stderr
        assert str(daemon.control) in result.stderr
        assert daemon.status()["pid"] == daemon.pid
        assert (tmp_path / "forkd.pid").read_text() == f"{daemon.pid}\n"


def test_a_pool_that_dies_at_its_start_is_retried_with_patience(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES) as daemon:
        (tmp_path / "html").rename(tmp_path / "elsewhere")
        os.kill(min(pids(daemon)), signal.SIGKILL)
        line = daemon.wait_for_log("the next start is tried in 1 s")
        assert f"{tmp_path}/html does not exist any more" in line
        assert requests.get(f"{daemon.url}/hello", timeout=10).text == "hello\n"
        (tmp_path / "elsewhere").rename(tmp_path / "html")
        eventually(lambda: len(daemon.workers()) == 2, "the pool is whole again")
