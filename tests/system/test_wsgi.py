"""WSGI applications under the real daemon: threads, bodies, clients that come and go, reloads."""

from __future__ import annotations

import os
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.system.daemon import (
    DEADLINE_S,
    REPOSITORY,
    Daemon,
    eventually,
    run_forkd,
    started,
    write_config,
)

APP = REPOSITORY / "tests" / "apps" / "wsgi_app.py"
THREADS = 3


def make(directory: Path, target: str = "application", more: str = "") -> dict[str, str]:
    """A directory with the application; the routes to it."""
    for name in ("apps", "signals", "html"):
        (directory / name).mkdir(exist_ok=True)
    shutil.copy(APP, directory / "apps" / "wsgi_app.py")
    (directory / "html" / "page").write_text("a page")
    env = f"{{SIGNALS: {directory}/signals, MODE: test}}"
    wsgi = f'{{wsgi: "wsgi_app:{target}", path: apps, env: {env}, max_body: 1G{more}}}'
    return {"/": wsgi, "/static/": "{static: html}"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("wsgi")
    workers = f"{{count: 1, threads: {THREADS}}}"
    with started(directory, make(directory), workers=workers) as running:
        yield running


def get(daemon: Daemon, target: str) -> str:
    response = requests.get(daemon.url + target, timeout=DEADLINE_S)
    assert response.status_code == 200
    return response.text


class Signals:
    """The files by which the application and a test meet."""

    def __init__(self, daemon: Daemon) -> None:
        self._directory = daemon.directory / "signals"

    def tell(self, name: str) -> None:
        (self._directory / name).touch()

    def there(self, name: str) -> bool:
        return (self._directory / name).exists()

    def expect(self, name: str) -> None:
        eventually(lambda: self.there(name), f"the application says {name}")


def test_it_runs_in_root_with_its_variables(daemon: Daemon) -> None:
    assert get(daemon, "/process") == f"{daemon.directory} test"


def test_what_it_prints_comes_out(daemon: Daemon) -> None:
    get(daemon, "/printed")
    eventually(lambda: "printed by the application" in daemon.output, "it is printed")


def test_calls_that_block_hold_up_nobody_and_more_of_them_wait_in_order(daemon: Daemon) -> None:
    """One worker and three threads: three calls block, two wait, and files are served."""
    signals = Signals(daemon)
    names = [f"gate{number}" for number in range(5)]
    with ThreadPoolExecutor(5) as pool:
        answers = []
        for number, name in enumerate(names):
            answers.append(pool.submit(get, daemon, f"/blocked?{name}"))
            if number < THREADS:
                signals.expect(f"{name}-begun")
            counts = (min(number + 1, THREADS), max(0, number + 1 - THREADS))
            eventually(lambda: counted(daemon) == counts, f"{counts}")  # noqa: B023 at once
        assert get(daemon, "/static/page") == "a page"
        (worker,) = daemon.workers()
        assert re.fullmatch(r"/blocked\?gate\d", worker["request"]["target"])
        assert not signals.there("gate3-begun")
        signals.tell("gate1")
        signals.expect("gate3-begun")
        assert not signals.there("gate4-begun")
        for name in names:
            signals.tell(name)
        assert [answer.result(DEADLINE_S) for answer in answers] == ["at last"] * 5
    eventually(lambda: counted(daemon) == (0, 0), "all threads are free")


def counted(daemon: Daemon) -> tuple[int, int]:
    (worker,) = daemon.workers()
    return worker["threads_busy"], worker["threads_waiting"]


def test_a_client_that_leaves_the_queue_is_not_called_for(daemon: Daemon) -> None:
    signals = Signals(daemon)
    with ThreadPoolExecutor(THREADS) as pool:
        answers = [pool.submit(get, daemon, f"/blocked?leave{n}") for n in range(THREADS)]
        for number in range(THREADS):
            signals.expect(f"leave{number}-begun")
        with socket.create_connection(("127.0.0.1", daemon.port)) as client:
            client.sendall(b"GET /blocked?left HTTP/1.1\r\nHost: a\r\n\r\n")
            eventually(lambda: counted(daemon) == (THREADS, 1), "it waits")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        eventually(lambda: counted(daemon) == (THREADS, 0), "it is gone")
        for number in range(THREADS):
            signals.tell(f"leave{number}")
        for answer in answers:
            answer.result(DEADLINE_S)
    assert not signals.there("left-begun")
    line = '"GET /blocked?left HTTP/1.1" 499'
    eventually(lambda: line in daemon.access_log, "it is logged")


@pytest.mark.parametrize("size", [10, 70_000, 5_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_what_is_sent_comes_back(daemon: Daemon, size: int, chunked: bool) -> None:
    body = os.urandom(size)
    data = iter([body[:7], body[7:]]) if chunked else body
    response = requests.post(f"{daemon.url}/echo", data=data, timeout=DEADLINE_S)
    assert response.content == body


def test_a_large_body_is_read_while_it_comes(daemon: Daemon) -> None:
    signals = Signals(daemon)
    with socket.create_connection(("127.0.0.1", daemon.port)) as client:
        size = 8 << 20
        client.sendall(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        client.sendall(bytes(2 << 20))
        signals.expect("first")
        assert get(daemon, "/version") == "1", "others are answered meanwhile"
        client.sendall(bytes(6 << 20))
        client.shutdown(socket.SHUT_WR)
        assert client.makefile("rb").read().endswith(b"\r\n\r\n%d" % size)


def test_a_client_that_reads_slowly_is_waited_for_and_in_flat_memory(daemon: Daemon) -> None:
    (worker,) = daemon.workers()
    with socket.create_connection(("127.0.0.1", daemon.port)) as client:
        client.sendall(b"GET /megabytes?100 HTTP/1.0\r\n\r\n")
        eventually(lambda: counted(daemon) == (1, 0), "it is under way")
        before = resident(worker["pid"])
        assert get(daemon, "/version") == "1"
        body = client.makefile("rb").read().partition(b"\r\n\r\n")[2]
    assert len(body) == 100 << 20
    assert body[-8:] == b"%07d\n" % (100 * 16 - 1)
    assert resident(worker["pid"]) - before < 12 << 20


def resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def test_an_answer_whose_client_is_gone_is_closed(daemon: Daemon) -> None:
    signals = Signals(daemon)
    with socket.create_connection(("127.0.0.1", daemon.port)) as client:
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(100000).startswith(b"HTTP/1.1 200 ")
    signals.expect("closed")
    eventually(lambda: counted(daemon) == (0, 0), "its thread is free")


def test_an_endless_answer_to_head_comes_to_its_end(daemon: Daemon) -> None:
    """In the thread of the loop, and in one apart, where the loop hears of each piece later."""
    signals = Signals(daemon)
    for name in ("head-closed", "head-closed-again"):
        response = requests.head(f"{daemon.url}/endless?{name}", timeout=DEADLINE_S)
        assert (response.status_code, response.content) == (200, b"")
        signals.expect(name)
    eventually(lambda: counted(daemon) == (0, 0), "its thread is free")


def test_many_clients_at_once_get_each_their_own(daemon: Daemon) -> None:
    def ask(number: int) -> bool:
        with requests.Session() as session:
            return all(
                session.post(f"{daemon.url}/echo", data=text, timeout=DEADLINE_S).text == text
                for text in (f"{number}-{turn}" * 50 for turn in range(40))
            )

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(16)))


@pytest.mark.parametrize("target", ["create_app()", "ANSWERS.__class__"])
def test_a_factory_gives_the_application(tmp_path: Path, target: str) -> None:
    if target.endswith("()"):
        with started(tmp_path, make(tmp_path, target)) as running:
            assert get(running, "/version") == "1"
    else:
        config = write_config(tmp_path, make(tmp_path, "VERSION"))
        found = run_forkd("-c", str(config), "-t")
        assert found.returncode == 1
        expected = "sites.0.routes./.wsgi: wsgi_app:VERSION is str, which cannot be called"
        assert expected in found.stderr + found.stdout


def test_a_reload_reads_the_code_anew_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    with started(tmp_path, make(tmp_path)) as running:
        source = tmp_path / "apps" / "wsgi_app.py"
        text = source.read_text()
        assert get(running, "/version") == "1"
        source.write_text(text.replace('VERSION = "1"', 'VERSION = "two"'))
        assert running.reload()["ok"]
        assert get(running, "/version") == "two"
        source.write_text(text + "\nimport no_such_module\n")
        outcome = running.reload()
        assert not outcome["ok"]
        assert "importing wsgi_app failed: ModuleNotFoundError" in outcome["reasons"][0]
        assert f"{source}, line " in outcome["reasons"][0]
        assert get(running, "/version") == "two"
        source.write_text(text)
        assert running.reload()["ok"]
        assert get(running, "/version") == "1"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def (", "SyntaxError: "),
        ("raise SystemExit('not today')", "SystemExit: not today"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("other = 1", "there is no application in "),
        ("application = 1", "is int, which cannot be called"),
    ],
)
def test_an_application_that_cannot_be_had_is_one_line_at_the_check_and_at_the_start(
    tmp_path: Path, code: str, expected: str
) -> None:
    config = write_config(tmp_path, make(tmp_path))
    (tmp_path / "apps" / "wsgi_app.py").write_text(code + "\n")
    for arguments in (("-t",), ()):
        found = run_forkd("-c", str(config), *arguments)
        output = found.stdout + found.stderr
        log = tmp_path / "error.log"
        output += log.read_text() if log.exists() else ""
        assert found.returncode == 1
        assert expected in output
        assert "Traceback" not in output


def test_a_stop_lets_a_call_end(tmp_path: Path) -> None:
    with started(tmp_path, make(tmp_path)) as running:
        signals = Signals(running)
        answers: list[str] = []
        thread = threading.Thread(target=lambda: answers.append(get(running, "/blocked?stop")))
        thread.start()
        signals.expect("stop-begun")
        running.process.terminate()
        running.wait_for_log("draining")
        signals.tell("stop")
        thread.join(DEADLINE_S)
        assert answers == ["at last"]
        assert running.process.wait(DEADLINE_S) == 0


def test_with_dev_a_change_of_a_source_reloads_and_a_mistake_waits_for_its_repair(
    tmp_path: Path,
) -> None:
    with started(tmp_path, make(tmp_path), workers="{count: 2, dev: true}") as running:
        source = tmp_path / "apps" / "wsgi_app.py"
        text = source.read_text()
        assert get(running, "/version") == "1"
        source.write_text(text.replace('VERSION = "1"', 'VERSION = "two"'))
        eventually(lambda: get(running, "/version") == "two", "the change is served")
        assert f"{source} has changed: reloading" in running.error_log
        source.write_text("def (")
        running.wait_for_log("SyntaxError")
        assert get(running, "/version") == "two"
        source.write_text(text.replace('VERSION = "1"', 'VERSION = "three"'))
        eventually(lambda: get(running, "/version") == "three", "the repair is served")


BEHIND = """\
import time


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    yield b"ok"
    time.sleep(0.5)
    open("behind", "w").close()
"""


@pytest.mark.parametrize("ending", ["reload", "stop"])
def test_what_an_application_does_behind_its_answer_is_waited_for(
    tmp_path: Path, ending: str
) -> None:
    (tmp_path / "behind_app.py").write_text(BEHIND)
    with started(tmp_path, {"/": '{wsgi: "behind_app:application"}'}) as daemon:
        assert requests.get(daemon.url, timeout=DEADLINE_S).text == "ok"
        assert not (tmp_path / "behind").exists()
        if ending == "reload":
            assert daemon.reload()["ok"]
            eventually((tmp_path / "behind").exists, "the rest was done")
        else:
            assert daemon.stop() == 0
            assert (tmp_path / "behind").exists()
