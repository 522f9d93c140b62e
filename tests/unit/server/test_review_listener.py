"""Listeners that are closed while clients wait."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator

import pytest

from forkd.server.listener import Listener
from tests.unit.stepped import SteppedLoop


class Broken(socket.socket):
    """A listening socket whose accept fails in a way that does not pass."""

    def _accept(self) -> tuple[int, object]:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        yield sock


@pytest.mark.parametrize(("last", "taken"), [(False, 16), (True, 20)])
def test_who_was_woken_for_a_client_takes_it_before_leaving(
    loop: SteppedLoop, listening: socket.socket, last: bool, taken: int
) -> None:
    accepted: list[socket.socket] = []
    listener = Listener(loop, listening, lambda sock, _address: accepted.append(sock))
    clients = [socket.create_connection(listening.getsockname()) for _ in range(20)]
    listener.close(last)
    assert len(accepted) == taken
    for sock in (*accepted, *clients):
        sock.close()


def test_a_listener_may_be_closed_again(loop: SteppedLoop, listening: socket.socket) -> None:
    listener = Listener(loop, listening, lambda _sock, _address: None)
    listener.close(last=False)
    listener.close(last=True)
    assert loop.watched == set()


def test_accepting_that_fails_for_good_pauses(loop: SteppedLoop) -> None:
    with Broken() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        listener = Listener(loop, sock, lambda _sock, _address: None)
        with socket.create_connection(sock.getsockname()):
            loop.settle()
            assert loop.watched == set()
        listener.close(last=True)
