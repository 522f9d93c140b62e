"""The header that a CGI program writes (RFC 3875 section 6), and how its body is framed. Pure."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

_MAX_SIZE = 64 * 1024
_MAX_LINES = 200
_SHOWN = 60

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_STATUS = re.compile(r"([2-5][0-9][0-9])(?:[ \t]+(.*))?")
_LENGTH = re.compile(r"[0-9]{1,18}")

# What concerns the connection, and what the server writes itself.
_SERVERS_OWN = frozenset(
    {"connection", "date", "keep-alive", "proxy-connection", "server", "trailer", "upgrade"}
)
_ONCE = frozenset({"content-length", "content-type", "location", "status"})


class BadHead(Exception):
    """A header that is none. The text continues "CGI script NAME"."""


class Framing(enum.Enum):
    """How the client finds the end of a body."""

    NONE = "there is no body"
    LENGTH = "Content-Length"
    CHUNKED = "chunked"
    CLOSE = "the connection closes"


@dataclass(frozen=True, slots=True)
class Head:
    """A checked header. `reason` is None where the program gave none.

    `headers` is without Status, Content-Length and what is the server's own. `local` is a Location
    that is to be served in the program's place (section 6.2.2).
    """

    status: int
    reason: str | None
    headers: tuple[tuple[str, str], ...]
    length: int | None
    local: str | None


def framing(head: Head, *, command: str, modern: bool) -> Framing:
    """The framing for an answer to command; modern: both sides speak HTTP/1.1."""
    if command == "HEAD" or head.status in (204, 304):
        return Framing.NONE
    if head.length is not None:
        return Framing.LENGTH
    return Framing.CHUNKED if modern else Framing.CLOSE


class HeadReader:
    """The header of one program's output, which comes in pieces. Lines end with LF or CRLF.

    Raises BadHead at the first line that is wrong.
    """

    __slots__ = ("_buffer", "_headers", "_lines", "_once", "_size", "rest")

    def __init__(self) -> None:
        self.rest = b""
        self._buffer = bytearray()
        self._size = 0
        self._lines = 0
        self._headers: list[tuple[str, str]] = []
        self._once: dict[str, str] = {}

    def feed(self, data: bytes) -> Head | None:
        """The header once it is whole, with the beginning of the body in `rest`; None before."""
        self._buffer += data
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end]).removesuffix(b"\r")
            del self._buffer[: end + 1]
            self._size += end + 1
            self._check_size(0)
            if not line:
                self.rest = bytes(self._buffer)
                return self._head()
            self._take(line)
        self._check_size(len(self._buffer))
        return None

    def eof(self) -> str:
        """What to say of output that ends here."""
        within = self._lines or self._buffer
        return "ended within its header" if within else "ended without a header"

    def _check_size(self, pending: int) -> None:
        if self._size + pending > _MAX_SIZE or self._lines > _MAX_LINES:
            raise BadHead(f"wrote a header of more than {_MAX_SIZE} bytes or {_MAX_LINES} lines")

    def _take(self, line: bytes) -> None:
        self._lines += 1
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name) or _CONTROL.search(value):
            shown = repr(line[:_SHOWN])[1:] + ("..." if len(line) > _SHOWN else "")
            raise BadHead(f"wrote {shown} where a header should be")
        key = name.decode("ascii").lower()
        text = value.strip(b" \t").decode("latin-1")
        if key == "transfer-encoding":
            raise BadHead("wrote a Transfer-Encoding, which is the server's to choose")
        if key in _ONCE:
            if self._once.setdefault(key, text) != text:
                raise BadHead(f"wrote two different headers {name.decode('ascii')}")
        elif key not in _SERVERS_OWN:
            self._headers.append((name.decode("ascii"), text))

    def _head(self) -> Head:
        once = self._once
        status, location = once.get("status"), once.get("location")
        kind, length = once.get("content-type"), once.get("content-length")
        if kind is None and not location and status is None:
            raise BadHead("wrote no Content-Type, Location or Status")
        if length is not None and not _LENGTH.fullmatch(length):
            raise BadHead(f"wrote a malformed Content-Length: {length[:_SHOWN]!a}")
        given = _STATUS.fullmatch(status) if status is not None else None
        if status is not None and given is None:
            raise BadHead(f"wrote a Status that is no number from 200 to 599: {status[:_SHOWN]!a}")
        headers = list(self._headers)
        if kind is not None:
            headers.insert(0, ("Content-Type", kind))
        if location:
            headers.append(("Location", location))
        # Two slashes name another host (RFC 3986 section 4.2), which only the client can ask.
        is_local = location and location.startswith("/") and not location.startswith("//")
        return Head(
            status=int(given[1]) if given else (302 if location else 200),
            reason=given[2] if given else None,
            headers=tuple(headers),
            length=None if length is None else int(length),
            local=location if is_local and status is None else None,
        )
