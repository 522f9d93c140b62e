"""`forkd top` on a terminal, of a forkd that serves."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.system.daemon import FORKD, Daemon, eventually, run_forkd, started, write_config
from tests.system.sites import ROUTES, make_site
from tests.system.terminal import Terminal, on_terminal

_ALTERNATE, _NORMAL = b"\x1b[?1049h", b"\x1b[?1049l"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    make_site(tmp_path)
    with started(tmp_path, ROUTES) as running:
        yield running


@contextmanager
def top(control: Path, *options: str) -> Iterator[Terminal]:
    arguments = ("top", "-n", "0.1", "--control", str(control), *options)
    with on_terminal(*FORKD, *arguments) as terminal:
        yield terminal


def test_it_counts_requests_as_they_come_and_q_leaves_the_terminal_as_it_was(
    daemon: Daemon,
) -> None:
    with top(daemon.control) as terminal:
        before = terminal.settings()
        terminal.wait_for("answered 0 requests")
        assert terminal.settings() != before
        for _ in range(7):
            assert requests.get(f"{daemon.url}/hello", timeout=10).ok
        shown = terminal.wait_for("answered 7 requests") + terminal.wait_for("q quit")
        assert str(daemon.pid) in shown
        assert all(str(worker["pid"]) in shown for worker in daemon.workers())
        terminal.press(b"q")
        assert terminal.end() == 0
        assert terminal.raw.rstrip().endswith((_NORMAL, b"\x1b[?25h"))
        assert _NORMAL in terminal.raw
        assert terminal.settings() == before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_leaves_the_terminal_as_it_was(
    daemon: Daemon, number: signal.Signals, status: int
) -> None:
    with top(daemon.control) as terminal:
        before = terminal.settings()
        terminal.wait_for("q quit")
        if number is signal.SIGINT:
            terminal.press(b"\x03")
        else:
            terminal.process.send_signal(number)
        assert terminal.end() == status
        assert _NORMAL in terminal.raw
        assert b"Traceback" not in terminal.raw
        assert terminal.settings() == before


def test_ctrl_z_gives_the_screen_back_and_takes_it_again(daemon: Daemon) -> None:
    # The session's leader has no shell that would continue it, so that the kernel does not stop it
    # (setpgid(2), orphaned process groups).
    with top(daemon.control) as terminal:
        terminal.wait_for("q quit")
        terminal.press(b"\x1a")
        eventually(lambda: _shown(terminal, _NORMAL), "the screen is given back")
        eventually(lambda: _shown(terminal, _ALTERNATE), "the screen is taken again")
        terminal.wait_for("q quit")
        terminal.press(b"q")
        assert terminal.end() == 0


def _shown(terminal: Terminal, sequence: bytes) -> bool:
    terminal.look()
    _, found, after = terminal.raw.partition(sequence)
    if found:
        terminal.raw = after
    return bool(found)


def test_keys_sort_and_select_and_show_the_stacks_of_a_worker(daemon: Daemon) -> None:
    with top(daemon.control) as terminal:
        terminal.wait_for("s sort (slot)")
        terminal.press(b"s")
        terminal.wait_for("s sort (requests/s)")
        terminal.press(b"?")
        terminal.wait_for("any key goes back")
        terminal.press(b"\x1b")
        terminal.wait_for("s sort (requests/s)")
        terminal.press(b"1j\r")
        second = daemon.workers()[1]
        terminal.wait_for(f"Stacks of worker {second['slot']}")
        terminal.wait_for(f"pid {second['pid']}")
        terminal.press(b"\x1b")
        terminal.wait_for("s sort (slot)")
        terminal.press(b"q")
        assert terminal.end() == 0


def test_a_reload_is_asked_for_and_its_outcome_shown(daemon: Daemon) -> None:
    with top(daemon.control) as terminal:
        terminal.wait_for("generation 1")
        terminal.press(b"r")
        terminal.wait_for("Reload the configuration?")
        terminal.press(b"y")
        terminal.wait_for("generation 2")
        write_config(daemon.directory, {"/": "{static: missing}"})
        terminal.press(b"ry")
        terminal.wait_for("reload failed: ")
        terminal.press(b"q")
        assert terminal.end() == 0
    assert daemon.status()["generation"] == 2


def test_a_death_is_told_live_and_by_status(daemon: Daemon) -> None:
    victim = daemon.workers()[0]["pid"]
    with top(daemon.control) as terminal:
        terminal.wait_for("q quit")
        os.kill(victim, signal.SIGKILL)
        terminal.wait_for(f"pid {victim} died by signal 9 (SIGKILL)")
        terminal.press(b"q")
        assert terminal.end() == 0
    told = daemon.command("status").stdout
    assert "DIED IN THE LAST HOUR" in told
    assert f"pid {victim} died by signal 9 (SIGKILL)" in told


def test_it_says_that_forkd_is_gone_and_finds_it_again(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES) as first, top(first.control) as terminal:
        terminal.wait_for(f"running  generation 1  pid {first.pid}")
        assert first.stop() == 0
        terminal.wait_for("nothing is running there any more")
        with started(tmp_path) as second:
            terminal.wait_for(f"running  generation 1  pid {second.pid}")
            terminal.press(b"q")
            assert terminal.end() == 0


def test_a_terminal_that_hangs_up_is_no_error(daemon: Daemon) -> None:
    with top(daemon.control) as terminal:
        terminal.wait_for("q quit")
        terminal.hang_up()
        assert terminal.process.wait(10) in (0, -signal.SIGHUP)


def test_one_frame_needs_no_terminal(daemon: Daemon) -> None:
    assert requests.get(f"{daemon.url}/hello", timeout=10).ok
    eventually(lambda: daemon.status()["totals"]["requests"] == 1, "the request is counted")
    result = daemon.command("top", "--once", "-n", "0.1")
    assert (result.returncode, result.stderr) == (0, "")
    assert "answered 1 requests" in result.stdout
    assert "0 requests/s" in result.stdout
    assert "\x1b" not in result.stdout


BUSY = """\
import os, threading


def work():
    while not os.path.exists("enough"):
        sum(range(10_000))


def application(environ, start_response):
    threading.Thread(target=work).start()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def test_the_cpu_of_each_worker_is_told(tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(BUSY)
    with started(tmp_path, {"/": '{wsgi: "busy:application"}'}) as daemon:
        assert requests.get(daemon.url, timeout=10).text == "ok"

        def shares() -> list[float]:
            return sorted(worker["cpu_percent"] or 0.0 for worker in daemon.workers())

        eventually(lambda: shares()[0] < 10 < 30 < shares()[1], "one works, one rests")
        frame = daemon.command("top", "--once", "-n", "0.1").stdout
        assert " CPU% " in frame
        (tmp_path / "enough").touch()
        eventually(lambda: 0 <= shares()[1] < 10, "both rest")


def test_without_a_terminal_it_says_what_to_do(daemon: Daemon) -> None:
    result = daemon.command("top")
    assert (result.returncode, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert "forkd top --once" in line
    assert "forkd status --json" in line


def test_where_nothing_runs_it_exits_3(tmp_path: Path) -> None:
    with top(tmp_path / "none.sock") as terminal:
        before = terminal.settings()
        assert terminal.end() == 3
        assert b"nothing is running at" in terminal.raw
        assert _ALTERNATE not in terminal.raw
        assert terminal.settings() == before


def test_without_rich_it_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['rich'] = None\n")
    env = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).resolve().parents[2]}"}
    result = run_forkd("top", "--once", "--control", str(tmp_path / "none.sock"), env=env)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "forkd top needs rich: pip install 'forkd[top]'\n"


@pytest.mark.parametrize("interval", ["0", "nan", "fast", "1e9"])
def test_an_interval_that_makes_no_sense_is_wrong_usage(interval: str) -> None:
    result = run_forkd("top", "-n", interval)
    assert result.returncode == 2
    assert "expected 0.1 to 3600 seconds" in result.stderr
