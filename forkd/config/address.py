"""Addresses that a listener can have: text to frozen values and back.

Nothing is resolved and nothing is opened. Host names are refused on purpose: what a name means can
change between a check and a start, and it may mean several addresses.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass

from forkd.config.words import describe

MAX_UNIX_PATH = 107
"""Bytes of a path that fit sockaddr_un with its closing NUL, unix(7)."""

_FD_NAME = re.compile(r"[!-9;-~]{1,255}")
_FORMS = "an address such as 127.0.0.1:8080, [::1]:8080, *:8080, unix:/path or fd:NAME"


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """An IP address and a port; port 0 lets the kernel pick one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UdpAddress:
    """The same for datagrams: UDP has ports of its own."""

    host: str
    port: int

    def __str__(self) -> str:
        return str(TcpAddress(self.host, self.port))


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A unix socket by its path, absolute where it came from a file."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class FdAddress:
    """A socket that systemd hands over, by its FileDescriptorName= (sd_listen_fds(3))."""

    name: str

    def __str__(self) -> str:
        return f"fd:{self.name}"


Address = TcpAddress | UdpAddress | UnixAddress | FdAddress


def parse_address(text: str, root: str) -> Address:
    """The address that `text` means. A unix path is taken relative to `root`.

    Raises ValueError with what was expected.
    """
    if text.startswith("unix:"):
        return _parse_unix(text.removeprefix("unix:"), root)
    if text.startswith("fd:"):
        name = text.removeprefix("fd:")
        if not _FD_NAME.fullmatch(name):
            raise ValueError(f"expected the name of a systemd socket after fd:, not {name!r}")
        return FdAddress(name)
    return _parse_tcp(text)


def of_protocol(address: Address, protocol: object) -> Address:
    """What an address that was written means to a listener that speaks `protocol`."""
    if protocol == "udp" and isinstance(address, TcpAddress):
        return UdpAddress(address.host, address.port)
    return address


def check_unix_path(path: str) -> None:
    """Raise ValueError where a socket cannot have this path."""
    size = len(os.fsencode(path))
    if size > MAX_UNIX_PATH:
        raise ValueError(
            f"the path of a unix socket has at most {MAX_UNIX_PATH} bytes, this one has {size}: "
            f"{path}"
        )


def _parse_unix(path: str, root: str) -> UnixAddress:
    if path.startswith("@"):
        raise ValueError("abstract unix sockets are not supported (write unix:/path)")
    if not path or path.endswith("/"):
        raise ValueError(f"expected the path of a socket after unix:, not {path!r}")
    full = os.path.normpath(os.path.join(root, path))
    check_unix_path(full)
    return UnixAddress(full)


def _parse_tcp(text: str) -> TcpAddress:
    host, colon, port_text = text.rpartition(":")
    if not colon and _is_port(text):
        return TcpAddress("0.0.0.0", int(text))
    if "://" in text:
        raise ValueError(f"expected {_FORMS}, not a URL")
    bare = _ip(text[1:-1] if text.startswith("[") and text.endswith("]") else text)
    if bare is not None:
        raise ValueError(_without_port(bare, host, port_text))
    if not colon or not _is_port(port_text):
        raise ValueError(f"expected {_FORMS}, not {describe(text)}")
    port = int(port_text)
    if host == "*":
        return TcpAddress("0.0.0.0", port)
    if host.lower() == "localhost":
        return TcpAddress("127.0.0.1", port)
    bracketed = host.startswith("[") and host.endswith("]")
    address = _ip(host[1:-1] if bracketed else host)
    if address is None:
        raise ValueError(_not_an_ip(host, port))
    if bracketed != (":" in address):
        raise ValueError(f"expected {_FORMS} (write {TcpAddress(address, port)})")
    return TcpAddress(address, port)


def _without_port(address: str, host: str, port: str) -> str:
    """What to write for a lone address; `::1:8080` is one, though nobody means it so."""
    meant = _ip(host)
    if meant is not None and ":" in meant and _is_port(port):
        return f"an IPv6 address stands in brackets (write {TcpAddress(meant, int(port))})"
    return f"expected a port after the address (write {TcpAddress(address, 8080)})"


def _ip(text: str) -> str | None:
    """The canonical text of an IP address, None for anything else and for a zone (`%eth0`)."""
    try:
        return None if "%" in text else str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535


def _not_an_ip(host: str, port: int) -> str:
    if not host:
        return f"expected an IP address before the port (write *:{port} for every address)"
    return f"expected an IP address, not {describe(host)} (write for example 127.0.0.1:{port})"
