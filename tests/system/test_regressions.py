"""Faults that only real processes show, each found once."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import requests

from tests.system.daemon import eventually, is_running, started


def script(directory: Path, name: str, text: str) -> None:
    path = directory / "cgi" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_a_stop_reaches_a_worker_that_drains_already(tmp_path: Path) -> None:
    with started(tmp_path, {"/": '{respond: "hi"}'}, workers="{count: 1}") as daemon:
        with socket.create_connection(("127.0.0.1", daemon.port)) as idle:
            idle.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"200" in idle.recv(1000)
            (worker,) = daemon.workers()
            os.kill(worker["pid"], signal.SIGTERM)
            eventually(
                lambda: not refuses_nothing(worker["pid"]), "the worker's listener is closed"
            )
            begun = time.monotonic()
            daemon.stop()
        assert time.monotonic() - begun < 5


def refuses_nothing(pid: int) -> bool:
    """Whether a process still holds a listening socket."""
    listening = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    }
    held = set()
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            held.add(os.readlink(f"/proc/{pid}/fd/{number}"))
        except FileNotFoundError:
            pass
    return any(f"socket:[{inode}]" in held for inode in listening)


def test_a_program_that_leaves_a_flood_behind_does_not_hold_the_worker(tmp_path: Path) -> None:
    script(
        tmp_path,
        "flood",
        "#!/bin/sh\nyes >&2 &\necho $! > pid\nprintf 'Content-Type: text/plain\\n\\nok'\n",
    )
    routes = {"/cgi/": "{cgi: cgi}", "/": '{respond: "hi"}'}
    with started(tmp_path, routes, workers="{count: 1}") as daemon:
        assert requests.get(f"{daemon.url}/cgi/flood", timeout=10).text == "ok"
        assert requests.get(f"{daemon.url}/", timeout=10).text == "hi"
        flood = int((tmp_path / "cgi" / "pid").read_text())
        eventually(lambda: not is_running(flood), "the flood has lost its reader")


def test_a_head_request_to_endless_output_ends_with_its_client(tmp_path: Path) -> None:
    script(
        tmp_path,
        "endless",
        "#!/bin/sh\necho $$ > pid\nprintf 'Content-Type: text/plain\\n\\n'\nexec yes\n",
    )
    with started(tmp_path, {"/cgi/": "{cgi: cgi}"}, workers="{count: 1}") as daemon:
        with socket.create_connection(("127.0.0.1", daemon.port)) as client:
            client.sendall(b"HEAD /cgi/endless HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"200" in client.recv(1000)
        program = int((tmp_path / "cgi" / "pid").read_text())
        eventually(lambda: not is_running(program), "the program is ended")
