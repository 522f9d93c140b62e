"""`forkd stack`, and what `forkd status` says of workers that stand still."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.system.daemon import Daemon, eventually, run_forkd
from tests.system.processes import open_files, pids
from tests.system.slow import release, slow_route, slow_site
from tests.system.test_leaks import descriptors, settled

ANSWERS_WITHIN_S = 0.1
TRIES = 10


@contextmanager
def asking(daemon: Daemon, path: str) -> Iterator[None]:
    """A request on its way; whatever becomes of it."""

    def ask() -> None:
        try:
            requests.get(daemon.url + path, timeout=20)
        except requests.RequestException:
            pass  # its worker may be killed

    thread = threading.Thread(target=ask)
    thread.start()
    yield
    thread.join()


def slot_of(daemon: Daemon, pid: int) -> int:
    return next(int(one["slot"]) for one in daemon.status()["workers"] if one["pid"] == pid)


def stalled(daemon: Daemon) -> set[int]:
    """Pids of the workers that stand still, as the status says."""
    return {one["pid"] for one in daemon.status()["workers"] if one["stalled_s"] is not None}


def test_the_stacks_of_a_worker_have_names_and_requests(tmp_path: Path) -> None:
    with slow_site(tmp_path) as daemon, asking(daemon, "/held?x=1"):
        eventually(lambda: [w for w in daemon.workers() if w["threads_busy"]], "it is under way")
        (worker,) = [w for w in daemon.workers() if w["threads_busy"]]
        result = daemon.command("stack", str(worker["slot"]))
        assert (result.returncode, result.stderr) == (0, "")
        first, _, thread, *_ = lines = result.stdout.splitlines()
        assert first == f"worker {worker['slot']} gen 1 pid {worker['pid']}"
        assert " s GET /held?x=1 client=127.0.0.1 route=/ id=" in thread
        assert ", in held" in result.stdout
        assert "    time.sleep(pause_s)" in lines
        assert "MainThread waits for signals" in lines
        assert len([line for line in lines if line.endswith(" runs the loop, which turns")]) == 1
        release(tmp_path)


def test_the_stacks_of_all_workers(tmp_path: Path) -> None:
    with slow_site(tmp_path, {"/": '{respond: "x"}'}) as daemon:
        result = daemon.command("stack", "--all")
        assert (result.returncode, result.stderr) == (0, "")
        for worker in daemon.workers():
            assert f"worker {worker['slot']} gen 1 pid {worker['pid']}\n" in result.stdout


@pytest.mark.parametrize("preload", ["false", "true"])
def test_a_worker_whose_interpreter_is_held_tells_its_stacks_as_well(
    tmp_path: Path, preload: str
) -> None:
    workers = f"{{count: 1, preload: {preload}}}"
    with slow_site(tmp_path, workers=workers) as daemon:
        (worker,) = daemon.workers()
        with asking(daemon, "/holds"):
            eventually(lambda: worker["pid"] in stalled(daemon), "it stands still")
            answer = daemon.ask(command="stack", worker=worker["slot"])
            assert answer["ok"], answer
            assert "It does not hear" in answer["stacks"]
            assert "in holding_the_interpreter\n" in answer["stacks"]
            assert (
                "crew.py" not in answer["stacks"].partition("in holding_the_int")[2].split("\n")[1]
            )
            shown = daemon.command("status").stdout
            assert "stands still for " in shown
            release(tmp_path)
        eventually(lambda: stalled(daemon) == set(), "it goes on")
        assert pids(daemon) == {worker["pid"]}, "nobody was hurt"


def test_a_worker_that_hangs_at_its_import_tells_where(tmp_path: Path) -> None:
    with slow_site(tmp_path) as daemon:
        (tmp_path / "hold-imports").touch()
        daemon.ask(command="reload")
        eventually(lambda: daemon.workers("starting"), "the next generation begins")
        (starting,) = daemon.workers("starting")

        def told() -> str:
            return str(daemon.ask(command="stack", worker=starting["slot"]).get("stacks"))

        eventually(lambda: "slow.py" in told(), "its stack")
        assert "in <module>\n" in told()
        (tmp_path / "hold-imports").unlink()
        eventually(lambda: daemon.status()["generation"] == 2, "the reload succeeds")


def test_who_asks_for_a_worker_that_is_not_there_is_told_which_are(tmp_path: Path) -> None:
    with slow_site(tmp_path, {"/": '{respond: "x"}'}) as daemon:
        slots = ", ".join(str(worker["slot"]) for worker in daemon.workers())
        result = daemon.command("stack", "77")
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr == f"forkd: no worker 77; there are: {slots}\n"
        for wrong in ("three", None, True, [0], -1):
            answer = daemon.ask(command="stack", worker=wrong)
            assert (answer["ok"], len(answer["reasons"])) == (False, 1)


@pytest.mark.parametrize("arguments", [(), ("three",), ("1", "--all"), ("1", "2")])
def test_wrong_usage_is_told(arguments: tuple[str, ...]) -> None:
    result = run_forkd("stack", *arguments, "--control", "/nowhere/control.sock")
    assert result.returncode == 2
    assert "usage:" in result.stderr


def test_nothing_is_running_there(tmp_path: Path) -> None:
    result = run_forkd("stack", "0", "--control", str(tmp_path / "control.sock"))
    assert (result.returncode, len(result.stderr.splitlines())) == (3, 1)


def test_a_stopped_worker_is_told_as_what_it_is(tmp_path: Path) -> None:
    with slow_site(tmp_path, {"/": '{respond: "x"}'}) as daemon:
        victim = min(pids(daemon))
        slot = slot_of(daemon, victim)
        os.kill(victim, signal.SIGSTOP)
        try:
            result = daemon.command("stack", str(slot))
        finally:
            os.kill(victim, signal.SIGCONT)
        assert result.returncode == 1
        assert result.stderr == (
            f"forkd: worker {slot} gen 1 pid {victim} is stopped (state T): "
            f"kill -CONT {victim} lets it go on\n"
        )
        answer = daemon.ask(command="stack", worker=slot)
        assert answer["ok"]


def test_many_who_ask_at_once_are_all_answered(tmp_path: Path) -> None:
    with slow_site(tmp_path, {"/": '{respond: "x"}'}) as daemon:
        slots = [worker["slot"] for worker in daemon.workers()] * 5
        answers: list[object] = []

        def ask(slot: int) -> None:
            answers.append(daemon.ask(command="stack", worker=slot)["ok"])

        threads = [threading.Thread(target=ask, args=(slot,)) for slot in slots]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [True] * len(slots)


def test_workers_that_come_and_go_leave_no_descriptor_in_the_master(tmp_path: Path) -> None:
    with slow_site(tmp_path, {"/": '{respond: "x"}'}) as daemon:
        eventually(lambda: len(daemon.workers()) == 2, "the pool is whole")
        children = len(daemon.children())
        settled(daemon, children)
        before = descriptors(daemon.pid)
        for _ in range(5):
            victim = min(pids(daemon))
            os.kill(victim, signal.SIGKILL)
            eventually(lambda: len(pids(daemon) - {victim}) == 2, "the pool is whole again")  # noqa: B023 called at once
        settled(daemon, children)
        assert descriptors(daemon.pid) == before
        for pid in pids(daemon):
            assert len([link for link in open_files(pid) if "forkd-stacks" in link]) == 1


def best_time_of_status(daemon: Daemon) -> float:
    """Seconds, of several tries: others use this machine, too."""
    times = []
    for _ in range(TRIES):
        began = time.monotonic()
        daemon.status()
        times.append(time.monotonic() - began)
    return min(times)


def test_the_status_comes_at_once_while_every_worker_is_stopped_and_says_so(
    tmp_path: Path,
) -> None:
    with slow_site(tmp_path, {"/": '{respond: "x"}'}) as daemon:
        stopped = pids(daemon)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            eventually(lambda: stalled(daemon) == stopped, "the status says so")
            assert best_time_of_status(daemon) < ANSWERS_WITHIN_S
            shown = daemon.command("status").stdout
            assert shown.count("stands still for ") == 2
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        eventually(lambda: stalled(daemon) == set(), "they go on")


def test_the_status_comes_at_once_while_every_worker_spins_and_says_so(tmp_path: Path) -> None:
    routes = {"/": slow_route(timeout="1h")}
    with slow_site(tmp_path, routes, "{count: 2, threads: 1}") as daemon:

        def spinning() -> int:
            return sum(one["threads_busy"] for one in daemon.workers())

        with asking(daemon, "/spins"), asking(daemon, "/spins"):
            eventually(lambda: spinning() > 0, "one spins")
            assert best_time_of_status(daemon) < ANSWERS_WITHIN_S
            entry = next(one for one in daemon.workers() if one["threads_busy"])
            assert entry["request"]["target"] == "/spins"
            told = daemon.ask(command="stack", worker=entry["slot"])
            assert ", in spinning" in told["stacks"]
            release(tmp_path)


def test_a_route_is_needed_for_none_of_it(tmp_path: Path) -> None:
    """A worker without application code has one thread, which runs the loop."""
    with slow_site(tmp_path, {"/": '{respond: "x"}'}) as daemon:
        told = daemon.ask(command="stack", worker=daemon.workers()[0]["slot"])["stacks"]
        assert told.splitlines()[2:] == ["MainThread runs the loop, which turns"]
