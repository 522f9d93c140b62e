"""The notify protocol and socket activation."""

from __future__ import annotations

import os
import re
import secrets
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from forkd.errors import OperationError
from forkd.system.systemd import Notifier, given, inherited_sockets


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock


@pytest.fixture
def notifier(manager: socket.socket) -> Iterator[Notifier]:
    one = Notifier(manager.getsockname())
    yield one
    one.close()


def test_each_word_is_one_datagram(manager: socket.socket, notifier: Notifier) -> None:
    notifier.ready("2 workers")
    assert manager.recv(1000) == b"READY=1\nSTATUS=2 workers"
    notifier.status("3 workers")
    assert manager.recv(1000) == b"STATUS=3 workers"
    notifier.stopping("Draining")
    assert manager.recv(1000) == b"STOPPING=1\nSTATUS=Draining"
    notifier.main_pid(4711)
    assert manager.recv(1000) == b"MAINPID=4711"
    notifier.alive()
    assert manager.recv(1000) == b"WATCHDOG=1"
    notifier.extend_timeout(2.5)
    assert manager.recv(1000) == b"EXTEND_TIMEOUT_USEC=2500000"
    notifier.unstore("listen-tcp-127.0.0.1-80")
    assert manager.recv(1000) == b"FDSTOREREMOVE=1\nFDNAME=listen-tcp-127.0.0.1-80"


def test_a_status_is_one_line_whatever_is_in_it(manager: socket.socket, notifier: Notifier) -> None:
    notifier.status("a\nREADY=1\r\nb \udcff\0")
    assert manager.recv(1000) == b"STATUS=a; READY=1; b ?"


def test_a_status_never_makes_a_datagram_that_systemd_drops(
    manager: socket.socket, notifier: Notifier
) -> None:
    notifier.ready("\N{GRINNING FACE}" * 10_000)
    said = manager.recv(100_000)
    assert len(said) <= 4096
    assert said.startswith(b"READY=1\nSTATUS=")
    assert said.endswith(b" ...")


def test_a_socket_to_be_kept_comes_with_its_name(
    manager: socket.socket, notifier: Notifier
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert notifier.store("listen-tcp-127.0.0.1-0", listener)
        data, (descriptor,), _, _ = socket.recv_fds(manager, 1000, 4)
        with socket.socket(fileno=descriptor) as received:
            assert received.getsockname() == listener.getsockname()
    assert data == b"FDSTORE=1\nFDNAME=listen-tcp-127.0.0.1-0"


def test_an_error_of_a_socket_for_datagrams_is_not_its_end(
    manager: socket.socket, notifier: Notifier
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        assert notifier.store("listen-udp-0.0.0.0-53", datagrams)
    assert manager.recv(1000) == b"FDSTORE=1\nFDNAME=listen-udp-0.0.0.0-53\nFDPOLL=0"


def test_a_barrier_is_passed_when_the_manager_closes_its_descriptor(
    manager: socket.socket, notifier: Notifier
) -> None:
    assert not notifier.barrier(0.01), "it has not been read yet"
    assert manager.recv(1000) == b"BARRIER=1"
    # What is received without room for descriptors is closed by the kernel at once.
    manager.setblocking(True)
    reader = threading.Thread(target=manager.recv, args=(1000,))
    reader.start()
    assert notifier.barrier(20)
    reader.join()


def test_a_manager_that_comes_back_is_found_again(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    notifier = Notifier(path)
    for _ in range(2):
        notifier.status("nobody hears this")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            notifier.ready("x")
            assert manager.recv(100) == b"READY=1\nSTATUS=x"
        os.unlink(path)
    notifier.close()


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
        notifier.close()


@pytest.mark.parametrize("address", [None, "", "/no/such/socket"])
def test_without_a_manager_every_word_does_nothing(address: str | None) -> None:
    notifier = Notifier(address)
    notifier.ready("x")
    notifier.reloading()
    notifier.stopping("x")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not notifier.store("x", listener)
    # There is nothing to wait for, or no sense in it.
    assert notifier.barrier(60) is not notifier.has_manager
    assert notifier.has_manager is (address == "/no/such/socket")
    notifier.close()


_ALL = {
    "NOTIFY_SOCKET": "/run/systemd/notify",
    "LISTEN_PID": "8",
    "LISTEN_PIDFDID": "1234",
    "LISTEN_FDS": "1",
    "LISTEN_FDNAMES": "http",
    "WATCHDOG_PID": "7",
    "WATCHDOG_USEC": "30000000",
    "FDSTORE": "64",
    "MAINPID": "7",
}


def test_all_that_is_meant_for_us_alone_is_taken_out_of_the_environment() -> None:
    environ = {"PATH": "/bin", **_ALL}
    found = given(environ, 7)
    assert environ == {"PATH": "/bin"}
    assert (found.watchdog_s, found.store_limit, found.sockets) == (30.0, 64, [])
    assert found.warnings == ()
    # Whoever takes our place is told what is meant for it, but not our pid.
    assert found.successor == {
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "WATCHDOG_USEC": "30000000",
        "FDSTORE": "64",
    }
    found.notifier.close()


@pytest.mark.parametrize(
    ("variables", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "2000000"}, 2.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "7"}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0", "WATCHDOG_PID": "7"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_PID": "7"}, None),
    ],
)
def test_a_watchdog_is_fed_where_it_is_meant_for_us(
    variables: dict[str, str], watchdog_s: float | None
) -> None:
    found = given(variables, 7)
    assert (found.watchdog_s, variables) == (watchdog_s, {})
    assert ("WATCHDOG_USEC" in found.successor) is (watchdog_s is not None)


@pytest.mark.parametrize("address", ["vsock:2:1234", "vsock-stream:2:1234", "notify.sock"])
def test_an_address_of_another_kind_is_a_warning(address: str) -> None:
    found = given({"NOTIFY_SOCKET": address}, 7)
    [warning] = found.warnings
    assert warning.startswith(f"NOTIFY_SOCKET={address}: the service manager is told nothing")
    found.notifier.ready("x")


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
        ({"LISTEN_PID": "7", "LISTEN_FDS": "1", "LISTEN_FDNAMES": ""}, [("unknown", 3)]),
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
