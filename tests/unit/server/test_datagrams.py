"""Receiving datagrams, without other workers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from forkd.server.datagrams import Datagrams
from forkd.system.sockets import bind_udp
from tests.unit.stepped import SteppedLoop

Send = Callable[[bytes], None]


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    with bind_udp("127.0.0.1", 0) as sock:
        yield sock


@pytest.fixture
def send(bound: socket.socket) -> Iterator[Send]:
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(bound.getsockname())
        yield lambda data: client.sendall(data)


@pytest.mark.parametrize("shared", [False, True])
def test_each_datagram_comes_whole_and_with_its_sender(
    loop: SteppedLoop, bound: socket.socket, send: Send, shared: bool
) -> None:
    received: list[tuple[bytes, object]] = []
    datagrams = Datagrams(loop, bound, lambda *one: received.append(one), lambda: True, shared)
    sizes = [0, 1, 9000, 65_507]
    for size in sizes:
        send(b"x" * size)
    loop.settle()
    assert [len(data) for data, _ in received] == sizes
    assert all(isinstance(client, tuple) and client[0] == "127.0.0.1" for _, client in received)
    datagrams.close(last=True)
    assert loop.watched == set()


def test_a_turn_takes_at_most_sixteen(loop: SteppedLoop, bound: socket.socket, send: Send) -> None:
    received: list[bytes] = []
    datagrams = Datagrams(loop, bound, lambda data, _: received.append(data), lambda: True)
    for number in range(20):
        send(b"%d" % number)
    loop.turn()
    assert len(received) == 16
    loop.settle()
    assert received == [b"%d" % number for number in range(20)]
    datagrams.close(last=True)


def test_without_room_they_stay_in_the_kernel(
    loop: SteppedLoop, bound: socket.socket, send: Send
) -> None:
    received: list[bytes] = []
    room = 2
    datagrams = Datagrams(
        loop, bound, lambda data, _: received.append(data), lambda: len(received) < room
    )
    for number in range(4):
        send(b"%d" % number)
    loop.settle()
    assert (received, loop.watched) == ([b"0", b"1"], set())
    loop.pass_time(1.0)
    assert received == [b"0", b"1"]
    room = 10
    loop.pass_time(1.0)
    assert received == [b"0", b"1", b"2", b"3"]
    datagrams.close(last=True)


@pytest.mark.parametrize(("last", "taken"), [(False, 16), (True, 20)])
def test_who_was_woken_for_a_datagram_takes_it_before_leaving(
    loop: SteppedLoop, bound: socket.socket, send: Send, last: bool, taken: int
) -> None:
    received: list[bytes] = []
    datagrams = Datagrams(loop, bound, lambda data, _: received.append(data), lambda: True)
    for _ in range(20):
        send(b"datagram")
    datagrams.close(last)
    datagrams.close(last)
    assert len(received) == taken
    assert bound.fileno() == -1


def test_one_that_is_paused_may_be_closed(
    loop: SteppedLoop, bound: socket.socket, send: Send
) -> None:
    received: list[bytes] = []
    datagrams = Datagrams(loop, bound, lambda data, _: received.append(data), lambda: False)
    send(b"datagram")
    loop.settle()
    datagrams.close(last=False)
    loop.pass_time(1.0)
    assert received == [b"datagram"]
    assert loop.watched == set()


@pytest.mark.parametrize("room", [True, False])
def test_while_it_is_held_they_stay_in_the_kernel(
    loop: SteppedLoop, bound: socket.socket, send: Send, room: bool
) -> None:
    received: list[bytes] = []
    has_room = room
    datagrams = Datagrams(loop, bound, lambda data, _: received.append(data), lambda: has_room)
    send(b"before")
    loop.settle()
    datagrams.hold()
    has_room = True
    received.clear()
    send(b"meanwhile")
    loop.pass_time(2)
    assert (received, loop.watched) == ([], set())
    datagrams.release()
    loop.settle()
    assert received[-1:] == [b"meanwhile"]
    datagrams.close(last=True)
    assert loop.watched == set()
