"""A service manager for tests: its notify socket, and sockets that it opens for forkd."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.daemon import DEADLINE_S


class Manager:
    """Receives what forkd tells the service manager, datagram by datagram."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(DEADLINE_S)

    @property
    def env(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(self.path)}

    def close(self) -> None:
        self._socket.close()

    def next(self) -> dict[str, str]:
        """The variables of the next datagram."""
        lines = self._socket.recv(8192).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def next_with(self, name: str) -> dict[str, str]:
        """The next datagram with this variable. Those before it may only be STATUS."""
        while True:
            said = self.next()
            if name in said:
                return said
            assert set(said) == {"STATUS"}, f"{said} before {name}"


@contextmanager
def manager(directory: Path) -> Iterator[Manager]:
    made = Manager(directory / "notify.sock")
    try:
        yield made
    finally:
        made.close()


_ACTIVATE = """\
import os, socket, sys
names, ports, *command = sys.argv[1:]
listeners = [socket.create_server(("127.0.0.1", int(port))) for port in ports.split(",")]
high = [os.dup(listener.fileno()) for listener in listeners]
while min(high) < 3 + len(high):
    high = [os.dup(number) for number in high]
for target, number in enumerate(high, 3):
    os.dup2(number, target)
count = str(len(high))
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=count, LISTEN_FDNAMES=names)
os.execvp(command[0], command)
"""


def activation(names: list[str], ports: list[int]) -> tuple[str, ...]:
    """A command line that opens a socket for each name and runs what follows as systemd would."""
    return (sys.executable, "-c", _ACTIVATE, ":".join(names), ",".join(map(str, ports)))
