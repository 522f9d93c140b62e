"""`workers: {preload: true}`: imported once, forked many times."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import requests

from tests.system.daemon import Daemon, eventually, is_running, run_forkd, started, write_config
from tests.system.load import get, under_load

MODULE = """\
import os

with open("imports", "a") as file:
    print(os.getpid(), os.getppid(), file=file)


def create(made=[]):
    with open("made", "a") as file:
        print(os.getpid(), file=file)
    return application


def application(environ, start_response):
    body = f"{os.getpid()} {os.getppid()} {os.getuid()} ONE".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""
ROUTES = {"/": '{wsgi: "module:application"}', "/made/": '{wsgi: "module:create()"}'}
WORKERS = "{count: 4, preload: true}"


def templates(daemon: Daemon) -> list[int]:
    """Pids of the master's children that are templates."""
    found = []
    for pid in daemon.children():
        try:
            title = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if title.startswith(b"forkd: template"):
            found.append(pid)
    return found


def template(daemon: Daemon) -> int:
    eventually(lambda: len(templates(daemon)) == 1, "one template")
    return templates(daemon)[0]


@pytest.fixture
def site(open_path: Path) -> Path:
    (open_path / "module.py").write_text(MODULE)
    return open_path


def test_what_is_imported_once_serves_in_all_workers_and_they_are_the_masters_children(
    site: Path,
) -> None:
    with started(site, ROUTES, workers=WORKERS) as daemon:
        (imported,) = (site / "imports").read_text().splitlines()
        assert [int(number) for number in imported.split()] == [template(daemon), daemon.pid]
        assert (site / "made").read_text().split() == [str(template(daemon))]
        workers = {worker["pid"] for worker in daemon.workers()}
        assert len(workers) == 4
        assert workers < daemon.children()
        pid, parent, _, one = requests.get(daemon.url, timeout=10).text.split()
        assert (int(pid) in workers, int(parent), one) == (True, daemon.pid, "ONE")


def test_a_worker_that_dies_is_forked_again_without_an_import(site: Path) -> None:
    with started(site, ROUTES, workers=WORKERS) as daemon:
        victim = daemon.workers()[0]["pid"]
        os.kill(victim, signal.SIGKILL)
        eventually(
            lambda: (
                len(daemon.workers()) == 4
                and victim not in [worker["pid"] for worker in daemon.workers()]
            ),
            "the pool is whole again",
        )
        assert len((site / "imports").read_text().splitlines()) == 1
        assert "died by signal 9 (SIGKILL): it is replaced" in daemon.error_log


def test_a_template_that_dies_is_replaced_and_the_workers_stay(site: Path) -> None:
    with started(site, ROUTES, workers=WORKERS) as daemon:
        before = daemon.workers()
        first = template(daemon)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: templates(daemon) not in ([], [first]), "another template")
        pids = [worker["pid"] for worker in before]
        assert [worker["pid"] for worker in daemon.workers()] == pids
        os.kill(pids[0], signal.SIGKILL)
        eventually(lambda: len(daemon.workers()) == 4, "the pool is whole again")


def test_a_template_that_stands_still_is_replaced(site: Path) -> None:
    with started(site, ROUTES, workers="{count: 2, preload: true, hang_timeout: 1s}") as daemon:
        first = template(daemon)
        os.kill(first, signal.SIGSTOP)
        os.kill(daemon.workers()[0]["pid"], signal.SIGKILL)
        eventually(lambda: templates(daemon) not in ([], [first]), "another template")
        eventually(lambda: len(daemon.workers()) == 2, "the pool is whole again")
        assert not is_running(first)
        assert "its loop has stood still" in daemon.error_log
        assert requests.get(daemon.url, timeout=10).ok


def test_a_worker_that_its_template_never_forks_is_given_up(site: Path) -> None:
    workers = "{count: 2, preload: true, boot_timeout: 2s, hang_timeout: 1h}"
    with started(site, ROUTES, workers=workers) as daemon:
        stopped, survivor = template(daemon), daemon.workers()[1]["pid"]
        os.kill(stopped, signal.SIGSTOP)
        os.kill(daemon.workers()[0]["pid"], signal.SIGKILL)
        daemon.wait_for_log("not ready within boot_timeout")
        os.kill(stopped, signal.SIGCONT)
        eventually(lambda: len(daemon.workers()) == 2, "the pool is whole again")
        assert survivor in [worker["pid"] for worker in daemon.workers()]
        # The one that was forked too late has left.
        known = {worker["pid"] for worker in daemon.status()["workers"]} | {stopped}
        eventually(lambda: daemon.children() <= known, "no child that nobody knows")


def test_a_reload_imports_anew_and_loses_no_request(site: Path) -> None:
    whole = MODULE.replace(MODULE[MODULE.index('f"') : MODULE.index(".encode")], '"ONE"')
    (site / "module.py").write_text(whole)
    with (
        started(site, ROUTES, workers=WORKERS) as daemon,
        under_load(
            daemon.port,
            (get("/", b"ONE"), 4),
            (get("/", b"ONE", name="new connections", reuse=False), 2),
        ) as load,
    ):
        for generation in range(2, 7):
            before = load.answered("new connections")
            assert daemon.reload()["ok"]
            assert daemon.status()["generation"] == generation
            eventually(lambda: load.answered("new connections") > before + 4, "answers")  # noqa: B023 called at once
        load.stop()
        assert load.lost() == {}
        assert len((site / "imports").read_text().splitlines()) == 6
        eventually(lambda: len(templates(daemon)) == 1, "the old templates are gone")
        (site / "module.py").write_text(whole.replace('"ONE"', '"TWO"'))
        assert daemon.reload()["ok"]
        assert requests.get(daemon.url, timeout=10).text == "TWO"


def test_the_pool_grows_and_stops_in_order(site: Path) -> None:
    with started(site, ROUTES, workers="{count: 1, preload: true}") as daemon:
        daemon.send_signal(signal.SIGTTIN)
        eventually(lambda: len(daemon.workers()) == 2, "one more")
        family = daemon.children()
        assert daemon.stop() == 0
        assert not any(map(is_running, family))
        assert "ERROR" not in daemon.error_log


def test_a_killed_master_takes_the_workers_of_its_template_along(site: Path) -> None:
    with started(site, ROUTES, workers=WORKERS) as daemon:
        family = daemon.children()
        assert len(family) == 5
        daemon.process.kill()
        daemon.process.wait(5)
        eventually(lambda: not any(map(is_running, family)), "everybody is gone", 2)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "import threading, time\n"
            "thread = threading.Thread(target=time.sleep, args=(60,), name='refresher')\n"
            "thread.daemon = True\nthread.start()",
            "started the thread 'refresher'",
        ),
        (
            "import socket\nserver = socket.create_server(('127.0.0.1', 0))",
            "left a socket (127.0.0.1:",
        ),
        (
            "import socket\nserver = socket.create_server(('127.0.0.1', 0))\n"
            "client = socket.create_connection(server.getsockname())\n"
            "accepted = server.accept()\nserver.close()",
            "left a connection to 127.0.0.1:",
        ),
        ("import os\nends = os.pipe()", "left a pipe open"),
        ("import select\npoll = select.epoll()", "left an eventpoll descriptor open"),
    ],
)
def test_what_cannot_be_shared_is_refused_by_name(site: Path, code: str, reason: str) -> None:
    (site / "module.py").write_text(MODULE + code + "\n")
    config = write_config(site, ROUTES, workers=WORKERS)
    checked = run_forkd("-t", "-c", str(config))
    served = run_forkd("-c", str(config))
    for run in (checked, served):
        assert run.returncode == 1
        (line,) = run.stderr.splitlines()
        assert "sites.0.routes./" in line
        assert reason in line
        assert "workers.preload: false" in line
    assert run_forkd("-t", "-c", str(write_config(site, ROUTES))).returncode == 0


def test_a_reload_that_cannot_be_shared_leaves_the_old_generation(site: Path) -> None:
    with started(site, ROUTES, workers=WORKERS) as daemon:
        (site / "module.py").write_text(MODULE + "ends = os.pipe()\n")
        answer = daemon.reload()
        assert not answer["ok"]
        assert "left a pipe open" in answer["reasons"][0]
        assert len(daemon.workers()) == 4
        assert requests.get(daemon.url, timeout=10).ok


def test_a_file_that_all_would_write_to_is_warned_of(site: Path) -> None:
    more = "file = open('scratch', 'w')\nlog = open('log', 'a')\nsource = open('module.py')\n"
    (site / "module.py").write_text(MODULE + more)
    with started(site, ROUTES, workers=WORKERS) as daemon:
        assert "scratch open for writing" in daemon.error_log
        assert daemon.error_log.count("open for writing") == 1


def test_a_fault_of_the_import_is_told_as_without_preload(site: Path) -> None:
    (site / "module.py").write_text("import nothing_of_that_name\n")
    run = run_forkd("-c", str(write_config(site, ROUTES, workers=WORKERS)))
    assert run.returncode == 1
    assert "importing module failed: ModuleNotFoundError" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_template_is_the_workers_user(site: Path) -> None:
    site.chmod(0o777)
    with started(site, ROUTES, workers=WORKERS, top="user: nobody") as daemon:
        uid = Path(f"/proc/{template(daemon)}").stat().st_uid
        _, _, own, _ = requests.get(daemon.url, timeout=10).text.split()
        assert uid == int(own) != 0


def test_a_template_ticks_as_often_as_hang_timeout_needs(site: Path) -> None:
    with started(site, ROUTES, workers="{count: 1, preload: true, hang_timeout: 500ms}") as daemon:
        for _ in range(3):
            assert daemon.reload()["ok"]
            first = template(daemon)
            began = daemon.status()["uptime_s"]
            eventually(lambda: daemon.status()["uptime_s"] > began + 0.8, "time has passed")  # noqa: B023 called at once
            assert template(daemon) == first
        assert "stood still" not in daemon.error_log
