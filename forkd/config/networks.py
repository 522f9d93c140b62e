"""Which clients `allow` and `deny` mean: addresses, networks, Unix sockets, everybody. Pure.

Names of hosts are refused on purpose: what they mean can change, and to ask for it takes time.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import Enum

from forkd.config.words import describe, text_of

_FORMS = "an address such as 192.0.2.7, a network such as 10.0.0.0/8, unix: or all"
_MAPPED_BITS = 96
"""IPv4 clients of an IPv6 socket are ::ffff:0:0/96 (RFC 4291 section 2.5.5.2)."""


class Family(Enum):
    """What a network is a part of. The value is the number of bits of an address."""

    ALL = -1
    UNIX = 0
    IPV4 = 32
    IPV6 = 128


@dataclass(frozen=True, slots=True)
class Network:
    """Some clients: those whose address begins with the first `length` bits of `first`."""

    family: Family
    first: int = 0
    length: int = 0


ALL = Network(Family.ALL)
UNIX = Network(Family.UNIX)


def parse_network(value: object) -> Network:
    """The network that a text means; IPv4 in the form of IPv6 is IPv4. Raises ValueError."""
    text = text_of(value)
    if text == "all":
        return ALL
    if text == "unix:":
        return UNIX
    if text is None or "%" in text:
        raise ValueError(f"expected {_FORMS}, not {describe(value)}")
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(f"expected {_FORMS}, not {describe(value)}{_advice(text)}") from None
    first, length = int(network.network_address), network.prefixlen
    if network.version == 4:
        return Network(Family.IPV4, first, length)
    if length >= _MAPPED_BITS and (mapped := network.network_address.ipv4_mapped) is not None:
        return Network(Family.IPV4, int(mapped), length - _MAPPED_BITS)
    return Network(Family.IPV6, first, length)


def client_number(address: str) -> tuple[Family, int]:
    """An IP address as the kernel gives it, or nothing for a Unix socket, as bits."""
    if not address:
        return Family.UNIX, 0
    if ":" not in address:
        return Family.IPV4, int(ipaddress.IPv4Address(address))
    # A link-local address names its interface behind a %, which no rule can.
    found = ipaddress.IPv6Address(address.partition("%")[0])
    if (mapped := found.ipv4_mapped) is not None:
        return Family.IPV4, int(mapped)
    return Family.IPV6, int(found)


def _advice(text: str) -> str:
    if text.startswith("unix:"):
        return " (write unix: for the clients of every Unix socket)"
    if text.lower() == "localhost":
        return ' (write 127.0.0.1 and "::1")'
    if text.lower() in ("all", "any", "everybody", "everyone", "*"):
        return " (did you mean all?)"
    try:
        return f" (write {ipaddress.ip_network(text, strict=False)})"
    except ValueError:
        pass
    bare = text.strip("[]") if "]" not in text[:-1] else text.partition("]")[0][1:]
    if ":" in bare and "." in bare and not bare.startswith(":"):
        bare = bare.rpartition(":")[0]  # 192.0.2.7:80
    try:
        return f" (write {ipaddress.ip_address(bare)})"
    except ValueError:
        return ""
