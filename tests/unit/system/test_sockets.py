"""Listening sockets."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from forkd.errors import OperationError
from forkd.system.sockets import (
    adopt,
    answers,
    bind_udp,
    listen_tcp,
    listen_unix,
    queue_length,
)


def test_a_unix_socket_gets_the_rights_that_are_asked_for(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with listen_unix(path, 0o660, -1, -1) as sock:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
        assert not sock.getblocking()
        assert answers(path)
        assert queue_length(sock) is None


def test_binding_leaves_the_umask_as_it_was(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        listen_unix(str(tmp_path / "s"), 0o600, -1, -1).close()
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    listen_unix(path, 0o600, -1, -1).close()
    assert os.path.exists(path)
    assert not answers(path)
    with listen_unix(path, 0o600, -1, -1):
        assert answers(path)


def test_a_live_socket_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with listen_unix(path, 0o600, -1, -1):
        with pytest.raises(OperationError, match=f"unix:{path}: another process listens there"):
            listen_unix(path, 0o600, -1, -1)
        assert answers(path)


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(OperationError, match="a file that is no socket is there"):
        listen_unix(str(path), 0o600, -1, -1)
    assert path.read_text() == "data"


def test_a_link_in_the_socket_s_place_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("data")
    (tmp_path / "s").symlink_to(target)
    with pytest.raises(OperationError, match="no socket"):
        listen_unix(str(tmp_path / "s"), 0o600, -1, -1)
    assert target.read_text() == "data"


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match=f"there is no directory {tmp_path}/none"):
        listen_unix(str(tmp_path / "none" / "s"), 0o600, -1, -1)


def test_nobody_answers_where_nothing_is(tmp_path: Path) -> None:
    assert not answers(str(tmp_path / "none"))


def test_a_port_that_is_taken_is_named_with_the_way_to_find_its_owner() -> None:
    with listen_tcp("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(OperationError) as caught:
            listen_tcp("127.0.0.1", port)
    text = str(caught.value)
    assert text.startswith(f"cannot listen on 127.0.0.1:{port}: the port is taken")
    assert f"sport = :{port}" in text


def test_an_address_of_another_machine_is_said_to_be_one() -> None:
    with pytest.raises(OperationError, match="this machine does not have that address"):
        listen_tcp("192.0.2.1", 0)


def test_the_queue_of_a_tcp_listener_is_counted() -> None:
    with listen_tcp("127.0.0.1", 0) as sock:
        assert queue_length(sock) == 0
        with (
            socket.create_connection(sock.getsockname()),
            socket.create_connection(sock.getsockname()),
        ):
            assert queue_length(sock) == 2
            sock.accept()[0].close()
            assert queue_length(sock) == 1


def test_a_listener_of_another_process_is_adopted() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        with adopt(os.dup(sock.fileno()), "http") as adopted:
            assert adopted.getsockname() == sock.getsockname()
            assert not adopted.getblocking()


def test_what_is_no_listener_is_not_adopted_and_stays_open(tmp_path: Path) -> None:
    with socket.socket() as sock:
        with pytest.raises(OperationError, match="fd:http is not a listening stream socket"):
            adopt(sock.fileno(), "http")
        assert sock.getsockname() is not None
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OperationError, match="fd:http is not usable"):
            adopt(descriptor, "http")
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_socket_for_datagrams_has_its_port_alone(host: str) -> None:
    with bind_udp(host, 0) as sock, socket.socket(sock.family, socket.SOCK_DGRAM) as client:
        port = sock.getsockname()[1]
        client.sendto(b"datagram", (host, port))
        assert sock.recvfrom(100)[0] == b"datagram"
        assert sock.getblocking()
        assert queue_length(sock) is None
        with pytest.raises(OperationError, match=rf"the port is taken \(see: ss -lunp .*:{port}"):
            bind_udp(host, port)


def test_a_unix_socket_for_datagrams_is_replaced_when_nobody_receives(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with listen_unix(path, 0o600, -1, -1, datagrams=True) as sock:
        with pytest.raises(OperationError, match="another process listens there"):
            listen_unix(path, 0o600, -1, -1, datagrams=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(b"datagram", path)
        assert sock.recv(100) == b"datagram"
        assert (Path(path).stat().st_mode & 0o777, sock.getblocking()) == (0o600, True)
    listen_unix(path, 0o600, -1, -1, datagrams=True).close()


def test_a_socket_for_datagrams_is_adopted_as_one_and_as_nothing_else() -> None:
    with bind_udp("127.0.0.1", 0) as sock, socket.socket() as stream:
        sock.setblocking(False)
        with adopt(os.dup(sock.fileno()), "clock", datagrams=True) as adopted:
            assert adopted.getsockname() == sock.getsockname()
            assert adopted.getblocking()
        with pytest.raises(OperationError, match="fd:clock is not a listening stream socket"):
            adopt(sock.fileno(), "clock")
        with pytest.raises(OperationError, match="fd:clock is not a datagram socket"):
            adopt(stream.fileno(), "clock", datagrams=True)
