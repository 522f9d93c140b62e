"""Pools that grow, shrink and renew their workers, and what is told of those that die."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
import requests

from tests.system.daemon import Daemon, eventually, is_running, started
from tests.system.load import Load, get, post, under_load
from tests.system.sites import BIG, ROUTES, SMALL, make_site

APPLICATION = """\
import time

kept = []


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/sleep/"):
        time.sleep(float(path.removeprefix("/sleep/")))
    if path == "/grow":
        kept.append(b"x" * 64_000_000)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
"""
APP = {"/": '{wsgi: "app:application"}'}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APPLICATION)
    return tmp_path


def sizes(daemon: Daemon) -> int:
    return len(daemon.workers())


def test_a_pool_grows_with_its_load_and_shrinks_without_and_loses_nothing(app: Path) -> None:
    workers = "{min: 1, max: 4, idle_timeout: 2s, threads: 1}"
    with (
        started(app, APP, workers=workers) as daemon,
        under_load(daemon.port, (get("/", b"ok", reuse=False), 1)) as load,
    ):
        assert sizes(daemon) == 1
        for lane in range(6):
            load.add(get("/sleep/0.05", b"ok", name=f"slow {lane}"))
        eventually(lambda: sizes(daemon) == 4, "as many as may be")
        load.stop()
        eventually(lambda: len(daemon.status()["workers"]) == 1, "as few as may be")
        assert load.lost() == {}
        assert "4 workers from now on, not 2: the load has changed" in daemon.error_log


def test_a_reload_keeps_the_size_that_the_load_needs(app: Path) -> None:
    workers = "{min: 1, max: 4, idle_timeout: 1h, threads: 1}"
    with started(app, APP, workers=workers) as daemon:
        with under_load(daemon.port, (get("/sleep/0.05", b"ok"), 8)):
            eventually(lambda: sizes(daemon) == 4, "as many as may be")
        assert daemon.reload()["ok"]
        assert {w["generation"] for w in daemon.workers()} == {2}
        assert sizes(daemon) == 4
        daemon.config.write_text(daemon.config.read_text().replace("max: 4", "max: 2"))
        assert daemon.reload()["ok"]
        assert sizes(daemon) == 2


def test_workers_that_renew_themselves_lose_no_request(tmp_path: Path) -> None:
    make_site(tmp_path)
    workers = "{count: 2, max_requests: 500, max_requests_jitter: 100}"
    asks = (
        (get("/small.txt", SMALL), 4),
        (get("/small.txt", SMALL, name="new connections", reuse=False), 2),
        (get("/small.txt", SMALL, name="idle in between", pause_s=0.02), 2),
        (get("/big.bin", BIG), 1),
        (post("/cgi-bin/echo.sh", b"u" * 20_000, b"u" * 20_000, pause_s=0.01), 1),
    )
    with (
        started(tmp_path, ROUTES, workers=workers) as daemon,
        under_load(daemon.port, *asks) as load,
    ):
        eventually(
            lambda: daemon.error_log.count("is replaced in order: it has answered") >= 20, "20"
        )
        load.stop()
        assert load.lost() == {}
        assert sum(counter["closed while idle"] for counter in load.tally.values()) == 0
        eventually(lambda: len(daemon.status()["workers"]) == 2, "the old ones have left")
        answered = [
            int(line.split("it has answered ")[1].split()[0])
            for line in daemon.error_log.splitlines()
            if "it has answered" in line
        ]
        assert min(answered) >= 500
        assert daemon.status()["deaths"] == []


def test_a_worker_that_grows_above_max_rss_is_replaced_in_order(app: Path) -> None:
    with started(app, APP, workers="{count: 1, max_rss: 100M}") as daemon:
        first = daemon.workers()[0]["pid"]
        for _ in range(2):
            assert requests.get(f"{daemon.url}/grow", timeout=10).ok
        eventually(lambda: [w["pid"] for w in daemon.status()["workers"]] != [first], "another one")
        eventually(lambda: not is_running(first), "the first has left")
        line = daemon.wait_for_log("is replaced in order: its memory is")
        assert f"pid {first}" in line
        assert "above max_rss 100.0 MiB" in line
        assert requests.get(daemon.url, timeout=10).ok


def test_a_death_is_told_with_what_the_worker_was_doing(app: Path) -> None:
    with started(app, APP, workers="{count: 1, threads: 2}") as daemon:
        victim = daemon.workers()[0]["pid"]
        load = Load(daemon.port)
        load.add(get("/sleep/3", b"ok"))
        eventually(lambda: _target(daemon) == "/sleep/3", "the slow request is seen")
        os.kill(victim, signal.SIGKILL)
        line = daemon.wait_for_log("died by signal 9 (SIGKILL): it is replaced")
        load.stop()
        assert "GET /sleep/3 of 127.0.0.1 for " in line
        assert "route /" in line
        (death,) = daemon.status()["deaths"]
        assert (death["pid"], death["reason"]) == (victim, "died by signal 9 (SIGKILL)")
        assert death["request"]["target"] == "/sleep/3"


def _target(daemon: Daemon) -> str | None:
    request = daemon.status()["workers"][0]["request"]
    return request["target"] if request else None


def test_an_idle_worker_that_dies_was_doing_nothing(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES) as daemon:
        asked, killed = (worker["pid"] for worker in daemon.workers())
        os.kill(asked, signal.SIGTERM)
        os.kill(killed, signal.SIGSEGV)
        assert "it was answering nothing" in daemon.wait_for_log("died by signal 11 (SIGSEGV)")
        eventually(lambda: len(daemon.workers()) == 2, "the pool is whole again")


def test_winch_sends_the_workers_away_until_a_reload(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES, prefix=("setsid",)) as daemon:
        daemon.send_signal(signal.SIGWINCH)
        eventually(lambda: daemon.status()["workers"] == [], "no worker")
        assert daemon.reload()["ok"]
        assert len(daemon.workers()) == 2
        assert requests.get(f"{daemon.url}/hello", timeout=10).ok


def test_with_the_workers_away_connections_wait_in_the_queue(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES, prefix=("setsid",)) as daemon:
        daemon.send_signal(signal.SIGWINCH)
        eventually(lambda: daemon.status()["workers"] == [], "no worker")
        port = daemon.port
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(b"GET /hello HTTP/1.0\r\n\r\n")
            eventually(lambda: daemon.status()["listeners"][0]["queue"] == 1, "it is counted")
            assert daemon.reload()["ok"]
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
