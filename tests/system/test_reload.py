"""Reload: what changes, and what a client sees of it (nothing)."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import requests

from tests.system.daemon import eventually, started, write_config
from tests.system.load import get, post, under_load
from tests.system.processes import open_files, pids
from tests.system.programs import Held
from tests.system.sites import BIG, ROUTES, SMALL, make_site

RELOADS = 20


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def accepts(port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(5)
        return sock.connect_ex(("127.0.0.1", port)) == 0


def test_twenty_reloads_under_load_lose_no_request(tmp_path: Path) -> None:
    make_site(tmp_path)
    upload = b"u" * 20_000
    asks = (
        (get("/small.txt", SMALL), 4),
        (get("/small.txt", SMALL, name="new connections", reuse=False), 2),
        (get("/small.txt", SMALL, name="idle in between", pause_s=0.02), 4),
        (get("/big.bin", BIG), 2),
        (get("/hello", b"hello\n"), 2),
        (get("/cgi-bin/hi.sh", b"hi\n", pause_s=0.01), 1),
        (post("/cgi-bin/echo.sh", upload, upload, pause_s=0.01), 1),
    )
    with started(tmp_path, ROUTES) as daemon, under_load(daemon.port, *asks) as load:
        for generation in range(2, 2 + RELOADS):
            daemon.send_signal(signal.SIGHUP)
            eventually(lambda: daemon.status()["generation"] == generation, "the next generation")  # noqa: B023 called at once
            before = load.answered("idle in between")
            eventually(lambda: load.answered("idle in between") > before + 4, "answers")  # noqa: B023 called at once
        load.stop()
        status = daemon.status()
        assert load.lost() == {}
        assert sum(counter["closed while idle"] for counter in load.tally.values()) == 0
        assert (status["generation"], status["last_reload"]["ok"]) == (1 + RELOADS, True)
        assert {worker["generation"] for worker in daemon.workers()} == {1 + RELOADS}
        eventually(
            lambda: daemon.status()["totals"]["requests"] == load.answered(),
            f"{load.answered()} answers are counted, not {status['totals']}",
        )


def test_a_draining_worker_answers_the_request_that_is_on_its_way(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES, workers="{count: 1}") as daemon, requests.Session() as session:
        first = session.get(f"{daemon.url}/small.txt", timeout=10)
        assert "Connection" not in first.headers or first.headers["Connection"] != "close"
        [old] = pids(daemon)
        assert daemon.reload()["ok"]
        eventually(lambda: [w["pid"] for w in daemon.workers("draining")] == [old], "draining")
        second = session.get(f"{daemon.url}/small.txt", timeout=10)
        assert (second.content, second.headers["Connection"]) == (SMALL, "close")
        eventually(lambda: daemon.workers("draining") == [], "the old worker leaves")


def test_a_long_cgi_request_is_finished_by_the_old_generation(tmp_path: Path) -> None:
    make_site(tmp_path)
    with (
        started(tmp_path, ROUTES, workers="{count: 1}") as daemon,
        Held(tmp_path, daemon.port) as held,
    ):
        [old] = pids(daemon)
        assert daemon.reload()["ok"]
        assert requests.get(f"{daemon.url}/cgi-bin/hi.sh", timeout=10).text == "hi\n"
        [draining] = daemon.workers("draining")
        assert (draining["pid"], draining["request"]["target"]) == (old, "/cgi-bin/held.sh")
        assert held.finish() == b"done\n"
        eventually(lambda: daemon.workers("draining") == [], "the old worker leaves")


def test_listeners_come_and_go_by_reload(tmp_path: Path) -> None:
    make_site(tmp_path)
    first, second = free_port(), free_port()
    unix = tmp_path / "http.sock"
    with started(tmp_path, ROUTES, listen=f"127.0.0.1:{first}") as daemon:
        listen = f'["127.0.0.1:{first}", "127.0.0.1:{second}", "unix:{unix}"]'
        write_config(tmp_path, ROUTES, listen=listen)
        assert daemon.reload()["ok"]
        assert accepts(first)
        assert requests.get(f"http://127.0.0.1:{second}/hello", timeout=10).text == "hello\n"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(unix))
        write_config(tmp_path, ROUTES, listen=f"127.0.0.1:{second}")
        assert daemon.reload()["ok"]
        assert requests.get(f"http://127.0.0.1:{second}/hello", timeout=10).text == "hello\n"
        eventually(lambda: not accepts(first), "the first port is closed")
        assert not unix.exists()
        assert [entry["address"] for entry in daemon.status()["listeners"]] == [
            f"127.0.0.1:{second}"
        ]


def test_the_number_of_workers_changes_by_reload(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES, workers="{count: 2}") as daemon:
        for count in (4, 1):
            write_config(tmp_path, ROUTES, workers=f"{{count: {count}}}")
            assert daemon.reload()["ok"]
            assert len(daemon.workers()) == count
            eventually(lambda: daemon.workers("draining") == [], "the old workers leave")


def test_after_a_reload_no_new_connection_sees_the_old_configuration(tmp_path: Path) -> None:
    with started(tmp_path, {"/": "{respond: '0'}"}, workers="{count: 4}") as daemon:
        port = daemon.port
        for text in map(str, range(1, 16)):
            write_config(tmp_path, {"/": f"{{respond: '{text}'}}"}, workers="{count: 4}")
            assert daemon.reload()["ok"]
            seen = {requests.get(f"http://127.0.0.1:{port}/", timeout=10).text for _ in range(4)}
            assert seen == {text}


def test_the_log_files_change_by_reload(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES) as daemon:
        assert requests.get(f"{daemon.url}/hello?old", timeout=10).ok
        text = daemon.config.read_text()
        daemon.config.write_text(text.replace("access.log", "a2").replace("error.log", "e2"))
        assert daemon.reload()["ok"]
        assert requests.get(f"{daemon.url}/hello?new", timeout=10).ok
        eventually(lambda: "/hello?new" in (tmp_path / "a2").read_text(), "the new access log")
        eventually(lambda: "generation 2 serves" in (tmp_path / "e2").read_text(), "the error log")
        eventually(lambda: "/hello?old" in daemon.access_log, "the old access log")
        assert "/hello?new" not in daemon.access_log
        old = {str(tmp_path / "access.log"), str(tmp_path / "error.log")}
        assert not old & set(open_files(daemon.pid))


def test_reloads_that_are_asked_for_during_a_reload_are_one_more(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES) as daemon, socket.socket(socket.AF_UNIX) as control:
        control.settimeout(10)
        control.connect(str(daemon.control))
        # In one write, so that the second and third are read while the first is under way.
        control.sendall(b'{"command": "reload", "wait": true}\n' * 3)
        with control.makefile("rb") as answers:
            said = [answers.readline() for _ in range(3)]
        assert all(b'"ok": true' in line for line in said)
        assert daemon.status()["generation"] == 3
        daemon.send_signal(signal.SIGHUP)
        daemon.send_signal(signal.SIGHUP)
        assert daemon.reload()["ok"]
        assert len(daemon.workers()) == 2
        eventually(lambda: daemon.workers("draining") == [], "the old workers leave")


def test_a_reload_without_wait_comes_back_at_once(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES) as daemon:
        result = daemon.command("reload")
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
        eventually(lambda: daemon.status()["generation"] == 2, "the reload")


def test_what_a_reload_would_change_is_told_and_nothing_is_done(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES) as daemon:
        same = daemon.command("reload", "--diff")
        assert (same.returncode, same.stderr) == (0, "")
        assert same.stdout == "nothing would change but the code of applications\n"
        text = daemon.config.read_text()
        daemon.config.write_text(text.replace("count: 2", "count: 3"))
        changed = daemon.command("reload", "--diff")
        assert (changed.returncode, changed.stdout) == (0, "workers.count: 2 -> 3\n")
        daemon.config.write_text(text.replace("control: ", "control: /elsewhere"))
        refused = daemon.command("reload", "--diff")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "control cannot change by a reload" in refused.stderr
        daemon.config.write_text("nonsense: 1")
        assert "nonsense" in daemon.command("reload", "--diff").stderr
        assert daemon.status()["generation"] == 1
        assert daemon.status()["last_reload"] is None
