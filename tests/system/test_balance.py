"""Connections are shared between the workers."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.system.daemon import eventually, started


def test_four_workers_share_connections_evenly(tmp_path: Path) -> None:
    held: list[socket.socket] = []
    with started(tmp_path, {"/": "{respond: x}"}, workers="{count: 4}") as daemon:
        port = daemon.port
        try:
            for _ in range(400):
                sock = socket.create_connection(("127.0.0.1", port), 10)
                sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert sock.recv(4096).startswith(b"HTTP/1.1 200")
                held.append(sock)
            eventually(
                lambda: sum(worker["connections"] for worker in daemon.workers()) == 400,
                "all connections are counted",
            )
            shares = [worker["connections"] for worker in daemon.workers()]
            assert max(shares) <= 1.5 * min(shares), shares
        finally:
            for sock in held:
                sock.close()
