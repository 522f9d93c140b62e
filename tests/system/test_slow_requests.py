"""Requests that take too long: what the log says, what the client gets, who is replaced."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
import requests

from tests.system.daemon import Daemon, eventually, started
from tests.system.load import get, under_load
from tests.system.processes import pids
from tests.system.sites import script
from tests.system.slow import release, slow_route, slow_site
from tests.system.test_leaks import descriptors, settled

SHORT = "{count: 2, threads: 4, request_timeout: 500ms}"
LONGER = "{count: 2, threads: 4, request_timeout: 1500ms}"
"""A call is told to be slow at half of its time, unless all of it is over when the worker looks: on
a busy machine that may be a quarter of a second later, but not three of them."""


def ask(daemon: Daemon, path: str) -> requests.Response:
    return requests.get(daemon.url + path, timeout=20)


def in_background(daemon: Daemon, path: str) -> threading.Thread:
    """A request whose answer is nobody's affair."""
    thread = threading.Thread(target=lambda: ask(daemon, path), daemon=True)
    thread.start()
    return thread


def busy(daemon: Daemon) -> int:
    return sum(worker["threads_busy"] for worker in daemon.workers())


@pytest.mark.parametrize(
    ("action", "path", "function"),
    [
        ("wsgi", "/held", "held"),
        ("wsgi", "/spins", "spinning"),
        ("handler", "/x", "do_GET"),
        ("pages", "/held.py", "application"),
    ],
)
def test_a_slow_request_is_logged_with_its_stack_and_answered_with_504(
    tmp_path: Path, action: str, path: str, function: str
) -> None:
    routes = {"/": slow_route(action), "/import": slow_route()}
    with slow_site(tmp_path, routes, LONGER) as daemon:
        workers = pids(daemon)
        began = time.monotonic()
        answer = ask(daemon, path)
        assert 1.5 <= time.monotonic() - began < 6
        assert (answer.status_code, "504 Gateway Timeout" in answer.text) == (504, True)
        line = daemon.wait_for_log(f"slow request: GET {path} has given its client nothing for ")
        assert re.search(
            r" for [01]\.\d s.* \(it has 1\.5 s\) client=127\.0\.0\.1 route=/ id=[0-9a-f]{16}$",
            line,
        )
        daemon.wait_for_log(f"504, out of time: GET {path}")
        assert daemon.error_log.count(f", in {function}\n") == 2
        assert "forkd/loop/crew.py" not in daemon.error_log, "of forkd's own frames none is shown"
        assert busy(daemon) == 1, "the thread cannot be ended"
        release(tmp_path)
        eventually(lambda: busy(daemon) == 0, "the call has returned")
        assert pids(daemon) == workers
        eventually(lambda: '" 504 ' in daemon.access_log, "its line in the access log")
        assert daemon.access_log.count('" 504 ') == 1


def test_what_a_call_gives_after_its_time_goes_nowhere_and_its_result_is_closed(
    tmp_path: Path,
) -> None:
    with slow_site(tmp_path, workers=SHORT) as daemon, requests.Session() as client:
        assert client.get(f"{daemon.url}/held", timeout=20).status_code == 504
        assert not (tmp_path / "closed").exists()
        release(tmp_path)
        eventually((tmp_path / "closed").exists, "close() was called")
        # On the same connection: nothing of the late answer is before this one.
        assert client.get(f"{daemon.url}/hello", timeout=20).text == "hello\n"


def test_an_answer_that_has_begun_is_broken_off(tmp_path: Path) -> None:
    with slow_site(tmp_path, workers=SHORT) as daemon:
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            ask(daemon, "/begins")
        daemon.wait_for_log("504, connection closed: GET /begins has given its client nothing more")


def test_an_answer_that_makes_progress_is_not_cut(tmp_path: Path) -> None:
    # Two seconds in all, and 0.2 between two chunks.
    with slow_site(tmp_path, workers=LONGER) as daemon:
        assert ask(daemon, "/streams").text == "chunk\n" * 10
        assert "slow request" not in daemon.error_log


def test_the_time_of_a_slow_client_is_not_the_applications(tmp_path: Path) -> None:
    with slow_site(tmp_path, workers=SHORT) as daemon:
        with socket.create_connection(("127.0.0.1", daemon.port)) as sock:
            sock.sendall(b"GET /large HTTP/1.0\r\n\r\n")
            eventually(lambda: busy(daemon) > 0, "the application waits for its client")
            wait_beyond_the_timeout(daemon)
            with sock.makefile("rb") as stream:
                assert len(stream.read().partition(b"\r\n\r\n")[2]) == 20_000_000
        with socket.create_connection(("127.0.0.1", daemon.port)) as sock:
            sock.sendall(b"POST /reads HTTP/1.0\r\nContent-Length: 2000000\r\n\r\n")
            sock.sendall(bytes(1_200_000))
            eventually(lambda: busy(daemon) > 0, "the application waits for its client")
            wait_beyond_the_timeout(daemon)
            sock.sendall(bytes(800_000))
            with sock.makefile("rb") as stream:
                assert stream.read().endswith(b"\r\n\r\n2000000\n")
        assert "/large" not in daemon.error_log
        assert "/reads" not in daemon.error_log


def wait_beyond_the_timeout(daemon: Daemon) -> None:
    """As long as it takes two others to run out of their time."""
    for _ in range(2):
        assert ask(daemon, "/held").status_code == 504


def test_a_route_may_have_a_time_of_its_own(tmp_path: Path) -> None:
    routes = {"/": slow_route(), "/patient/": slow_route(timeout="1h")}
    with slow_site(tmp_path, routes, SHORT) as daemon:
        patient = in_background(daemon, "/patient/held")
        eventually(lambda: busy(daemon) == 1, "it is under way")
        assert ask(daemon, "/held").status_code == 504
        release(tmp_path)
        patient.join(20)
        eventually(lambda: '"GET /patient/held HTTP/1.1" 200 ' in daemon.access_log, "its answer")


def test_a_worker_whose_call_never_returns_is_replaced_and_nobody_else_notices(
    tmp_path: Path,
) -> None:
    with slow_site(tmp_path, workers=SHORT) as daemon:
        before, children = pids(daemon), len(daemon.children())
        settled(daemon, children)
        files = descriptors(daemon.pid)
        with under_load(daemon.port, (get("/hello", b"hello\n"), 2)) as load:
            assert ask(daemon, "/spins").status_code == 504
            (stuck,) = [w["pid"] for w in daemon.workers() if w["threads_busy"]]
            eventually(
                lambda: stuck not in {w["pid"] for w in daemon.status()["workers"]}, "it left"
            )
            load.stop()
            assert load.lost() == {}
        line = daemon.wait_for_log("is replaced in order: a call of route / has not returned 5 s")
        assert f" pid {stuck} is replaced" in line
        eventually(lambda: len(daemon.workers()) == 2, "the pool is whole")
        assert len(before & pids(daemon)) == 1
        assert daemon.access_log.count('" 504 ') == 1
        assert "ERROR master" not in daemon.error_log
        settled(daemon, children)
        assert descriptors(daemon.pid) == files


def test_who_waits_too_long_for_a_thread_gets_503(tmp_path: Path) -> None:
    routes = {"/": slow_route(), "/patient/": slow_route(timeout="1h")}
    workers = "{count: 1, threads: 1, request_timeout: 500ms}"
    with slow_site(tmp_path, routes, workers) as daemon:
        in_background(daemon, "/patient/held")
        eventually(lambda: busy(daemon) == 1, "the only thread is taken")
        answer = ask(daemon, "/quick")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        daemon.wait_for_log("1 requests waited longer for a thread than they may take")
        release(tmp_path)
        eventually(lambda: busy(daemon) == 0, "the thread is free")
        assert ask(daemon, "/quick").status_code == 200


def test_a_slow_program_is_logged_with_its_state(tmp_path: Path) -> None:
    script(tmp_path, "stopped.sh", "kill -STOP $$")
    with started(tmp_path, {"/cgi-bin/": "{cgi: cgi-bin, timeout: 1s}"}) as daemon:
        assert ask(daemon, "/cgi-bin/stopped.sh").status_code == 504
        line = daemon.wait_for_log("cgi slow: no progress for 0.5 s, state T (stopped)")
        # It has been sent TERM, which it hears when it runs on: no need to wait for KILL.
        os.kill(int(line.rpartition("pid=")[2]), signal.SIGCONT)
        assert ": GET /cgi-bin/stopped.sh, 0." in line
        assert re.search(r" client=127\.0\.0\.1 route=/cgi-bin/ id=\w+ script=\S+ pid=\d+$", line)
        assert daemon.error_log.count("cgi slow") == 1
