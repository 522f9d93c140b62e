"""systemd's notify protocol (sd_notify(3)), watchdog (sd_watchdog_enabled(3)) and the descriptors
that it passes (sd_listen_fds(3)).

The variables are taken out of the environment as they are read: nothing that forkd starts may
believe that they were meant for it. When what is said belongs to the master's `service.py`.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from time import CLOCK_MONOTONIC, clock_gettime_ns

from forkd.errors import OperationError

VARIABLES = (
    *("NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"),
    *("WATCHDOG_PID", "WATCHDOG_USEC", "FDSTORE", "MAINPID"),
)
"""What is meant for the process that the manager has started, and for no other."""

_SEND_TIMEOUT = struct.pack("ll", 1, 0)
"""One second, as struct timeval: a manager whose queue is full must not stop the service."""


_LONGEST = 500
"""Characters of a status. systemd drops a datagram of more than 4096 bytes, and READY with it."""


class Notifier:
    """Speaks to the service manager. Without one, every call does nothing."""

    def __init__(self, address: str | None) -> None:
        self._address: str | None = None
        if not address or address[0] not in "/@":
            return
        # An abstract address is written with @ for its leading NUL byte. Each datagram is addressed
        # anew, so that a manager that made its socket again is found again.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SEND_TIMEOUT)

    @property
    def has_manager(self) -> bool:
        """Whether there is somebody to speak to."""
        return self._address is not None

    def ready(self, status: str) -> None:
        self._send("READY=1", _status(status))

    def reloading(self) -> None:
        # Both in one datagram: Type=notify-reload pairs them (systemd.service(5)).
        microseconds = clock_gettime_ns(CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={microseconds}", "STATUS=Reloading")

    def stopping(self, status: str) -> None:
        """To be said once, and nothing after it but how the stop goes on."""
        self._send("STOPPING=1", _status(status))

    def status(self, status: str) -> None:
        self._send(_status(status), flags=socket.MSG_DONTWAIT)

    def alive(self) -> None:
        """The watchdog's ping."""
        self._send("WATCHDOG=1", flags=socket.MSG_DONTWAIT)

    def extend_timeout(self, seconds: float) -> None:
        """Ask for patience: something more is said within this time."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}", flags=socket.MSG_DONTWAIT)

    def main_pid(self, pid: int) -> None:
        """From now on another process is the service. With NotifyAccess=main the manager takes this
        from the present main process only, and afterwards hears the new one only."""
        self._send(f"MAINPID={pid}")

    def store(self, name: str, sock: socket.socket) -> bool:
        """Have the manager keep a socket for the next start; False where it cannot be told.

        name: at most 255 printable ASCII characters without a colon.
        """
        lines = ["FDSTORE=1", f"FDNAME={name}"]
        if sock.type == socket.SOCK_DGRAM:
            # The manager lets go of a descriptor that reports an error. Of a listener that is its
            # end; a socket for datagrams has errors that pass.
            lines.append("FDPOLL=0")
        return self._send(*lines, descriptor=sock.fileno())

    def unstore(self, name: str) -> None:
        """Have the manager close what it keeps by this name."""
        self._send("FDSTOREREMOVE=1", f"FDNAME={name}")

    def barrier(self, timeout_s: float) -> bool:
        """Wait until all that was said before has been taken in (sd_notify_barrier(3)).

        True where there is nobody to wait for. The manager answers by closing a descriptor; one
        that does not know the word closes what it did not ask for.
        """
        if self._address is None:
            return True
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        try:
            try:
                sent = self._send("BARRIER=1", descriptor=write_end)
            finally:
                os.close(write_end)
            poll = select.poll()
            poll.register(read_end, 0)  # POLLHUP comes unasked
            return sent and bool(poll.poll(timeout_s * 1000))
        finally:
            os.close(read_end)

    def close(self) -> None:
        if self._address is not None:
            self._address = None
            self._socket.close()

    def _send(self, *lines: str, descriptor: int = -1, flags: int = 0) -> bool:
        if self._address is None:
            return False
        ancillary = []
        if descriptor >= 0:
            rights = struct.pack("i", descriptor)
            ancillary.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, rights))
        data = "\n".join(lines).encode(errors="replace")
        try:
            self._socket.sendmsg([data], ancillary, flags, self._address)
        except OSError:
            return False  # a manager that does not listen must not stop the service
        return True


def _status(text: str) -> str:
    """What is said must be one line: where it ends the next variable begins."""
    line = "; ".join(text.replace("\0", "").splitlines())
    return "STATUS=" + (line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ...")


@dataclass(frozen=True, slots=True)
class Given:
    """What the service manager gave this process at its start."""

    notifier: Notifier
    sockets: list[tuple[str, int]] = field(default_factory=list)
    """(name, descriptor): of socket units and of the descriptor store alike."""
    watchdog_s: float | None = None
    """How long the manager waits for a ping; None where it expects none."""
    store_limit: int | None = None
    """How many descriptors it keeps; None where it does not say (before systemd 254)."""
    warnings: tuple[str, ...] = ()
    successor: dict[str, str] = field(default_factory=dict)
    """Variables for a process that is to become the main process in this one's place."""


def given(environ: MutableMapping[str, str], pid: int) -> Given:
    """Take all that the manager says out of the environment of the process `pid`.

    Raises OperationError where a descriptor that was promised is not open.
    """
    sockets = inherited_sockets(environ, pid)
    said = {name: value for name in VARIABLES if (value := environ.pop(name, None)) is not None}
    address, limit = said.get("NOTIFY_SOCKET", ""), said.get("FDSTORE", "")
    watchdog_s = _watchdog_s(said, pid)
    warnings = []
    if address and address[0] not in "/@":
        warnings.append(
            f"NOTIFY_SOCKET={address}: the service manager is told nothing, since only unix "
            "sockets (/path or @name) are supported"
        )
    # Without WATCHDOG_PID, since the pid will be another one.
    passed_on = {"NOTIFY_SOCKET", "FDSTORE"} | ({"WATCHDOG_USEC"} if watchdog_s else set())
    successor = {name: value for name, value in said.items() if name in passed_on}
    return Given(
        Notifier(address),
        sockets,
        watchdog_s,
        int(limit) if _is_number(limit) else None,
        tuple(warnings),
        successor,
    )


def _watchdog_s(said: dict[str, str], pid: int) -> float | None:
    text = said.get("WATCHDOG_USEC", "")
    meant_for = said.get("WATCHDOG_PID", str(pid))
    if meant_for != str(pid) or not _is_number(text) or int(text) == 0:
        return None
    return int(text) / 1e6


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20


def inherited_sockets(environ: MutableMapping[str, str], pid: int) -> list[tuple[str, int]]:
    """The sockets that systemd has opened or kept for us: (name, descriptor), close-on-exec.

    LISTEN_FDNAMES is separated by colons; a socket without a name is called `unknown`, as in
    sd_listen_fds_with_names(3). Variables meant for another process are dropped. LISTEN_PIDFDID
    says the same as LISTEN_PID in another way and is not looked at. Raises OperationError where a
    descriptor that was promised is not open.
    """
    wanted = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "0")
    names = environ.pop("LISTEN_FDNAMES", "")
    if wanted != str(pid) or not _is_number(count):
        return []
    named = names.split(":") if names else []
    sockets: list[tuple[str, int]] = []
    for index in range(int(count)):
        name, descriptor = named[index] if index < len(named) else "unknown", 3 + index
        try:
            os.set_inheritable(descriptor, False)
        except OSError as error:
            raise OperationError(
                f"LISTEN_FDS={count} promises a socket {name} on descriptor {descriptor}, "
                f"which cannot be used: {error.strerror}"
            ) from None
        sockets.append((name, descriptor))
    return sockets
