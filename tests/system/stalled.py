"""A connection that has to wait until it is accepted."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.daemon import Daemon, eventually


@contextmanager
def accepted_late(daemon: Daemon, request: bytes, seconds: float) -> Iterator[socket.socket]:
    """The only worker stands still while the connection comes about and the request is sent, and
    for so long after that."""
    (worker,) = daemon.workers()
    port = daemon.port
    os.kill(worker["pid"], signal.SIGSTOP)
    stat = Path(f"/proc/{worker['pid']}/stat")
    eventually(lambda: ") T " in stat.read_text(), "the worker stands still")
    with socket.create_connection(("127.0.0.1", port)) as sock:
        try:
            sock.sendall(request)
            sent = time.monotonic()
            eventually(lambda: time.monotonic() >= sent + seconds, "some time has passed")
        finally:
            os.kill(worker["pid"], signal.SIGCONT)
        yield sock
