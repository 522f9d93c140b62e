"""Classes of socketserver: which are taken, what they are given, what becomes of their faults."""

from __future__ import annotations

import logging
import math
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from socketserver import BaseRequestHandler, DatagramRequestHandler, StreamRequestHandler

import pytest

from forkd.config.load import load_text
from forkd.errors import OperationError
from forkd.handlers.raw import (
    ConnectionCall,
    DatagramCall,
    HandlerClass,
    Service,
    SocketServer,
    load_class,
    shown,
)
from forkd.loop.crew import Crew, Stage
from tests.unit.stepped import SteppedLoop

CLASSES = """
from socketserver import *
class Stream(StreamRequestHandler): pass
class Datagram(DatagramRequestHandler): pass
class Base(BaseRequestHandler): pass
class Other: pass
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "socket_classes.py").write_text(CLASSES)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("socket_classes", None)


def loaded(protocol: str, name: str) -> HandlerClass:
    listen = (
        f"listen: [127.0.0.1:1, {{address: 127.0.0.1:2, protocol: {protocol}, "
        f"handler: 'socket_classes:{name}'}}]\nsites: [{{routes: {{/: {{respond: x}}}}}}]"
    )
    return load_class(load_text(listen, "/forkd.yaml", {}).listen[1], "listen.1.handler")


@pytest.mark.parametrize(
    ("protocol", "name"), [("tcp", "Stream"), ("tcp", "Base"), ("udp", "Datagram"), ("udp", "Base")]
)
def test_a_class_for_the_protocol_is_taken(protocol: str, name: str) -> None:
    assert loaded(protocol, name).__name__ == name


@pytest.mark.parametrize(
    ("protocol", "name", "wanted"),
    [
        ("tcp", "Datagram", "StreamRequestHandler"),
        ("udp", "Stream", "DatagramRequestHandler"),
        ("tcp", "Other", "StreamRequestHandler"),
        ("udp", "Other", "DatagramRequestHandler"),
        ("tcp", "Other.mro", "StreamRequestHandler"),
    ],
)
def test_any_other_is_refused_in_one_line(protocol: str, name: str, wanted: str) -> None:
    with pytest.raises(OperationError) as caught:
        loaded(protocol, name)
    assert str(caught.value) == (
        f"listen.1.handler: socket_classes:{name} is no class for {protocol} "
        f"(derive it from socketserver.{wanted})"
    )


def test_a_class_that_is_not_there_is_named_with_its_place() -> None:
    with pytest.raises(OperationError, match=r"^listen\.1\.handler: there is no Missing in "):
        loaded("tcp", "Missing")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def accepted(listener: socket.socket) -> tuple[socket.socket, socket.socket, object]:
    """The client's end, ours, and the client's address."""
    client = socket.create_connection(listener.getsockname(), timeout=10)
    ours, address = listener.accept()
    return client, ours, address


def made(loop: SteppedLoop, call: ConnectionCall | DatagramCall) -> None:
    """Make a call as the crew does, but in this thread."""
    crew = Crew(loop, 1)
    crew.offer(call)
    Stage(crew, call, holds_loop=True).perform()


class Echo(StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.readline())


def test_a_connection_is_answered_closed_and_told_of(
    loop: SteppedLoop, listener: socket.socket
) -> None:
    client, ours, address = accepted(listener)
    ended: list[ConnectionCall] = []
    service = Service("here", Echo, listener)
    call = ConnectionCall(service, ours, address, ended.append)
    with client:
        client.sendall(b"hello\n")
        made(loop, call)
        assert client.recv(100) == b"hello\n"
        assert client.recv(100) == b""
    assert (ours.fileno(), ended) == (-1, [call])
    assert service.pace.apart_until == math.inf


def test_one_that_was_reset_while_it_waited_is_not_called(
    loop: SteppedLoop, listener: socket.socket
) -> None:
    client, ours, address = accepted(listener)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()

    class Never(BaseRequestHandler):
        def handle(self) -> None:
            raise AssertionError("called")

    ended: list[ConnectionCall] = []
    made(loop, ConnectionCall(Service("here", Never, listener), ours, address, ended.append))
    assert (ours.fileno(), len(ended)) == (-1, 1)


def test_one_that_only_ended_what_it_sends_gets_its_answer(
    loop: SteppedLoop, listener: socket.socket
) -> None:
    client, ours, address = accepted(listener)
    with client:
        client.shutdown(socket.SHUT_WR)

        class Greeting(StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"hello")

        service = Service("here", Greeting, listener)
        made(loop, ConnectionCall(service, ours, address, lambda _call: None))
        assert client.recv(100) == b"hello"


class Raising(StreamRequestHandler):
    fault: BaseException

    def handle(self) -> None:
        raise self.fault


@pytest.mark.parametrize(
    ("fault", "timeout", "line"),
    [
        (ValueError("no"), None, "ERROR failed"),
        (SystemExit(3), None, "ERROR failed"),
        (TimeoutError("slow"), None, "ERROR failed"),
        (TimeoutError("slow"), 5, "INFO the client took longer than the timeout of the class"),
        (BrokenPipeError("gone"), None, "INFO the client is gone: gone"),
    ],
)
def test_a_fault_ends_its_connection_and_is_logged(
    loop: SteppedLoop,
    listener: socket.socket,
    caplog: pytest.LogCaptureFixture,
    fault: BaseException,
    timeout: float | None,
    line: str,
) -> None:
    handler = type("Raising", (Raising,), {"fault": fault, "timeout": timeout})
    client, ours, address = accepted(listener)
    with client, caplog.at_level(logging.INFO):
        service = Service("127.0.0.1:8765", handler, listener)
        made(loop, ConnectionCall(service, ours, address, lambda _call: None))
        assert client.recv(100) == b""
        (record,) = caplog.records
        level, _, words = line.partition(" ")
        assert (record.levelname, words in record.getMessage()) == (level, True)
        place = f"listener=127.0.0.1:8765 client={shown(client.getsockname())}"
        assert record.getMessage().endswith(place)
        assert (record.exc_info is not None) == (level == "ERROR")


def test_what_is_cut_off_sees_the_end(listener: socket.socket) -> None:
    client, ours, address = accepted(listener)
    with client, ours:
        call = ConnectionCall(Service("here", Echo, listener), ours, address, lambda _call: None)
        call.finish()
        assert ours.recv(100) == b""
        assert client.recv(100) == b""
        ours.close()
        call.finish()


class Upper(DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.read().upper())


def test_a_datagram_is_answered_on_the_socket_it_came_on(loop: SteppedLoop) -> None:
    ended: list[bool] = []
    with (
        socket.socket(type=socket.SOCK_DGRAM) as bound,
        socket.socket(type=socket.SOCK_DGRAM) as client,
    ):
        for sock in (bound, client):
            sock.bind(("127.0.0.1", 0))
        service = Service("here", Upper, bound)
        try:
            where = client.getsockname()
            made(loop, DatagramCall(service, b"hello", where, lambda: ended.append(True)))
            assert client.recvfrom(100) == (b"HELLO", bound.getsockname())
        finally:
            assert service.server.socket is not None
            service.server.socket.close()
    assert ended == [True]
    assert service.pace.apart_until == 0


def test_a_client_without_a_name_costs_a_line(
    loop: SteppedLoop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound, caplog.at_level(logging.INFO):
        bound.bind(str(tmp_path / "s"))
        service = Service("unix:s", Upper, bound)
        made(loop, DatagramCall(service, b"hello", None, lambda: None))
        assert service.server.socket is not None
        service.server.socket.close()
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        (
            "INFO",
            "a client without a name of its own cannot be answered listener=unix:s client=unix:",
        )
    ]


def test_the_server_of_a_class_tells_of_its_listener(listener: socket.socket) -> None:
    server = SocketServer(listener, Echo)
    assert server.server_address == listener.getsockname()
    assert (server.server_name, server.server_port) == listener.getsockname()
    assert (server.RequestHandlerClass, server.socket, server.timeout) == (Echo, None, None)
    assert (server.address_family, server.socket_type) == (socket.AF_INET, socket.SOCK_STREAM)


@pytest.mark.parametrize("name", ["serve_forever", "handle_request", "shutdown", "server_close"])
def test_what_would_run_or_end_the_listener_says_so(listener: socket.socket, name: str) -> None:
    with pytest.raises(RuntimeError, match=rf"server\.{name}\(\) is not available"):
        getattr(SocketServer(listener, Echo), name)()


@pytest.mark.parametrize(
    ("client", "text"),
    [
        (("127.0.0.1", 5), "127.0.0.1:5"),
        (("::1", 5, 0, 0), "[::1]:5"),
        ("", "unix:"),
        (None, "unix:"),
        ("/run/c", "unix:/run/c"),
        (b"\0name", "unix:@name"),
    ],
)
def test_clients_are_shown_as_addresses_are_written(client: object, text: str) -> None:
    assert shown(client) == text
