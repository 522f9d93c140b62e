"""Orders where the spawners are slow, full, or gone."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator

import pytest

from forkd.handlers.programs import Ended, Program
from forkd.spawner.client import Order, SpawnerClient
from forkd.spawner.orders import Started, encode_fate
from forkd.system import messages
from tests.unit.stepped import SteppedLoop

PROGRAM = Program((b"/bin/true",), {b"A": b"x" * 1000}, b"/")


class Listening:
    """A watcher that writes down what it is told and closes nothing by itself."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def started(self, pid: int) -> None:
        self.told.append(pid)

    def not_started(self, status: int, reason: str) -> None:
        self.told.append((status, reason))

    def lasts(self) -> None:
        self.told.append("lasts")

    def ended(self, end: Ended | None) -> None:
        self.told.append(end)


class Crowded(socket.socket):
    """A socket with room, of a user who has too many descriptors on their way (unix(7))."""

    full = True

    def sendmsg(self, *_arguments: object) -> int:
        error = errno.EAGAIN if self.full else errno.ETOOMANYREFS
        raise OSError(error, os.strerror(error))


@pytest.fixture
def orders() -> Iterator[tuple[socket.socket, socket.socket]]:
    ends = messages.message_pair()
    yield ends
    for end in ends:
        end.close()


def launch(client: SpawnerClient, watcher: Listening) -> Order:
    with open(os.devnull, "rb") as null:
        return client.launch(PROGRAM, (null.fileno(),) * 3, watcher)


def test_an_order_that_was_given_up_while_it_waited_holds_nothing(
    loop: SteppedLoop, orders: tuple[socket.socket, socket.socket]
) -> None:
    client = SpawnerClient(loop, orders[0], lambda: None)
    given: list[Order] = []
    before = open_descriptors()
    while orders[0].fileno() not in loop.watched:
        given.append(launch(client, Listening()))
    given += [launch(client, Listening()) for _ in range(20)]
    for order in given:
        order.close()
    assert open_descriptors() == before
    assert not client.busy


def test_too_many_descriptors_on_their_way_do_not_make_the_loop_spin(loop: SteppedLoop) -> None:
    ours, theirs = messages.message_pair()
    with Crowded(fileno=ours.detach()) as crowded, theirs:
        client = SpawnerClient(loop, crowded, lambda: None)
        order = launch(client, Listening())
        crowded.full = False
        loop.settle()
        assert crowded.fileno() not in loop.watched
        order.close()


def test_a_spawner_that_dies_after_the_end_was_told_does_not_make_the_loop_spin(
    loop: SteppedLoop, orders: tuple[socket.socket, socket.socket]
) -> None:
    watcher = Listening()
    client = SpawnerClient(loop, orders[0], lambda: None)
    order = launch(client, watcher)
    message = messages.receive(orders[1])
    assert message is not None
    reply = socket.socket(fileno=message.descriptors[0])
    for descriptor in message.descriptors[1:]:
        os.close(descriptor)
    end = Ended(0, 0.0, 0)
    messages.send(reply, encode_fate(Started(1 << 30)))
    messages.send(reply, encode_fate(end))
    reply.close()
    order.look()
    loop.settle()
    assert watcher.told == [1 << 30, end]
    order.terminate()
    order.close()
    assert loop.watched == set()


def test_who_lasts_is_told_so_also_where_its_end_cannot_be_waited_for(
    loop: SteppedLoop,
    orders: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Or nobody would look at its time."""
    watcher = Listening()
    client = SpawnerClient(loop, orders[0], lambda: None)
    order = launch(client, watcher)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(loop, "watch", full)
    loop.pass_time(1)
    monkeypatch.undo()
    assert watcher.told == ["lasts"]
    assert caplog.messages == ["a program's end cannot be waited for: No space left on device"]
    message = messages.receive(orders[1])
    assert message is not None
    os.write(message.descriptors[0], b"\0".join(encode_fate(Ended(0, 0.0, 0))))
    loop.settle()
    assert watcher.told == ["lasts", Ended(0, 0.0, 0)], "it is looked at now and then"
    order.close()
    for descriptor in message.descriptors:
        os.close(descriptor)


def test_an_order_that_is_too_large_is_refused_also_where_it_had_to_wait(
    loop: SteppedLoop, orders: tuple[socket.socket, socket.socket]
) -> None:
    client = SpawnerClient(loop, orders[0], lambda: None)
    given: list[Order] = []
    while orders[0].fileno() not in loop.watched:
        given.append(launch(client, Listening()))
    watcher = Listening()
    large = Program((b"/bin/true",), {b"A": b"x" * messages.MAX_SIZE}, b"/")
    given.append(client.launch(large, (None, 1, 2), watcher))
    while True:
        try:
            message = messages.receive(orders[1])
        except BlockingIOError:
            break
        assert message is not None
        for descriptor in message.descriptors:
            os.close(descriptor)
        loop.settle()
    (told,) = watcher.told
    assert isinstance(told, tuple)
    assert told[0] == 500
    assert "environment" in told[1]
    for order in given:
        order.close()
    assert not client.busy


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
