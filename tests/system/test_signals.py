"""Signals to the master and to its children, stopping, and reopening the logs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import requests

from tests.system.daemon import eventually, is_running, started
from tests.system.processes import descendants, open_files, pids, status_field
from tests.system.programs import Held
from tests.system.sites import ROUTES, make_site


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_every_stop_that_was_asked_for_exits_0(tmp_path: Path, number: signal.Signals) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES) as daemon:
        family = descendants(daemon.pid)
        daemon.send_signal(number)
        assert daemon.process.wait(10) == 0
        eventually(lambda: not any(map(is_running, family)), "all children are gone", 2)
        assert not daemon.control.exists()


def test_a_graceful_stop_finishes_what_is_in_flight(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES) as daemon, Held(tmp_path, daemon.port) as held:
        daemon.send_signal(signal.SIGTERM)
        eventually(lambda: daemon.status()["state"] == "stopping", "stopping")
        assert held.finish() == b"done\n"
        assert daemon.process.wait(10) == 0


def test_a_second_interrupt_stops_at_once(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES) as daemon, Held(tmp_path, daemon.port) as held:
        daemon.send_signal(signal.SIGINT)
        eventually(lambda: daemon.status()["state"] == "stopping", "stopping")
        assert is_running(held.pid)
        daemon.send_signal(signal.SIGINT)
        assert daemon.process.wait(5) == 0
        eventually(lambda: not is_running(held.pid), "the program is gone", 2)


def test_what_was_answered_is_in_the_access_log_also_after_a_stop_at_once(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES) as daemon, requests.Session() as session:
        for _ in range(20):
            assert session.get(f"{daemon.url}/small.txt").ok
        daemon.send_signal(signal.SIGQUIT)
        assert daemon.process.wait(10) == 0
        assert daemon.access_log.count("GET /small.txt") == 20


def test_a_worker_that_stands_still_does_not_hold_up_a_stop_at_once(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES) as daemon:
        family = descendants(daemon.pid)
        for pid in pids(daemon):
            os.kill(pid, signal.SIGSTOP)
        daemon.send_signal(signal.SIGQUIT)
        assert daemon.process.wait(3) == 0
        eventually(lambda: not any(map(is_running, family)), "all children are gone", 2)


def test_ttin_and_ttou_change_the_number_of_workers_until_the_next_reload(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES, workers="{count: 2}") as daemon:
        first = pids(daemon)
        for number, count in (
            (signal.SIGTTIN, 3),
            (signal.SIGTTOU, 2),
            (signal.SIGTTOU, 1),
            (signal.SIGTTOU, 1),
            (signal.SIGTTIN, 2),
        ):
            daemon.send_signal(number)
            eventually(lambda: len(daemon.status()["workers"]) == count, f"{count} workers")  # noqa: B023 called at once
        eventually(lambda: len(daemon.workers()) == 2, "2 workers")
        assert pids(daemon) & first, "the youngest go first"
        daemon.send_signal(signal.SIGTTIN)
        eventually(lambda: len(daemon.workers()) == 3, "3 workers")
        assert daemon.reload()["ok"]
        assert len(daemon.workers()) == 2


def test_usr1_reopens_the_logs_of_all_processes(tmp_path: Path) -> None:
    make_site(tmp_path)
    (tmp_path / "cgi-bin" / "hi.sh").write_text(
        "#!/bin/sh\necho complaint >&2\nprintf 'Content-Type: text/plain\\n\\nhi\\n'\n"
    )
    logs = [tmp_path / "access.log", tmp_path / "error.log"]
    with started(tmp_path, ROUTES) as daemon:
        assert requests.get(f"{daemon.url}/cgi-bin/hi.sh?old", timeout=10).ok
        daemon.wait_for_log("complaint")
        eventually(lambda: "?old" in daemon.access_log, "the access log is written")
        for path in logs:
            path.rename(f"{path}.1")
        daemon.send_signal(signal.SIGUSR1)
        daemon.wait_for_log("log files reopened")
        old = [path.with_name(path.name + ".1") for path in logs]
        for process in {daemon.pid} | daemon.children():
            eventually(
                lambda: not {str(path) for path in old} & set(open_files(process)),  # noqa: B023 called at once
                "every process lets go of the old files",
            )
        sizes = [path.stat().st_size for path in old]
        for number in range(20):
            url = f"{daemon.url}/cgi-bin/hi.sh?new{number}"
            assert requests.get(url, timeout=10).ok
        eventually(lambda: daemon.error_log.count("complaint") == 20, "the new error log")
        eventually(lambda: daemon.access_log.count("?new") == 20, "the new access log")
        assert daemon.reload()["ok"]
        assert "generation 2 serves" in daemon.error_log
        assert [path.stat().st_size for path in old] == sizes


def test_the_reopen_command_says_why_it_failed(tmp_path: Path) -> None:
    make_site(tmp_path)
    (tmp_path / "logs").mkdir()
    with started(tmp_path, ROUTES) as daemon:
        text = daemon.config.read_text().replace("access.log", "logs/access.log")
        daemon.config.write_text(text)
        assert daemon.reload()["ok"]
        (tmp_path / "logs").rename(tmp_path / "moved")
        result = daemon.command("reopen")
        assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
        assert "logs/access.log" in result.stderr
        (tmp_path / "logs").mkdir()
        assert daemon.command("reopen").returncode == 0
        assert (tmp_path / "logs" / "access.log").exists()


def test_a_hup_for_all_of_forkd_does_not_kill_the_children(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES) as daemon:
        before = daemon.children()
        ignored = (
            signal.SIGHUP,
            signal.SIGUSR1,
            signal.SIGUSR2,
            signal.SIGINT,
            signal.SIGTTIN,
            signal.SIGTTOU,
            signal.SIGWINCH,
        )
        for pid in before:
            mask = status_field(pid, "SigIgn")
            assert [number for number in ignored if not mask >> (number - 1) & 1] == []
            os.kill(pid, signal.SIGHUP)
        assert requests.get(f"{daemon.url}/cgi-bin/hi.sh", timeout=10).text == "hi\n"
        assert daemon.children() == before


def test_a_term_for_every_process_is_a_graceful_stop(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES) as daemon, Held(tmp_path, daemon.port) as held:
        for pid in [*daemon.children(), daemon.pid]:
            os.kill(pid, signal.SIGTERM)
        eventually(lambda: daemon.status()["state"] == "stopping", "stopping")
        assert held.finish() == b"done\n"
        assert daemon.process.wait(10) == 0
