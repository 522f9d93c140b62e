"""systemd's notify protocol (sd_notify(3)) and socket activation (sd_listen_fds(3)).

The variables are taken out of the environment as they are read: nothing that forkd starts may
believe that they were meant for it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from time import CLOCK_MONOTONIC, clock_gettime_ns

from forkd.errors import OperationError


class Notifier:
    """Tells the service manager about the state. Without one, every call does nothing."""

    def __init__(self, address: str | None) -> None:
        self._socket: socket.socket | None = None
        if not address:
            return
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.setblocking(False)
        try:
            # An abstract address is written with @ for its leading NUL byte.
            sock.connect("\0" + address[1:] if address.startswith("@") else address)
        except OSError:
            sock.close()
            return
        self._socket = sock

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> Notifier:
        return cls(environ.pop("NOTIFY_SOCKET", None))

    def ready(self, status: str) -> None:
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        # Both in one datagram: Type=notify-reload pairs them (systemd.service(5)).
        microseconds = clock_gettime_ns(CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={microseconds}", "STATUS=Reloading")

    def stopping(self, status: str) -> None:
        self._send("STOPPING=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        self._send(f"STATUS={status}")

    def main_pid(self, pid: int) -> None:
        self._send(f"MAINPID={pid}")

    def _send(self, *lines: str) -> None:
        if self._socket is not None:
            try:
                self._socket.send("\n".join(lines).encode())
            except OSError:
                pass  # a manager that does not listen must not stop the service


def inherited_sockets(environ: MutableMapping[str, str], pid: int) -> list[tuple[str, int]]:
    """The sockets that systemd has opened for us: (name, descriptor), made close-on-exec.

    LISTEN_FDNAMES is separated by colons; a socket without a name is called `unknown`, as in
    sd_listen_fds_with_names(3). Variables meant for another process are dropped. Raises
    OperationError where a descriptor that was promised is not open.
    """
    wanted = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "0")
    names = environ.pop("LISTEN_FDNAMES", "")
    if wanted != str(pid) or not count.isdecimal():
        return []
    named = names.split(":") if names else []
    named += ["unknown"] * (int(count) - len(named))
    sockets = [(name, 3 + index) for index, name in enumerate(named[: int(count)])]
    for name, descriptor in sockets:
        try:
            os.set_inheritable(descriptor, False)
        except OSError as error:
            raise OperationError(
                f"LISTEN_FDS={count} promises a socket {name} on descriptor {descriptor}, "
                f"which cannot be used: {error.strerror}"
            ) from None
    return sockets
