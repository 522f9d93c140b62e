"""The listening sockets. Bound once, closed only when the configuration drops them."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable, Iterator
from typing import assert_never

from forkd.config.address import Address, FdAddress, TcpAddress, UdpAddress, UnixAddress
from forkd.config.model import Listen
from forkd.errors import OperationError
from forkd.system.credentials import Identity, group_id, user_id
from forkd.system.sockets import adopt, bind_udp, listen_tcp, listen_unix

log = logging.getLogger("forkd.master")


class Listeners:
    """Open listeners by address."""

    def __init__(self, inherited: Iterable[tuple[str, int]]) -> None:
        self._inherited: dict[str, list[int]] = {}
        """Descriptors that systemd has opened. A name may stand for several."""
        for name, descriptor in inherited:
            self._inherited.setdefault(name, []).append(descriptor)
        self._open: dict[Address, list[socket.socket]] = {}

    def __iter__(self) -> Iterator[tuple[Address, socket.socket]]:
        for address, sockets in self._open.items():
            for sock in sockets:
                yield address, sock

    def chosen(self, listens: Iterable[Listen]) -> tuple[tuple[Address, socket.socket], ...]:
        wanted = {listen.address for listen in listens}
        return tuple((address, sock) for address, sock in self if address in wanted)

    def open(self, listens: Iterable[Listen], identity: Identity | None) -> list[Address]:
        """Open those that are not open yet: all of them or none. Gives those that were opened.

        Raises OperationError.
        """
        opened: list[Address] = []
        try:
            for listen in listens:
                if listen.address not in self._open:
                    self._open[listen.address] = self._bind(listen, identity)
                    opened.append(listen.address)
        except OperationError:
            self.close(opened)
            raise
        return opened

    def close(self, addresses: Iterable[Address]) -> None:
        for address in addresses:
            sockets = self._open.pop(address, [])
            if isinstance(address, FdAddress):
                # Not ours to end: they are systemd's, and a later reload may want them again.
                self._inherited[address.name] = [sock.detach() for sock in sockets]
                continue
            for sock in sockets:
                sock.close()
            if sockets and isinstance(address, UnixAddress):
                _unlink(address.path)

    def close_all(self) -> None:
        self.close(list(self._open))

    def unused(self) -> list[str]:
        """Names of inherited sockets that no `listen` takes."""
        return sorted(self._inherited)

    def _bind(self, listen: Listen, identity: Identity | None) -> list[socket.socket]:
        datagrams = listen.protocol == "udp"
        match listen.address:
            case UdpAddress(host, port):
                return [bind_udp(host, port)]
            case TcpAddress(host, port):
                return [listen_tcp(host, port)]
            case UnixAddress(path):
                own = identity or None
                uid = user_id(listen.owner) if listen.owner else own.uid if own else -1
                gid = group_id(listen.group) if listen.group else own.gid if own else -1
                return [listen_unix(path, listen.mode, uid, gid, datagrams)]
            case FdAddress(name):
                if name not in self._inherited:
                    known = ", ".join(self.unused()) or "none"
                    raise OperationError(
                        f"cannot listen on fd:{name}: systemd has passed no socket of that name "
                        f"(FileDescriptorName= in the .socket unit; passed: {known})"
                    )
                return self._adopt(name, datagrams)
            case _:
                assert_never(listen.address)

    def _adopt(self, name: str, datagrams: bool) -> list[socket.socket]:
        """All sockets of a name, or none: what is refused stays open for a later reload."""
        sockets: list[socket.socket] = []
        try:
            for descriptor in self._inherited[name]:
                sockets.append(adopt(descriptor, name, datagrams))  # noqa: PERF401 kept so far
        except OperationError:
            for sock in sockets:
                sock.detach()
            raise
        del self._inherited[name]
        return sockets


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("cannot remove %s: %s", path, error.strerror)
