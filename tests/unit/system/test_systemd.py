"""The notify protocol and socket activation."""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from forkd.errors import OperationError
from forkd.system.systemd import Notifier, inherited_sockets


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


@pytest.fixture
def notifier(manager: socket.socket) -> Iterator[Notifier]:
    environ = {"NOTIFY_SOCKET": manager.getsockname(), "PATH": "/bin"}
    one = Notifier.from_environment(environ)
    assert environ == {"PATH": "/bin"}, "nothing that is started may take the socket for its own"
    yield one
    if one._socket is not None:
        one._socket.close()


def test_each_word_is_one_datagram(manager: socket.socket, notifier: Notifier) -> None:
    notifier.ready("2 workers")
    assert manager.recv(1000) == b"READY=1\nSTATUS=2 workers"
    notifier.status("3 workers")
    assert manager.recv(1000) == b"STATUS=3 workers"
    notifier.stopping("Draining")
    assert manager.recv(1000) == b"STOPPING=1\nSTATUS=Draining"
    notifier.main_pid(4711)
    assert manager.recv(1000) == b"MAINPID=4711"


def test_a_reload_comes_with_the_time_in_the_same_datagram(
    manager: socket.socket, notifier: Notifier
) -> None:
    notifier.reloading()
    assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+\nSTATUS=.+", manager.recv(1000))


def test_an_abstract_address_begins_with_an_at_sign() -> None:
    name = secrets.token_hex(8)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.setblocking(False)
        notifier = Notifier(f"@{name}")
        notifier.status("here")
        assert manager.recv(100) == b"STATUS=here"
        assert notifier._socket is not None
        notifier._socket.close()


@pytest.mark.parametrize("address", [None, "", "/no/such/socket"])
def test_without_a_manager_every_word_does_nothing(address: str | None) -> None:
    notifier = Notifier(address)
    notifier.ready("x")
    notifier.reloading()
    notifier.stopping("x")


def test_a_manager_that_does_not_listen_stops_nothing(
    manager: socket.socket, notifier: Notifier
) -> None:
    for _ in range(5000):
        notifier.status("x" * 100)
    manager.close()
    notifier.status("gone")


@pytest.mark.parametrize(
    ("variables", "sockets"),
    [
        ({}, []),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "1"}, [("unknown", 3)]),
        (
            {"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "http:https"},
            [("http", 3), ("https", 4)],
        ),
        (
            {"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "http:http"},
            [("http", 3), ("http", 4)],
        ),
        (
            {"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "http"},
            [("http", 3), ("unknown", 4)],
        ),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "a:b"}, [("a", 3)]),
        ({"LISTEN_PID": "8", "LISTEN_FDS": "1"}, []),
        ({"LISTEN_FDS": "1"}, []),
        ({"LISTEN_PID": "7"}, []),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "0"}, []),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "-1"}, []),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "many"}, []),
    ],
)
def test_sockets_are_taken_where_they_are_meant_for_us(
    variables: dict[str, str], sockets: list[tuple[str, int]]
) -> None:
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(3)]  # 3 and 4 are open for sure
    environ = {"PATH": "/bin", **variables}
    try:
        assert inherited_sockets(environ, 7) == sockets
    finally:
        for descriptor in held:
            os.close(descriptor)
    assert environ == {"PATH": "/bin"}
    assert not any(os.get_inheritable(number) for _, number in sockets)


def test_a_descriptor_that_was_promised_but_is_not_open_is_named() -> None:
    environ = {"LISTEN_PID": "7", "LISTEN_FDS": "900", "LISTEN_FDNAMES": ""}
    with pytest.raises(OperationError, match=r"LISTEN_FDS=900 .* descriptor \d+"):
        inherited_sockets(environ, 7)
