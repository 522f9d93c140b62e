"""A service manager for tests: its notify socket, the sockets that it opens for forkd, and a store
for those that forkd gives it."""

from __future__ import annotations

import os
import queue
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.daemon import DEADLINE_S

Said = dict[str, str]

_END = b"END"


class Manager:
    """Takes in what forkd tells the service manager, datagram by datagram, and does as it is told:
    keeps descriptors, drops them, answers barriers by closing them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log: list[Said] = []
        """All that was said, in its order."""
        self.senders: list[int] = []
        """Who has said it, by pid."""
        self.last: dict[str, float] = {}
        """When each variable was last said, in monotonic seconds."""
        self.store: dict[str, int] = {}
        """What it keeps, by name."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(path))
        self._unread: queue.SimpleQueue[Said] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    @property
    def env(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(self.path)}

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(_END, str(self.path))
        self._thread.join()
        self._socket.close()
        while self.store:
            os.close(self.store.popitem()[1])

    def next(self) -> Said:
        """The variables of the next datagram."""
        return self._unread.get(timeout=DEADLINE_S)

    def next_with(self, name: str) -> Said:
        """The next datagram with this variable. Those before it change no state of the service."""
        while True:
            said = self.next()
            if name in said:
                return said
            state = {"READY", "RELOADING", "STOPPING", "MAINPID"} & said.keys()
            assert not state, f"{said} before {name}"

    def words(self) -> list[str]:
        """What has been said, without STATUS and what comes in any number."""
        often = {"STATUS", "EXTEND_TIMEOUT_USEC", "WATCHDOG"}
        return [next(iter(said)) for said in self.log if not said.keys() <= often]

    def _listen(self) -> None:
        while True:
            data, ancillary, _flags, _address = self._socket.recvmsg(8192, 256)
            descriptors: list[int] = []
            for _level, kind, value in ancillary:
                if kind == socket.SCM_RIGHTS:
                    descriptors += memoryview(value).cast("i").tolist()
                else:
                    self.senders.append(struct.unpack("3i", value)[0])
            if data == _END:
                return
            said = dict(line.split("=", 1) for line in data.decode().split("\n"))
            # A barrier is in the log before its descriptor is closed: all that came before, too.
            self.log.append(said)
            self.last |= dict.fromkeys(said, time.monotonic())
            self._keep(said, descriptors)
            self._unread.put(said)

    def _keep(self, said: Said, descriptors: list[int]) -> None:
        name = said.get("FDNAME", "")
        if "FDSTORE" in said:
            assert name not in self.store, f"{name} is stored twice"
            assert name.isprintable(), name
            assert name.isascii(), name
            assert len(name) <= 255, name
            assert ":" not in name, name
            (self.store[name],) = descriptors
        else:
            # So a barrier is answered as well.
            for descriptor in descriptors:
                os.close(descriptor)
        if "FDSTOREREMOVE" in said and name in self.store:
            os.close(self.store.pop(name))


@contextmanager
def manager(directory: Path) -> Iterator[Manager]:
    made = Manager(directory / "notify.sock")
    try:
        yield made
    finally:
        made.close()


_PASS = """
high = [os.dup(number) for number in given]
while min(high) < 3 + len(high):
    high = [os.dup(number) for number in high]
for target, number in enumerate(high, 3):
    os.dup2(number, target)
count = str(len(high))
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=count, LISTEN_FDNAMES=names)
os.execvp(command[0], command)
"""

_ACTIVATE = f"""\
import os, socket, sys
names, ports, *command = sys.argv[1:]
listeners = [socket.create_server(("127.0.0.1", int(port))) for port in ports.split(",")]
given = [listener.fileno() for listener in listeners]
{_PASS}
"""

_RESTART = f"""\
import os, sys
names, numbers, *command = sys.argv[1:]
given = [int(number) for number in numbers.split(",")]
for number in given:
    os.set_inheritable(number, False)
{_PASS}
"""


def activation(names: list[str], ports: list[int]) -> tuple[str, ...]:
    """A command line that opens a socket for each name and runs what follows as systemd would."""
    return (sys.executable, "-c", _ACTIVATE, ":".join(names), ",".join(map(str, ports)))


def restart(store: dict[str, int]) -> tuple[str, ...]:
    """A command line that runs what follows with these descriptors, which it must inherit."""
    return (sys.executable, "-c", _RESTART, ":".join(store), ",".join(map(str, store.values())))
