"""CGI programs that a test holds in mid-request."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from types import TracebackType

from tests.system.daemon import DEADLINE_S, eventually, is_running
from tests.system.sites import held_script


class Held:
    """A request to a script that runs until `finish`. The site needs the route /cgi-bin/."""

    def __init__(self, directory: Path, port: int) -> None:
        self._begun, self._release = held_script(directory)
        os.mkfifo(self._release, 0o666)
        self._release.chmod(0o666)
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        self.socket.sendall(
            b"GET /cgi-bin/held.sh HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        eventually(self._begun.exists, "the script has begun")
        self.pid = int(self._begun.read_text())

    def finish(self) -> bytes:
        """Let the script end, and give the body of its answer."""
        self._let_go()
        received = b""
        while data := self.socket.recv(65536):
            received += data
        body = received.partition(b"\r\n\r\n")[2]
        if b"chunked" in received:
            body = body.partition(b"\r\n")[2].partition(b"\r\n0\r\n")[0]
        return body

    def _let_go(self) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while is_running(self.pid) and time.monotonic() < deadline:
            try:
                # Not to hang where the script has not opened its end yet, or is gone.
                descriptor = os.open(self._release, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                time.sleep(0.01)
                continue
            os.write(descriptor, b"\n")
            os.close(descriptor)
            return

    def __enter__(self) -> Held:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        self._let_go()
        self.socket.close()
