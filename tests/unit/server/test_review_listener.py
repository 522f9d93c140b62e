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


def test_a_listener_that_is_held_leaves_everybody_in_the_queue(
    loop: SteppedLoop, listening: socket.socket
) -> None:
    accepted: list[socket.socket] = []
    listener = Listener(loop, listening, lambda sock, _address: accepted.append(sock))
    listener.hold()
    clients = [socket.create_connection(listening.getsockname()) for _ in range(3)]
    listener.resume()  # as when a connection has closed
    loop.pass_time(2)
    assert (accepted, loop.watched) == ([], set())
    listener.release()
    loop.settle()
    assert len(accepted) == 3
    listener.close(last=False)
    for sock in (*accepted, *clients):
        sock.close()


@pytest.mark.parametrize(("last", "taken"), [(False, 0), (True, 3)])
def test_only_at_a_stop_those_are_taken_that_a_held_listener_left(
    loop: SteppedLoop, listening: socket.socket, last: bool, taken: int
) -> None:
    accepted: list[socket.socket] = []
    listener = Listener(loop, listening, lambda sock, _address: accepted.append(sock))
    listener.hold()
    clients = [socket.create_connection(listening.getsockname()) for _ in range(3)]
    listener.close(last)
    listener.release()
    assert (len(accepted), loop.watched) == (taken, set())
    for sock in (*accepted, *clients):
        sock.close()
