"""Listeners in the service manager's descriptor store (FileDescriptorStoreMax= in
systemd.service(5)): what is in it survives the master, and with it the kernel's queue.

A descriptor has a name there, from which the next master sees whose listener it is:

    listen-tcp-127.0.0.1-8080       listen-udp-%3A%3A1-53
    listen-unix-/run/forkd.sock-1a2b.17f3c

The last part of a Unix socket's name tells the file that it was bound to, by inode and time of
birth: the path alone may by now lead to another socket, and clients with it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import os
import socket
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from forkd.config.address import Address, FdAddress, TcpAddress, UdpAddress, UnixAddress
from forkd.errors import OperationError
from forkd.system.sockets import adopt
from forkd.system.systemd import Notifier

log = logging.getLogger("forkd.master")

_PREFIXES = ("listen-tcp-", "listen-udp-", "listen-unix-")
_SAFE = "/.,_+=@~[]"
_LONGEST_PATH = 180
"""What leaves room for the rest in the 255 characters of a name."""
_BARRIER_S = 2.0
"""How long the manager may take to close what was dropped, before its address is bound anew."""


@dataclass(frozen=True, slots=True)
class Rights:
    """Of the file of a Unix socket; -1 leaves owner or group as they are."""

    mode: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Expected:
    """What a socket of the store must be, so that a `listen` can take it."""

    address: Address
    datagrams: bool
    rights: Rights | None
    """Only of a Unix socket."""


def split(sockets: Iterable[tuple[str, int]]) -> tuple[list[tuple[str, int]], dict[str, int]]:
    """Tell the sockets of socket units from those that an earlier master has stored."""
    units, stored = [], {}
    for name, descriptor in sockets:
        if name.startswith(_PREFIXES):
            stored[name] = descriptor
        else:
            units.append((name, descriptor))
    return units, stored


class FdStore:
    """What the manager keeps of our listeners. Says nothing until it is told to `speak`."""

    def __init__(
        self,
        notifier: Notifier,
        stored: Mapping[str, int],
        limit: int | None = None,
        lent: Iterable[Address] = (),
    ) -> None:
        """lent: what the master that is to be replaced has in the store."""
        self._notifier = notifier
        self._limit = limit
        self._stored = dict(stored)
        """Descriptors that came from the store and that nobody has looked at yet, by name."""
        self._ready: dict[Address, tuple[str, socket.socket]] = {}
        """Those of them that are what a `listen` asks for."""
        self._held: dict[Address, str] = {}
        """The names of what the manager keeps."""
        if notifier.has_manager:
            self._held = {one: name for one in lent if (name := name_of(one)) is not None}
        self._leaves_room = True
        self._settled = True
        """Whether the manager has closed all that it was told to drop."""
        self._speaks = False
        self.notes: list[tuple[int, str]] = []
        """What belongs in the log, with its level, once there is one."""

    def speak(self, listeners: Iterable[tuple[Address, socket.socket]]) -> None:
        """This process is the one that the manager listens to."""
        self._speaks = True
        self.sync(listeners)

    def holds(self, address: Address) -> bool:
        return address in self._held

    def prepare(self, expected: Iterable[Expected]) -> None:
        """Keep what these can take, and drop all else, so that its addresses can be bound."""
        wanted = {_key(one.address): one for one in expected}
        while self._stored:
            name, descriptor = self._stored.popitem()
            one = wanted.get(_key_of_name(name))
            if one is None:
                os.close(descriptor)
                self._drop(name, "no `listen` names it")
                continue
            try:
                self._ready[one.address] = name, _restored(name, descriptor, one)
            except OperationError as error:
                self._drop(name, str(error))
        if wanted and not self._settled:
            self._settled = self._notifier.barrier(_BARRIER_S)
            if not self._settled:
                log.warning("systemd may still hold sockets that it was told to drop")

    def take(self, address: Address) -> socket.socket | None:
        """The listener of an earlier master, queue and all; None where there is none."""
        name, sock = self._ready.pop(address, ("", None))
        if sock is not None:
            self._held[address] = name
            self.notes.append((logging.INFO, f"{address} is taken over from an earlier master"))
        return sock

    def sync(self, listeners: Iterable[tuple[Address, socket.socket]]) -> None:
        """Have the manager keep these and nothing else."""
        if not self._speaks:
            return
        present = {one: sock for one, sock in listeners if not isinstance(one, FdAddress)}
        for address in self._held.keys() - present.keys():
            self._unstore(self._held.pop(address))
        for address, sock in present.items():
            if address not in self._held:
                self._store(address, sock)

    def _store(self, address: Address, sock: socket.socket) -> None:
        if self._limit is not None and len(self._held) >= self._limit:
            if self._leaves_room:
                self._leaves_room = False
                log.warning(
                    "systemd keeps no more than %d sockets, so %s is closed when the master dies "
                    "(raise FileDescriptorStoreMax=)",
                    self._limit,
                    address,
                )
            return
        name = name_of(address)
        if name is not None and self._notifier.store(name, sock):
            self._held[address] = name

    def _drop(self, name: str, reason: str) -> None:
        self.notes.append((logging.WARNING, f"the stored socket {name} is dropped: {reason}"))
        self._unstore(name)

    def _unstore(self, name: str) -> None:
        self._notifier.unstore(name)
        self._settled = False


def name_of(address: Address) -> str | None:
    """The name of a listener in the store. None: it is not kept there, or its file is gone."""
    if not isinstance(address, UnixAddress):
        return _key(address) or None
    identity = _identity(address.path)
    return f"{_key(address)}-{identity}" if identity else None


def _key(address: Address) -> str:
    """The part of the name that depends on nothing but the address."""
    match address:
        case TcpAddress(host, port):
            return f"listen-tcp-{quote(host, safe=_SAFE)}-{port}"
        case UdpAddress(host, port):
            return f"listen-udp-{quote(host, safe=_SAFE)}-{port}"
        case UnixAddress(path):
            text = quote(os.fsencode(path), safe=_SAFE)
            if len(text) > _LONGEST_PATH:
                text = hashlib.sha256(os.fsencode(path)).hexdigest()
            return f"listen-unix-{text}"
        case FdAddress():
            return ""  # its socket unit keeps it


def _key_of_name(name: str) -> str:
    return name.rpartition("-")[0] if name.startswith("listen-unix-") else name


def _identity(path: str) -> str:
    """Which file this is, for as long as it is there; empty where it is no socket."""
    try:
        found = os.lstat(path)
    except OSError:
        return ""
    # An inode's number is given away again. The time is that of bind(2): nobody writes to a socket.
    return f"{found.st_ino:x}.{found.st_mtime_ns:x}" if stat.S_ISSOCK(found.st_mode) else ""


def _restored(name: str, descriptor: int, expected: Expected) -> socket.socket:
    """The stored socket. Raises OperationError, and closes it, where it is not what is expected."""
    try:
        sock = adopt(descriptor, name, expected.datagrams)
    except OperationError:
        os.close(descriptor)
        raise
    if reason := _why_stale(name, sock, expected):
        sock.close()
        raise OperationError(reason)
    return sock


def _why_stale(name: str, sock: socket.socket, expected: Expected) -> str:
    """Why this socket is not the one that is expected; empty where it is."""
    address = expected.address
    if not _is_bound_to(sock, address):
        return f"it is not bound to {address}"
    if isinstance(address, UnixAddress):
        if name != name_of(address):
            return f"{address.path} is another file by now"
        if expected.rights is not None and not _has(address.path, expected.rights):
            # A master without CAP_FOWNER could not change them: the file is made anew.
            return "its file has another mode, owner or group than the configuration says"
    return ""


def _is_bound_to(sock: socket.socket, address: Address) -> bool:
    bound = sock.getsockname()
    match address:
        case TcpAddress(host, port) | UdpAddress(host, port):
            if sock.family not in (socket.AF_INET, socket.AF_INET6):
                return False
            same = ipaddress.ip_address(bound[0]) == ipaddress.ip_address(host)
            return same and port in (0, bound[1])
        case UnixAddress(path):
            return sock.family == socket.AF_UNIX and os.fsencode(bound) == os.fsencode(path)
        case FdAddress():
            return False


def _has(path: str, rights: Rights) -> bool:
    found = os.lstat(path)
    return (
        stat.S_IMODE(found.st_mode) == rights.mode
        and rights.uid in (-1, found.st_uid)
        and rights.gid in (-1, found.st_gid)
    )
