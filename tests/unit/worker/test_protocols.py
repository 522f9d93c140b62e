"""How a worker counts what classes of socketserver are busy with."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Iterator
from socketserver import BaseRequestHandler

import pytest

from forkd.config.load import load_text
from forkd.figures.counting import Figures
from forkd.handlers.routes import Router
from forkd.loop.crew import Crew, Pace, Stage
from forkd.server.context import Server
from forkd.system.sockets import bind_udp
from forkd.worker.protocols import Protocols
from tests.unit.stepped import SteppedLoop

DEADLINE_S = 20.0
MOST = 1024


class Held:
    """A call that lasts until a test says so, in a thread of its own."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.pace.apart_until = math.inf
        self.release = threading.Event()

    def run(self, _stage: Stage) -> None:
        self.release.wait(DEADLINE_S)


class Quiet(BaseRequestHandler):
    """Answers nothing."""


class Scene:
    """The parts of a worker that matter here, with one thread for calls."""

    def __init__(self, loop: SteppedLoop) -> None:
        settings = load_text("sites: [{routes: {/: {respond: x}}}]", "/forkd.yaml", {})
        self.loop = loop
        self.loop.accept_posts()
        self.server = Server(loop, settings.limits, Router([]), None, Figures())
        self.closed = 0
        self.server.on_closed = self._on_closed
        self.crew = Crew(loop, 1)
        self.protocols = Protocols(self.server, self.crew)
        self.held = Held()
        self.crew.submit(self.held)
        loop.settle()

    def _on_closed(self) -> None:
        self.closed += 1

    def finish(self) -> None:
        """Let the held call end, and all that wait be made."""
        self.held.release.set()
        deadline = time.monotonic() + DEADLINE_S
        while self.crew.busy or self.crew.waiting:
            self.loop.settle()
            assert time.monotonic() < deadline, "the calls do not end"


@pytest.fixture
def scene(loop: SteppedLoop) -> Iterator[Scene]:
    made = Scene(loop)
    yield made
    made.finish()


def test_datagrams_stay_in_the_kernel_while_too_many_calls_wait(
    loop: SteppedLoop, scene: Scene
) -> None:
    answering: set[socket.socket] = set()

    class Seen(BaseRequestHandler):
        def handle(self) -> None:
            answering.add(self.request[1])

    with bind_udp("127.0.0.1", 0) as bound, socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(bound.getsockname())
        number = bound.fileno()
        datagrams = scene.protocols.receiver(bound, "here", Seen, False)
        for _ in range(MOST // 16 + 2):
            for _ in range(16):
                client.send(b"x")
            loop.settle()
        assert (scene.crew.waiting, scene.protocols.datagrams) == (MOST + 1, MOST + 1)
        assert number not in loop.watched
        scene.finish()
        loop.pass_time(1.0)
        assert (scene.protocols.datagrams, scene.closed) == (0, MOST + 32)
        datagrams.close(last=True)
    (sock,) = answering
    sock.close()


def test_connections_count_from_accepting_to_closing(loop: SteppedLoop, scene: Scene) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accept = scene.protocols.acceptor(listener, "here", Quiet)
        with socket.create_connection(listener.getsockname(), timeout=DEADLINE_S) as client:
            ours, address = listener.accept()
            ours.setblocking(False)
            accept(ours, address)
            loop.settle()
            assert ours.getblocking()
            assert (scene.protocols.connections, len(scene.server.connections)) == (1, 1)
            assert scene.server.tally.connections == 1
            scene.finish()
            assert client.recv(1) == b""
            loop.settle()
    assert (scene.protocols.connections, len(scene.server.connections), scene.closed) == (0, 0, 1)
