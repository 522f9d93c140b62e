"""Listeners with a `handler`: classes of socketserver, an instance per connection or datagram.

The classes are used as they are. What socketserver's own servers do around them is here: the
request is handed in, faults are logged, the connection is shut down and closed. Accepting and
receiving are not.
"""

from __future__ import annotations

import logging
import math
import socket
import socketserver
from collections.abc import Callable
from functools import partial
from typing import Any

from forkd.config.settings import Listen
from forkd.errors import OperationError
from forkd.handlers.imports import load
from forkd.handlers.pool_server import PoolServer
from forkd.loop.crew import Pace, Stage

log = logging.getLogger("forkd.raw")

HandlerClass = type[socketserver.BaseRequestHandler]

_WANTED = {"tcp": "StreamRequestHandler", "udp": "DatagramRequestHandler"}
_OF_THE_OTHER: dict[str, HandlerClass] = {
    "tcp": socketserver.DatagramRequestHandler,
    "udp": socketserver.StreamRequestHandler,
}


def load_class(listen: Listen, key: str) -> HandlerClass:
    """The class of a listener that has one; key: where it is written. Raises OperationError."""
    assert listen.handler is not None
    found = load(listen.handler, key)
    if (
        not isinstance(found, type)
        or not issubclass(found, socketserver.BaseRequestHandler)
        or issubclass(found, _OF_THE_OTHER[listen.protocol])
    ):
        raise OperationError(
            f"{key}: {listen.handler} is no class for {listen.protocol} "
            f"(derive it from socketserver.{_WANTED[listen.protocol]})"
        )
    return found


class SocketServer(PoolServer):
    """One for each listener and worker, with what classes read of TCPServer and UDPServer."""

    request_queue_size = socket.SOMAXCONN
    max_packet_size = 65535

    def __init__(self, listener: socket.socket, handler_class: HandlerClass) -> None:
        self.server_address: Any = listener.getsockname()
        self.address_family = listener.family
        self.socket_type = listener.type
        self.RequestHandlerClass = handler_class
        # Datagrams are answered on the socket they came on; nobody but the pool accepts.
        self.socket = listener.dup() if listener.type == socket.SOCK_DGRAM else None
        if isinstance(self.server_address, tuple):
            # What http.server.HTTPServer has, without asking a name server.
            self.server_name, self.server_port = self.server_address[:2]

    def shutdown_request(self, request: socket.socket) -> None:
        """End what is sent, so that the client sees the end, then close."""
        try:
            request.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the client, or the class, was first
        self.close_request(request)

    def close_request(self, request: socket.socket) -> None:
        request.close()


class Service:
    """The class of one listener, and what all its calls share."""

    def __init__(self, name: str, handler_class: HandlerClass, listener: socket.socket) -> None:
        """name: the listener's, for the log."""
        self.server = SocketServer(listener, handler_class)
        self._name = name
        self._class = handler_class
        self.pace = Pace()
        if listener.type != socket.SOCK_DGRAM:
            # Whoever speaks with a client waits for it.
            self.pace.apart_until = math.inf

    def call(self, request: object, client: object) -> None:
        """Have the class do all it does for one request. Whatever it raises ends here."""
        try:
            # The stubs know of socketserver's own servers only.
            self._class(request, client, self.server)  # type: ignore[arg-type]
        except BaseException as error:  # sys.exit() in it ends this request, no more
            if reason := self._ordinary(error, client):
                log.info("%s listener=%s client=%s", reason, self._name, shown(client))
            else:
                name = f"{self._class.__module__}:{self._class.__qualname__}"
                log.exception("%s failed listener=%s client=%s", name, self._name, shown(client))

    def _ordinary(self, error: BaseException, client: object) -> str | None:
        """What to say of a fault that is the client's; None for one of the class."""
        if isinstance(error, ConnectionError):
            return f"the client is gone: {error}"
        if isinstance(error, TimeoutError) and getattr(self._class, "timeout", None) is not None:
            return f"the client took longer than the timeout of the class: {error}"
        is_nameless = self.server.socket is not None and not client
        if is_nameless and isinstance(error, (TypeError, OSError)):
            return "a client without a name of its own cannot be answered"
        return None


def shown(client: object) -> str:
    """A client's address in a log line. Clients of Unix sockets mostly have none."""
    if isinstance(client, tuple):
        host, port = client[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if isinstance(client, bytes):
        return "unix:@" + client[1:].decode(errors="backslashreplace")
    return f"unix:{client or ''}"


class ConnectionCall:
    """The call for one connection; for the worker, the connection itself."""

    def __init__(
        self,
        service: Service,
        sock: socket.socket,
        client: object,
        ended: Callable[[ConnectionCall], None],
    ) -> None:
        """ended: called in the loop when the connection is closed."""
        self.pace = service.pace
        self._service = service
        self._sock = sock
        self._client = client
        self._ended = ended

    def run(self, stage: Stage) -> None:
        try:
            if not self._is_reset():
                self._service.call(self._sock, self._client)
        finally:
            self._service.server.shutdown_request(self._sock)
            stage.do(partial(self._ended, self))

    def _is_reset(self) -> bool:
        """Whether the client left while the connection waited for a thread. One that has only ended
        what it sends may still want an answer."""
        try:
            self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return False

    def drain(self) -> None:
        """The worker leaves: what is under way may end."""

    def finish(self) -> None:
        """Let the class find that nothing more comes and nothing more goes."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is closed already


class DatagramCall:
    """The call for one datagram."""

    def __init__(
        self, service: Service, data: bytes, client: object, ended: Callable[[], None]
    ) -> None:
        """ended: called in the loop when the class is done."""
        self.pace = service.pace
        self._service = service
        self._data = data
        self._client = client
        self._ended = ended

    def run(self, stage: Stage) -> None:
        try:
            self._service.call((self._data, self._service.server.socket), self._client)
        finally:
            stage.do(self._ended)
