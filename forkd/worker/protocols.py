"""A worker's side of listeners with a `handler`: who is called, and how much of it is going on."""

from __future__ import annotations

import socket

from forkd.handlers.raw import ConnectionCall, DatagramCall, HandlerClass, Service
from forkd.loop.crew import Crew
from forkd.server.context import Server
from forkd.server.datagrams import Datagrams
from forkd.server.listener import Accepted

_MOST_WAITING = 1024
"""Calls that wait for a thread; above it no datagram is received."""


class Protocols:
    """Connections are among those of the server, so that they are counted and drained with them.
    Datagrams are none; only their calls are counted."""

    def __init__(self, server: Server, crew: Crew) -> None:
        self._server = server
        self._crew = crew
        self.connections = 0
        """Those that a class is called for, or is going to be."""
        self.datagrams = 0
        """The same of datagrams."""

    def acceptor(self, listener: socket.socket, name: str, handler: HandlerClass) -> Accepted:
        """What to do with connections of a listener."""
        service = Service(name, handler, listener)

        def accept(sock: socket.socket, client: object) -> None:
            sock.setblocking(True)
            call = ConnectionCall(service, sock, client, self._on_connection_ended)
            self.connections += 1
            self._server.connections.add(call)
            self._server.tally.connections += 1
            self._crew.submit(call)

        return accept

    def receiver(
        self, listener: socket.socket, name: str, handler: HandlerClass, shared: bool
    ) -> Datagrams:
        """Begin to receive."""
        service = Service(name, handler, listener)

        def receive(data: bytes, client: object) -> None:
            self.datagrams += 1
            self._crew.submit(DatagramCall(service, data, client, self._on_datagram_ended))

        return Datagrams(self._server.loop, listener, receive, self._has_room, shared)

    def _has_room(self) -> bool:
        return self._crew.waiting <= _MOST_WAITING

    def _on_connection_ended(self, call: ConnectionCall) -> None:
        self.connections -= 1
        self._server.connections.discard(call)
        self._server.on_closed()

    def _on_datagram_ended(self) -> None:
        self.datagrams -= 1
        self._server.on_closed()
