"""`-D`: the shell goes on when forkd serves, or hears why it does not."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.system.client import ask_control
from tests.system.daemon import children_of, eventually, is_running, run_forkd, write_config
from tests.system.sites import ROUTES, make_site


@contextmanager
def in_background(directory: Path, *arguments: str) -> Iterator[int]:
    """Start forkd -D; gives the pid of the master, which is ended if the test has not done it."""
    result = run_forkd("-D", "-c", "forkd.yaml", *arguments, cwd=directory)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    # It serves when the command comes back: nothing is waited for here.
    status = ask_control(directory / "control.sock", command="status")
    pid = int(status["pid"])
    try:
        assert status["state"] == "running"
        yield pid
    finally:
        if is_running(pid):
            os.kill(pid, signal.SIGQUIT)
            eventually(lambda: not is_running(pid), "the master is gone")


def family(pid: int) -> set[int]:
    return {pid} | children_of(pid)


def test_the_command_comes_back_when_forkd_serves(tmp_path: Path) -> None:
    make_site(tmp_path)
    pid_file = tmp_path / "forkd.pid"
    write_config(tmp_path, ROUTES, top=f"pid_file: {pid_file}")
    with in_background(tmp_path) as pid:
        assert pid_file.read_text() == f"{pid}\n"
        status = ask_control(tmp_path / "control.sock", command="status")
        url = f"http://{status['listeners'][0]['address']}"
        assert requests.get(f"{url}/hello", timeout=10).text == "hello\n"
        assert requests.get(f"{url}/cgi-bin/hi.sh", timeout=10).text == "hi\n"


def test_the_daemon_is_detached(tmp_path: Path) -> None:
    make_site(tmp_path)
    write_config(tmp_path, ROUTES)
    with in_background(tmp_path) as pid:
        assert os.getsid(pid) != os.getsid(0)
        assert os.getsid(pid) != pid, "a session leader could get a terminal again"
        for process in family(pid):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            assert fields[4] == "0", "no controlling terminal"
            for number in (0, 1, 2):
                assert os.readlink(f"/proc/{process}/fd/{number}") == os.devnull


def test_its_paths_hold_when_a_reload_comes_from_elsewhere(tmp_path: Path) -> None:
    make_site(tmp_path)
    write_config(tmp_path, ROUTES)
    with in_background(tmp_path):
        # forkd.yaml was given relative to the directory in which -D was typed.
        answer = ask_control(tmp_path / "control.sock", command="reload", wait=True)
        assert answer["ok"], answer


def test_forkd_stop_stops_it(tmp_path: Path) -> None:
    make_site(tmp_path)
    write_config(tmp_path, ROUTES)
    with in_background(tmp_path) as pid:
        everybody = family(pid)
        result = run_forkd("stop", "-c", "forkd.yaml", cwd=tmp_path)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
        eventually(lambda: not any(map(is_running, everybody)), "all are gone", 2)
        assert not (tmp_path / "control.sock").exists()
        result = run_forkd("stop", "-c", "forkd.yaml", cwd=tmp_path)
        assert result.returncode == 3


def test_the_reason_why_it_cannot_serve_comes_where_it_was_typed(tmp_path: Path) -> None:
    make_site(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        write_config(tmp_path, ROUTES, listen=f"127.0.0.1:{port}")
        began = time.monotonic()
        result = run_forkd("-D", "-c", "forkd.yaml", cwd=tmp_path)
        assert (result.returncode, result.stdout) == (1, "")
        [line] = result.stderr.splitlines()
        assert f"cannot listen on 127.0.0.1:{port}: the port is taken" in line
        assert time.monotonic() - began < 10
    write_config(tmp_path, ROUTES, top=f"pid_file: {tmp_path}/no/forkd.pid")
    result = run_forkd("-D", "-c", "forkd.yaml", cwd=tmp_path)
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert "cannot write pid_file" in result.stderr
    write_config(tmp_path, ROUTES | {"/": "{static: missing}"})
    result = run_forkd("-D", "-c", "forkd.yaml", cwd=tmp_path)
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert not (tmp_path / "control.sock").exists()


def test_logs_that_would_be_lost_are_pointed_out(tmp_path: Path) -> None:
    make_site(tmp_path)
    write_config(tmp_path, ROUTES)
    config = tmp_path / "forkd.yaml"
    config.write_text(config.read_text().replace("file: access.log", "file: stdout"))
    result = run_forkd("-D", "-c", "forkd.yaml", cwd=tmp_path)
    pid = int(ask_control(tmp_path / "control.sock", command="status")["pid"])
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not is_running(pid), "the master is gone")
    assert result.returncode == 0
    assert "-D closes stdout and stderr" in result.stderr
