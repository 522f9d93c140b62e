"""The descriptor store: names, what a later master takes from it, what it drops, and in what
order the manager is told."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from forkd.config.address import Address, FdAddress, TcpAddress, UdpAddress, UnixAddress
from forkd.config.settings import Listen
from forkd.errors import OperationError
from forkd.master.fd_store import FdStore, name_of, split
from forkd.master.listeners import Listeners
from forkd.system.systemd import Notifier
from tests.system.manager import Manager, manager
from tests.unit.written import written


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Manager]:
    with manager(tmp_path) as made:
        yield made


def listen(address: str, **more: object) -> Listen:
    return written(Listen, address=address, **more)


class Life:
    """The listeners of one master, and its store."""

    def __init__(self, systemd: Manager, *listens: Listen | str, limit: int | None = None) -> None:
        """Started with what the manager keeps from the one before."""
        self.notifier = Notifier(str(systemd.path))
        given = {name: os.dup(descriptor) for name, descriptor in systemd.store.items()}
        self.store = FdStore(self.notifier, given, limit)
        self.listeners = Listeners([], None, self.store)
        self.store.speak(self.listeners)
        if listens:
            self.open(*listens)

    def open(self, *listens: Listen | str) -> None:
        wanted = [listen(one) if isinstance(one, str) else one for one in listens]
        self.listeners.open(wanted, None)

    def sockets(self) -> list[socket.socket]:
        return [sock for _, sock in self.listeners]

    def end(self) -> None:
        """As at the end of a master, and as far as the manager sees it, at kill -9."""
        self.listeners.close_all()
        self.notifier.close()


def told(systemd: Manager, count: int) -> list[str]:
    """The next words of a master, each with the name that it is about."""
    said = [systemd.next() for _ in range(count)]
    return [" ".join([next(iter(one)), one.get("FDNAME", "")]).strip() for one in said]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (TcpAddress("127.0.0.1", 8080), "listen-tcp-127.0.0.1-8080"),
        (TcpAddress("::1", 80), "listen-tcp-%3A%3A1-80"),
        (UdpAddress("0.0.0.0", 53), "listen-udp-0.0.0.0-53"),
        (FdAddress("http"), None),
        (UnixAddress("/no/such/socket"), None),
    ],
)
def test_a_name_says_which_address_it_is(address: Address, name: str | None) -> None:
    assert name_of(address) == name


@pytest.mark.parametrize("file", ["a b%:ü\x01.sock", "ü" * 35, "x" * 60])
def test_any_path_makes_a_name_that_systemd_takes(tmp_path: Path, file: str) -> None:
    # A short way to it: the path of a socket has at most 107 bytes.
    os.symlink(tmp_path, short := f"/tmp/forkd-{os.getpid()}-{id(file)}")
    try:
        path = f"{short}/{file}"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(path)
            name = name_of(UnixAddress(path))
    finally:
        os.unlink(short)
    assert name is not None
    assert name.startswith("listen-unix-")
    assert name.isascii()
    assert name.isprintable()
    assert ":" not in name
    assert len(name) <= 255


def test_sockets_of_units_stay_what_they_are() -> None:
    given = [("http", 3), ("listen-tcp-127.0.0.1-80", 4), ("listen0", 5)]
    units, stored = split(given)
    assert units == [("http", 3), ("listen0", 5)]
    assert stored == {"listen-tcp-127.0.0.1-80": 4}


def test_the_next_master_takes_the_same_sockets(systemd: Manager, tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    addresses = ("127.0.0.1:0", "[::1]:0", f"unix:{path}")
    first = Life(systemd, *addresses)
    words = told(systemd, 3)
    assert words[:2] == ["FDSTORE listen-tcp-127.0.0.1-0", "FDSTORE listen-tcp-%3A%3A1-0"]
    assert words[2].startswith(f"FDSTORE listen-unix-{path}-")
    places, inode = [sock.getsockname() for sock in first.sockets()], os.stat(path).st_ino
    first.end()
    # Whoever comes between two masters waits in the queue.
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        second = Life(systemd, *addresses)
        assert [sock.getsockname() for sock in second.sockets()] == places
        assert os.stat(path).st_ino == inode
        second.sockets()[-1].accept()[0].close()
    assert [level for level, _ in second.store.notes] == [logging.INFO] * 3
    second.listeners.close([address for address, _ in second.listeners])
    removed = {word.replace("FDSTORE ", "FDSTOREREMOVE ") for word in words}
    assert set(told(systemd, 3)) == removed, "what was taken over is not told of again"
    assert systemd.store == {}
    assert not path.exists()
    second.end()


def test_datagrams_are_kept_as_well(systemd: Manager) -> None:
    udp = listen("127.0.0.1:0", protocol="udp", handler="socketserver:DatagramRequestHandler")
    first = Life(systemd, udp)
    assert told(systemd, 1) == ["FDSTORE listen-udp-127.0.0.1-0"]
    place = first.sockets()[0].getsockname()
    first.end()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"meanwhile", place)
        second = Life(systemd, udp)
        assert second.sockets()[0].recv(100, socket.MSG_DONTWAIT) == b"meanwhile"
        assert second.sockets()[0].getblocking(), "those who answer on it count on that"
    second.end()


def test_what_nobody_takes_is_dropped_before_its_address_is_bound(systemd: Manager) -> None:
    first = Life(systemd, "0.0.0.0:0")
    told(systemd, 1)
    port = first.sockets()[0].getsockname()[1]
    first.end()
    systemd.store[f"listen-tcp-0.0.0.0-{port}"] = systemd.store.pop("listen-tcp-0.0.0.0-0")
    second = Life(systemd, f"127.0.0.1:{port}")
    assert told(systemd, 3) == [
        f"FDSTOREREMOVE listen-tcp-0.0.0.0-{port}",
        "BARRIER",
        f"FDSTORE listen-tcp-127.0.0.1-{port}",
    ]
    note = f"the stored socket listen-tcp-0.0.0.0-{port} is dropped: no `listen` names it"
    assert second.store.notes == [(logging.WARNING, note)]
    second.end()


def test_an_address_that_was_dropped_can_be_bound_again(systemd: Manager) -> None:
    life = Life(systemd, "127.0.0.1:0")
    [(address, sock)] = life.listeners
    port = sock.getsockname()[1]
    life.listeners.close([address])
    life.listeners.open([listen(f"127.0.0.1:{port}")], None)
    words = [word.split()[0] for word in told(systemd, 4)]
    assert words == ["FDSTORE", "FDSTOREREMOVE", "BARRIER", "FDSTORE"]
    life.end()


def another_socket(path: Path) -> None:
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


@pytest.mark.parametrize(
    ("meanwhile", "reason"),
    [
        (os.unlink, "is another file by now"),
        (another_socket, "is another file by now"),
        (lambda path: path.chmod(0o600), "its file has another mode, owner or group"),
    ],
)
def test_a_unix_socket_whose_path_leads_elsewhere_is_made_anew(
    systemd: Manager, tmp_path: Path, meanwhile: Callable[[Path], None], reason: str
) -> None:
    path = tmp_path / "http.sock"
    first = Life(systemd, f"unix:{path}")
    first.end()
    told(systemd, 1)
    meanwhile(path)
    second = Life(systemd, f"unix:{path}")
    words = [word.split()[0] for word in told(systemd, 3)]
    assert words == ["FDSTOREREMOVE", "BARRIER", "FDSTORE"]
    [(level, note)] = second.store.notes
    assert (level, reason in note) == (logging.WARNING, True), note
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        second.sockets()[0].accept()[0].close()
    second.end()


def a_file() -> int:
    return os.open(os.devnull, os.O_RDONLY)


def bound_elsewhere() -> int:
    with socket.create_server(("127.0.0.2", 0)) as sock:
        return os.dup(sock.fileno())


def bound_only() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return os.dup(sock.fileno())


def datagrams() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return os.dup(sock.fileno())


@pytest.mark.parametrize("make", [a_file, bound_elsewhere, bound_only, datagrams])
def test_what_is_not_what_its_name_says_is_dropped(
    systemd: Manager, make: Callable[[], int]
) -> None:
    systemd.store["listen-tcp-127.0.0.1-0"] = make()
    before = len(os.listdir("/proc/self/fd"))
    life = Life(systemd, "127.0.0.1:0")
    words = [word.split()[0] for word in told(systemd, 3)]
    assert words == ["FDSTOREREMOVE", "BARRIER", "FDSTORE"]
    assert [level for level, _ in life.store.notes] == [logging.WARNING]
    assert life.sockets()[0].getsockname()[0] == "127.0.0.1"
    life.end()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_start_that_fails_leaves_the_store_to_the_next_one(
    systemd: Manager, tmp_path: Path
) -> None:
    path = tmp_path / "http.sock"
    addresses = ("127.0.0.1:0", f"unix:{path}")
    Life(systemd, *addresses).end()
    told(systemd, 2)
    second = Life(systemd)
    with pytest.raises(OperationError):
        second.open(*addresses, f"unix:{tmp_path}/none/http.sock")
    second.end()
    assert len(systemd.store) == 2
    third = Life(systemd, *addresses)
    assert [level for level, _ in third.store.notes] == [logging.INFO] * 2
    assert len(systemd.log) == 2
    third.end()


def test_no_more_is_stored_than_the_manager_takes(
    systemd: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    life = Life(systemd, "127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0", limit=1)
    assert told(systemd, 1) == ["FDSTORE listen-tcp-127.0.0.1-0"]
    assert caplog.text.count("FileDescriptorStoreMax") == 1
    life.end()


def test_a_master_that_the_manager_does_not_hear_yet_says_nothing(systemd: Manager) -> None:
    first = Life(systemd, "127.0.0.1:0", "127.0.0.2:0")
    told(systemd, 2)
    lent = {address: [sock] for address, sock in first.listeners}
    notifier = Notifier(str(systemd.path))
    store = FdStore(notifier, {}, None, lent)
    listeners = Listeners([], lent, store)
    wanted = [listen("127.0.0.1:0"), listen("127.0.0.3:0")]
    listeners.open(wanted, None)
    listeners.keep(wanted)
    assert len(systemd.log) == 2
    store.speak(listeners)
    assert told(systemd, 2) == [
        "FDSTOREREMOVE listen-tcp-127.0.0.2-0",
        "FDSTORE listen-tcp-127.0.0.3-0",
    ]
    listeners.close_all()
    notifier.close()
    first.notifier.close()
