"""The listening sockets. Bound once, closed only when the configuration drops them."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import assert_never

from forkd.config.address import Address, FdAddress, TcpAddress, UdpAddress, UnixAddress
from forkd.config.settings import Listen
from forkd.errors import OperationError
from forkd.master.fd_store import Expected, FdStore, Rights
from forkd.system.credentials import Identity, group_id, user_id
from forkd.system.sockets import adopt, bind_udp, listen_tcp, listen_unix, queue_length

log = logging.getLogger("forkd.master")


class Listeners:
    """Open listeners by address."""

    def __init__(
        self,
        inherited: Iterable[tuple[str, int]],
        lent: Mapping[Address, list[socket.socket]] | None = None,
        store: FdStore | None = None,
    ) -> None:
        """lent: those of a master that is to be replaced, which are its own until `keep`.

        store: where the service manager keeps them for the next master.
        """
        self._inherited: dict[str, list[int]] = {}
        """Descriptors that systemd has opened. A name may stand for several."""
        for name, descriptor in inherited:
            self._inherited.setdefault(name, []).append(descriptor)
        self._open: dict[Address, list[socket.socket]] = dict(lent or {})
        self._lent = set(self._open)
        """Addresses that another master serves, too: their files are not ours to remove."""
        self._store = store

    def keep(self, listens: Iterable[Listen]) -> None:
        """What was lent is ours now: close what nobody wants."""
        self._lent.clear()
        wanted = {listen.address for listen in listens}
        self.close([address for address in self._open if address not in wanted])

    def lend(self) -> None:
        """Another master serves on all of them from now on."""
        self._lent.update(self._open)

    def inherited(self) -> list[tuple[str, int]]:
        """The descriptors of systemd that no `listen` takes, by name."""
        return [(name, number) for name, numbers in self._inherited.items() for number in numbers]

    def __iter__(self) -> Iterator[tuple[Address, socket.socket]]:
        for address, sockets in self._open.items():
            for sock in sockets:
                yield address, sock

    def queued(self) -> int:
        """How many connections nobody has accepted yet, as far as the kernel tells."""
        return sum(queue_length(sock) or 0 for _, sock in self)

    def chosen(self, listens: Iterable[Listen]) -> tuple[tuple[Address, socket.socket], ...]:
        wanted = {listen.address for listen in listens}
        return tuple((address, sock) for address, sock in self if address in wanted)

    def open(self, listens: Iterable[Listen], identity: Identity | None) -> list[Address]:
        """Open those that are not open yet: all of them or none. Gives those that were opened.

        Raises OperationError.
        """
        for listen in listens:
            for sock in self._open.get(listen.address, ()):
                if (sock.type == socket.SOCK_DGRAM) != (listen.protocol == "udp"):
                    raise OperationError(
                        f"cannot listen on {listen.address}: it is open for another protocol (stop "
                        "forkd and start it again)"
                    )
        missing = {
            listen.address: _expected(listen, identity)
            for listen in listens
            if listen.address not in self._open
        }
        if self._store is not None:
            self._store.prepare(missing.values())
        opened: list[Address] = []
        try:
            for address, what in missing.items():
                self._open[address] = self._take(what) or self._bind(what)
                opened.append(address)
        except OperationError:
            for address in opened:
                self._close(address, for_good=False)
            raise
        self._changed()
        return opened

    def close(self, addresses: Iterable[Address]) -> None:
        """They are wanted no more."""
        for address in addresses:
            self._close(address, for_good=True)
        self._changed()

    def close_all(self) -> None:
        """This master ends. What the service manager keeps stays as it is, for the next one."""
        for address in list(self._open):
            self._close(address, for_good=False)

    def _close(self, address: Address, *, for_good: bool) -> None:
        sockets = self._open.pop(address, [])
        if isinstance(address, FdAddress):
            # Not ours to end: they are systemd's, and a later reload may want them again.
            self._inherited[address.name] = [sock.detach() for sock in sockets]
            return
        for sock in sockets:
            sock.close()
        kept = not for_good and self._store is not None and self._store.holds(address)
        if sockets and isinstance(address, UnixAddress) and address not in self._lent and not kept:
            _unlink(address.path)

    def _changed(self) -> None:
        if self._store is not None:
            self._store.sync(self)

    def unused(self) -> list[str]:
        """Names of inherited sockets that no `listen` takes."""
        return sorted(self._inherited)

    def _take(self, what: Expected) -> list[socket.socket] | None:
        """From the store of the service manager."""
        sock = self._store.take(what.address) if self._store is not None else None
        return [sock] if sock is not None else None

    def _bind(self, what: Expected) -> list[socket.socket]:
        match what.address:
            case UdpAddress(host, port):
                return [bind_udp(host, port)]
            case TcpAddress(host, port):
                return [listen_tcp(host, port)]
            case UnixAddress(path):
                assert what.rights is not None
                mode, uid, gid = what.rights.mode, what.rights.uid, what.rights.gid
                return [listen_unix(path, mode, uid, gid, what.datagrams)]
            case FdAddress(name):
                if name not in self._inherited:
                    known = ", ".join(self.unused()) or "none"
                    raise OperationError(
                        f"cannot listen on fd:{name}: systemd has passed no socket of that name "
                        f"(FileDescriptorName= in the .socket unit; passed: {known})"
                    )
                return self._adopt(name, what.datagrams)
            case _:
                assert_never(what.address)

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


def _expected(listen: Listen, identity: Identity | None) -> Expected:
    """Raises OperationError where the owner or the group does not exist."""
    rights = None
    if isinstance(listen.address, UnixAddress):
        uid, gid = (identity.uid, identity.gid) if identity is not None else (-1, -1)
        rights = Rights(
            listen.mode,
            user_id(listen.owner) if listen.owner else uid,
            group_id(listen.group) if listen.group else gid,
        )
    return Expected(listen.address, listen.protocol == "udp", rights)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("cannot remove %s: %s", path, error.strerror)
