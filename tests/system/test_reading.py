"""The configuration is read in a process of its own, and nobody waits for that but the reload."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from forkd.config.load import load_text
from forkd.config.settings import Settings
from forkd.errors import ConfigError, ForkdError, OperationError
from forkd.loop.loop import Loop
from forkd.master.reading import AwaitedReading, Reading
from tests.system.daemon import DEADLINE_S, Daemon, eventually, is_running, started
from tests.system.processes import pids
from tests.system.sites import ROUTES, make_site

SITES = "sites: [{routes: {/: {respond: hello}}}]\n"
APPLICATION = '{wsgi: "hello:application"}'
HELLO = """\
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""


def reads(text: str, directory: Path) -> Callable[[], Settings]:
    return lambda: load_text(text, directory / "forkd.yaml", {})


def test_settings_come_from_the_process_that_read_them(tmp_path: Path) -> None:
    load = reads(SITES, tmp_path)
    reading = Reading(load)
    assert reading.wait() == load()
    assert not Path(f"/proc/{reading.pid}").exists(), "no zombie is left"


def test_all_mistakes_come_with_their_places(tmp_path: Path) -> None:
    load = reads("one: 1\ntwo: 2\n" + SITES, tmp_path)
    with pytest.raises(ConfigError) as here:
        load()
    with pytest.raises(ConfigError) as there:
        Reading(load).wait()
    assert there.value.problems == here.value.problems
    assert len(there.value.problems) == 2


def test_a_reader_that_cannot_import_says_what_to_do() -> None:
    def load() -> Settings:
        raise ModuleNotFoundError("No module named 'yaml'")

    with pytest.raises(OperationError, match=r"No module named 'yaml' \(install forkd's dep"):
        Reading(load).wait()


def test_a_reader_that_is_ended_is_no_riddle() -> None:
    def load() -> Settings:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("not reached")

    with pytest.raises(OperationError, match="the process that reads it ended"):
        Reading(load).wait()


def hangs() -> Settings:
    signal.pause()
    raise AssertionError("nobody wakes it")


def test_a_reader_that_hangs_is_ended() -> None:
    reading = Reading(hangs)
    with pytest.raises(OperationError, match=r"took longer than 0\.1 s"):
        reading.wait(0.1)
    assert not is_running(reading.pid)


def test_the_loop_goes_on_while_a_reader_hangs() -> None:
    loop, found = Loop(), list[Settings | ForkdError]()

    def done(what: Settings | ForkdError) -> None:
        found.append(what)
        loop.stop()

    before = os.listdir("/proc/self/fd")
    reading = AwaitedReading(loop, hangs, done, patience_s=0.1)
    loop.run()
    (failure,) = found
    assert isinstance(failure, OperationError)
    os.waitpid(reading.pid, 0)
    assert os.listdir("/proc/self/fd") == before
    loop.close()


def readers(daemon: Daemon) -> list[int]:
    """Processes of the daemon that have what reads the configuration in their memory."""
    return [pid for pid in (daemon.pid, *daemon.children()) if _can_read(pid)]


def _can_read(pid: int) -> bool:
    try:
        return "_pydantic_core" in Path(f"/proc/{pid}/maps").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False  # it was leaving


@pytest.mark.parametrize("preload", ["on", "off"])
def test_no_process_that_serves_holds_what_reads(tmp_path: Path, preload: str) -> None:
    make_site(tmp_path)
    (tmp_path / "hello.py").write_text(HELLO)
    routes = ROUTES | {"/app/": APPLICATION}
    with started(tmp_path, routes, workers=f"{{count: 2, preload: {preload}}}") as daemon:
        assert requests.get(f"{daemon.url}/app/", timeout=DEADLINE_S).text == "hello"
        assert readers(daemon) == []
        assert daemon.reload()["ok"]
        assert readers(daemon) == []


def hold_up(daemon: Daemon) -> int:
    """Have the next reading wait for somebody who writes; the pid of the reader that does."""
    before = daemon.children()
    daemon.config.unlink()
    os.mkfifo(daemon.config)
    daemon.send_signal(signal.SIGHUP)
    eventually(lambda: daemon.children() - before, "there is a reader")
    (reader,) = daemon.children() - before
    return reader


def test_the_master_serves_all_others_while_the_file_is_read(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES) as daemon:
        good, before = daemon.config.read_text(), pids(daemon)
        reader = hold_up(daemon)
        assert daemon.status()["state"] == "reloading"
        assert requests.get(f"{daemon.url}/hello", timeout=DEADLINE_S).text == "hello\n"
        # A second reload waits for the first, and then reads the file anew.
        with socket.socket(socket.AF_UNIX) as second:
            second.settimeout(DEADLINE_S)
            second.connect(str(daemon.control))
            second.sendall(b'{"command": "reload", "wait": true}\n')
            daemon.send_signal(signal.SIGHUP)
            assert pids(daemon) == before
            daemon.config.write_text(good)  # into the pipe
            daemon.config.unlink()
            daemon.config.write_text(good)
            with second.makefile("rb") as answer:
                assert json.loads(answer.readline()) == {"ok": True, "generation": 3}
        assert not is_running(reader)
        assert daemon.status()["state"] == "running"


def test_a_reader_that_is_killed_fails_the_reload(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES) as daemon:
        good, before = daemon.config.read_text(), pids(daemon)
        os.kill(hold_up(daemon), signal.SIGKILL)
        daemon.wait_for_log("reload failed: cannot read the configuration: the process that reads")
        assert pids(daemon) == before
        daemon.config.unlink()
        daemon.config.write_text(good)
        assert daemon.reload()["ok"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGQUIT])
def test_forkd_stops_while_the_file_is_read(tmp_path: Path, how: signal.Signals) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES) as daemon:
        reader = hold_up(daemon)
        daemon.send_signal(how)
        assert daemon.process.wait(DEADLINE_S) == 0
        eventually(lambda: not is_running(reader), "the reader is gone")


def test_a_reader_does_not_outlive_its_master(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES) as daemon:
        reader = hold_up(daemon)
        daemon.process.kill()
        daemon.process.wait(DEADLINE_S)
        eventually(lambda: not is_running(reader), "the reader is gone")
