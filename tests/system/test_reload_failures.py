"""Reloads that fail: the reasons are told, and all stays as it was."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
import requests

from tests.system.daemon import Daemon, eventually, started, write_config
from tests.system.processes import pids
from tests.system.sites import ROUTES, SMALL, lock_out, make_site


def test_a_reload_that_fails_says_why_and_leaves_all_as_it_was(tmp_path: Path) -> None:
    make_site(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken, started(tmp_path, ROUTES) as daemon:
        good = daemon.config.read_text()
        port = taken.getsockname()[1]
        elsewhere = f"control: {tmp_path}/control2.sock"
        broken = {
            good + "sites: [\n": [f"{daemon.config}:", "the file ends here"],
            good + "surprise: 1\n": [f"{daemon.config}:", "surprise: unknown key"],
            good.replace("static: html", "static: nowhere"): [
                f"{daemon.config}:",
                f"no such file or directory: {tmp_path}/nowhere",
            ],
            good.replace("127.0.0.1:0", f"127.0.0.1:{port}"): [
                f"cannot listen on 127.0.0.1:{port}: the port is taken"
            ],
            good.replace(f"control: {daemon.control}", elsewhere): ["control cannot change"],
            good.replace("access.log", "no/access.log"): ["cannot open the log file"],
        }
        before = pids(daemon)
        for text, expected in broken.items():
            daemon.config.write_text(text)
            result = daemon.command("reload", "--wait")
            assert (result.returncode, result.stdout) == (1, ""), text
            for part in expected:
                assert part in result.stderr, text
            if expected[0].endswith("yaml:"):
                place = result.stderr.partition(expected[0])[2].split(":")
                assert place[0].isdigit(), result.stderr
                assert place[1].isdigit(), result.stderr
            status = daemon.status()
            assert pids(daemon) == before
            assert (status["state"], status["generation"]) == ("running", 1)
            assert status["last_reload"]["ok"] is False
            assert expected[-1] in "\n".join(status["last_reload"]["reasons"])
            assert requests.get(f"{daemon.url}/hello", timeout=10).text == "hello\n"
        assert not (tmp_path / "control2.sock").exists()
        assert daemon.command("status").returncode == 0
        daemon.config.write_text(good)
        assert daemon.command("reload", "--wait").returncode == 0
        assert daemon.status()["generation"] == 2


def test_a_canary_that_fails_ends_the_reload(open_path: Path) -> None:
    make_site(open_path)
    (open_path / "locked").mkdir()
    with started(open_path, ROUTES) as daemon:
        before = pids(daemon)
        top = lock_out(open_path / "locked")
        write_config(open_path, ROUTES | {"/locked/": "{static: locked}"}, top=top)
        result = daemon.command("reload", "--wait")
        assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
        assert f"cannot read {open_path}/locked" in result.stderr
        assert pids(daemon) == before
        assert requests.get(f"{daemon.url}/small.txt", timeout=10).content == SMALL
        (open_path / "locked").chmod(0o755)


HANGS = """\
import os, time

while os.path.exists("hang"):
    time.sleep(0.01)


def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.mark.parametrize("preload", ["false", "true"])
def test_an_application_that_hangs_at_its_import_is_named(tmp_path: Path, preload: str) -> None:
    (tmp_path / "hanging.py").write_text(HANGS)
    workers = f"{{count: 2, boot_timeout: 1s, preload: {preload}}}"
    with started(tmp_path, {"/": '{wsgi: "hanging:application"}'}, workers=workers) as daemon:
        before = pids(daemon)
        (tmp_path / "hang").touch()
        result = daemon.command("reload", "--wait")
        assert result.returncode == 1
        assert "not ready within boot_timeout" in result.stderr
        assert "importing hanging:application (sites.0.routes./.wsgi)" in result.stderr
        assert pids(daemon) == before
        assert requests.get(daemon.url, timeout=10).text == "ok"
        (tmp_path / "hang").unlink()
        assert daemon.reload()["ok"]


def test_a_canary_that_is_killed_ends_the_reload(tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text(HANGS)
    with started(tmp_path, {"/": '{wsgi: "hanging:application"}'}) as daemon:
        before = pids(daemon)
        (tmp_path / "hang").touch()
        daemon.send_signal(signal.SIGHUP)
        eventually(lambda: _starting(daemon), "a canary")
        os.kill(_starting(daemon)[0], signal.SIGKILL)
        eventually(lambda: daemon.status()["last_reload"], "the reload is over")
        (reason,) = daemon.status()["last_reload"]["reasons"]
        assert "died by signal 9 (SIGKILL)" in reason
        assert pids(daemon) == before


def _starting(daemon: Daemon) -> list[int]:
    return [w["pid"] for w in daemon.status()["workers"] if w["state"] == "starting"]
