"""What a master hands to the program that is to replace it: open sockets, by descriptor and name.

It travels in one variable of the environment, as JSON. The descriptors keep their numbers.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import asdict, dataclass

from forkd.channel import Channel
from forkd.config.address import Address, FdAddress, TcpAddress, UdpAddress, UnixAddress
from forkd.errors import OperationError

VARIABLE = "FORKD_UPGRADE"

_KINDS: Mapping[str, type[Address]] = {
    kind.__name__: kind for kind in (TcpAddress, UdpAddress, UnixAddress, FdAddress)
}


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What the new master finds at its start."""

    channel: Channel
    """To the old one."""
    listeners: dict[Address, list[socket.socket]]
    unused: list[tuple[str, int]]
    """Sockets of systemd that no `listen` takes, by name."""
    generation: int
    """The number of the last generation: the new one counts on from there."""
    in_service: bool
    """Or the host is taken out of service (`forkd drain`), and stays so."""


def describe(
    channel: int,
    listeners: Iterable[tuple[Address, socket.socket]],
    unused: Iterable[tuple[str, int]],
    generation: int,
    *,
    in_service: bool,
) -> tuple[str, list[int]]:
    """The value of the variable, and the descriptors that must be passed on."""
    entries = [
        {"kind": type(address).__name__, "address": asdict(address), "descriptor": sock.fileno()}
        for address, sock in listeners
    ]
    left = [[name, descriptor] for name, descriptor in unused]
    descriptors = [channel, *(int(str(entry["descriptor"])) for entry in entries)]
    descriptors += [descriptor for _, descriptor in unused]
    told = {
        "channel": channel,
        "listeners": entries,
        "unused": left,
        "generation": generation,
        "in_service": in_service,
    }
    return json.dumps(told), descriptors


def inherited(environ: MutableMapping[str, str]) -> Inheritance | None:
    """What the old master left; None where this is an ordinary start.

    Takes the variable out of the environment. Raises OperationError where it makes no sense.
    """
    text = environ.pop(VARIABLE, None)
    if text is None:
        return None
    try:
        found = json.loads(text)
        channel = Channel(_socket(found["channel"]))
        listeners: dict[Address, list[socket.socket]] = {}
        for entry in found["listeners"]:
            address = _KINDS[entry["kind"]](**entry["address"])
            listeners.setdefault(address, []).append(_socket(entry["descriptor"]))
        unused = [(str(name), int(descriptor)) for name, descriptor in found["unused"]]
        # A forkd that says nothing about it brought the host back with each upgrade.
        in_service = bool(found.get("in_service", True))
        return Inheritance(channel, listeners, unused, int(found["generation"]), in_service)
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise OperationError(
            f"{VARIABLE} is meant for a forkd that replaces another one, and what it says cannot "
            f"be used ({error}): start forkd without it"
        ) from None


def _socket(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    sock = socket.socket(fileno=descriptor)
    # What Python remembers of it. The flag itself is shared with the old master, and stays.
    sock.settimeout(None if os.get_blocking(descriptor) else 0.0)
    return sock
