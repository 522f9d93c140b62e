"""Health, and a host that goes out of service and comes back."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.daemon import Daemon, eventually, started, write_config
from tests.system.programs import Held
from tests.system.sites import ROUTES, make_site
from tests.system.test_upgrade import upgradable, upgrade
from tests.system.wire import Answer, Wire, fetch, request

HEALTH = {"/healthz": "{health: true}"}


@contextmanager
def one_worker(directory: Path) -> Iterator[Daemon]:
    make_site(directory)
    with started(directory, ROUTES | HEALTH, workers="{count: 1}") as daemon:
        yield daemon


def health(daemon: Daemon) -> tuple[int, str]:
    answer = fetch(daemon.port, "/healthz")
    assert answer.headers["cache-control"] == "no-store"
    return answer.status, answer.text


def go_out(daemon: Daemon) -> None:
    """Until the one worker accepts no more, as a connection that is there can tell."""
    with Wire(daemon.port) as wire:
        assert wire.get("/hello").status == 200
        assert daemon.ask(command="drain", grace=0) == {"ok": True}
        eventually(lambda: "connection" in wire.get("/hello").headers, "the worker lets go")


def knock(port: int) -> Wire:
    """A client that comes all the same."""
    wire = Wire(port)
    wire.send(request("/hello"))
    return wire


def queued(daemon: Daemon) -> int:
    return int(daemon.status()["listeners"][0]["queue"])


def test_health_is_ok_and_draining_during_the_grace_while_all_else_is_served(
    tmp_path: Path,
) -> None:
    with one_worker(tmp_path) as daemon:
        assert health(daemon) == (200, "ok\n")
        done = daemon.command("drain", "--grace", "60")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert health(daemon) == (503, "draining\n")
        assert daemon.status()["state"] == "draining"
        with Wire(daemon.port) as wire:
            answers = [wire.get("/hello") for _ in range(3)]
        assert [answer.status for answer in answers] == [200] * 3
        assert all("connection" not in answer.headers for answer in answers)
        assert daemon.command("drain", "--undo").returncode == 0
        assert health(daemon) == (200, "ok\n")
        assert daemon.status()["state"] == "running"


def test_out_of_service_nothing_is_accepted_until_undo(tmp_path: Path) -> None:
    with one_worker(tmp_path) as daemon:
        port, workers = daemon.port, daemon.workers()
        go_out(daemon)
        with knock(port) as first, knock(port) as second:
            eventually(lambda: queued(daemon) == 2, "both wait")
            assert daemon.ask(command="drain", undo=True) == {"ok": True}
            assert [one.answer().text for one in (first, second)] == ["hello\n"] * 2
        assert health(daemon) == (200, "ok\n")
        assert [one["pid"] for one in daemon.workers()] == [one["pid"] for one in workers]


def test_a_kept_connection_is_closed_with_its_next_answer(tmp_path: Path) -> None:
    with one_worker(tmp_path) as daemon, Wire(daemon.port) as wire:
        assert "connection" not in wire.get("/hello").headers
        daemon.ask(command="drain", grace=0)
        answers: list[Answer] = []

        def is_closing() -> bool:
            answers.append(wire.get("/hello"))
            return "connection" in answers[-1].headers

        eventually(is_closing, "the connection is closed")
        assert {answer.text for answer in answers} == {"hello\n"}
        assert wire.rest() == b""


def test_a_reload_of_a_host_out_of_service_leaves_it_so(tmp_path: Path) -> None:
    with one_worker(tmp_path) as daemon:
        port = daemon.port
        go_out(daemon)
        with knock(port) as wire:
            eventually(lambda: queued(daemon) == 1, "it waits")
            write_config(tmp_path, HEALTH | {"/hello": "{respond: new}"}, workers="{count: 1}")
            assert daemon.reload()["ok"]
            eventually(lambda: len(daemon.status()["workers"]) == 1, "the old one has left")
            assert (queued(daemon), daemon.status()["state"]) == (1, "draining")
            assert daemon.ask(command="drain", undo=True) == {"ok": True}
            assert wire.answer().text == "new"


def test_a_stop_answers_those_that_wait(tmp_path: Path) -> None:
    with one_worker(tmp_path) as daemon:
        port = daemon.port
        go_out(daemon)
        with knock(port) as wire:
            eventually(lambda: queued(daemon) == 1, "it waits")
            daemon.send_signal(signal.SIGTERM)
            assert wire.answer().text == "hello\n"
            assert daemon.process.wait(10) == 0


def test_drain_wait_comes_back_when_the_last_request_is_done(tmp_path: Path) -> None:
    with (
        one_worker(tmp_path) as daemon,
        Held(tmp_path, daemon.port) as held,
        ThreadPoolExecutor(1) as pool,
    ):
        waiting = pool.submit(daemon.command, "drain", "--grace", "0", "--wait")
        daemon.wait_for_log("nothing more is accepted;")
        assert not waiting.done()
        assert held.finish() == b"done\n"
        assert waiting.result().returncode == 0
        assert sum(worker["connections"] for worker in daemon.workers()) == 0


def test_drain_wait_fails_where_somebody_else_brings_the_host_back(tmp_path: Path) -> None:
    with one_worker(tmp_path) as daemon, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(daemon.command, "drain", "--wait")
        daemon.wait_for_log("drain: the health route")
        assert daemon.command("drain", "--undo").returncode == 0
        done = waiting.result()
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "forkd: drain --undo has brought this host back\n"


def test_drain_wait_is_answered_also_where_forkd_stops(tmp_path: Path) -> None:
    with one_worker(tmp_path) as daemon, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(daemon.command, "drain", "--wait")
        daemon.wait_for_log("drain: the health route")
        daemon.send_signal(signal.SIGTERM)
        done = waiting.result()
        assert (done.returncode, done.stderr) == (1, "forkd: forkd is stopping\n")


def test_a_host_that_is_out_of_service_stays_so_in_an_upgrade(tmp_path: Path) -> None:
    make_site(tmp_path)
    with upgradable(tmp_path, ROUTES | HEALTH, workers="{count: 1}") as daemon:
        go_out(daemon)
        port = daemon.port
        assert upgrade(daemon) != daemon.process.pid
        eventually(lambda: daemon.process.poll() is not None, "the old master has gone")
        assert daemon.status()["state"] == "draining"
        with knock(port) as wire:
            eventually(lambda: queued(daemon) == 1, "it waits")
            assert daemon.ask(command="drain", undo=True) == {"ok": True}
            assert wire.answer().status == 200


@pytest.mark.parametrize("grace", ["-1", "soon", "nan", "86401"])
def test_a_grace_that_is_none_is_wrong_usage(tmp_path: Path, grace: str) -> None:
    with one_worker(tmp_path) as daemon:
        done = daemon.command("drain", f"--grace={grace}")
        assert done.returncode == 2
        assert "not a number of seconds from 0 to 86400" in done.stderr
        assert not daemon.ask(command="drain", grace=grace)["ok"]
        assert health(daemon) == (200, "ok\n")


def half_a_request(port: int) -> Wire:
    """A draining worker waits for the other half."""
    wire = Wire(port)
    wire.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
    return wire


def test_health_of_a_host_that_stops_is_draining(tmp_path: Path) -> None:
    with one_worker(tmp_path) as daemon, half_a_request(daemon.port) as wire:
        eventually(lambda: daemon.workers()[0]["connections"] == 1, "it is there")
        daemon.send_signal(signal.SIGTERM)
        eventually(lambda: not daemon.workers(), "the worker drains")
        wire.send(b"\r\n")
        answer = wire.answer()
        assert (answer.status, answer.text) == (503, "draining\n")


def test_health_of_a_host_that_reloads_is_ok(tmp_path: Path) -> None:
    with one_worker(tmp_path) as daemon, half_a_request(daemon.port) as wire:
        eventually(lambda: daemon.workers()[0]["connections"] == 1, "it is there")
        assert daemon.reload()["ok"]
        eventually(lambda: daemon.workers("draining"), "the old worker drains")
        wire.send(b"\r\n")
        answer = wire.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
