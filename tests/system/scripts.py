"""A daemon that runs the programs of tests/apps, and what is left of them."""

from __future__ import annotations

import os
import shutil
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.system.daemon import REPOSITORY, Daemon, eventually, started
from tests.system.wire import Wire, request

APPS = REPOSITORY / "tests" / "apps"


class Scripts:
    """The daemon, and the means of the scripts: a FIFO that holds them, a file they leave.

    Routes: /cgi-bin/; /short/ with a timeout of half a second; /finish/, where a script goes on
    when its client is gone.
    """

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.port = daemon.port
        self.directory = daemon.directory / "cgi-bin"
        self.gate = daemon.directory / "gate"
        self.done = daemon.directory / "done"

    def open_gate(self) -> None:
        """Let the script that waits go on. Returns when it does."""
        self.gate.write_text("go\n")

    def begin(self, target: str) -> Wire:
        """Send a request; its answer is left to be read."""
        wire = Wire(self.port)
        wire.send(request(target))
        return wire

    def running(self) -> set[int]:
        """Pids of everything that scripts of this daemon have left in the process table."""
        mark = f"MARK={self.daemon.directory}\0".encode()
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    environ = (entry / "environ").read_bytes()
                except OSError:
                    continue  # gone, or of another user
                if mark in environ:
                    found.add(int(entry.name))
        return found

    def wait_until_gone(self, timeout: float = 3.0) -> None:
        eventually(lambda: not self.running(), "no process of a script is left", timeout)

    def lines(self, *texts: str) -> list[str]:
        """The lines of the error log that hold all of the texts."""
        log = self.daemon.error_log.splitlines()
        return [line for line in log if all(text in line for text in texts)]


@contextmanager
def running_scripts(
    directory: Path, *, workers: str = "{count: 1}", env: Mapping[str, str] | None = None
) -> Iterator[Scripts]:
    """Serve a copy of tests/apps from below directory."""
    shutil.copytree(APPS, directory / "cgi-bin")
    (directory / "html").mkdir()
    (directory / "html" / "page.txt").write_text("page")
    os.mkfifo(directory / "gate")
    own = f"{{MARK: {directory}, GATE: {directory}/gate, DONE: {directory}/done}}"
    routes = {
        "/": "{static: html}",
        "/cgi-bin/": f"{{cgi: cgi-bin, env: {own}, pass_env: PASSED}}",
        "/short/": f"{{cgi: cgi-bin, env: {own}, timeout: 500ms}}",
        "/finish/": f"{{cgi: cgi-bin, env: {own}, on_disconnect: finish}}",
        "*.cgi": f"{{cgi: html, env: {own}}}",
        "/private/": f"{{cgi: cgi-bin, env: {own}, pass_authorization: true}}",
    }
    with started(directory, routes, workers=workers, env=env) as daemon:
        yield Scripts(daemon)


def reset(wire: Wire) -> None:
    """Close so that the other end gets a reset."""
    wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


def parent_of(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(stat[1])
