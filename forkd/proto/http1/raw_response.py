"""A response that somebody else has written, as bytes: where it ends, and what it says of itself.

It is read only as far as needed to send it on as it is. Deliberately absent: judging names and
values, which are the writer's, and the body, of which only the end matters.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from forkd.errors import ProtocolError
from forkd.proto.http1 import framing

_MAX_HEAD = 64 * 1024
_MAX_CHUNK_LINE = 4096
_SHOWN = 60
_MOST_KNOWN = 256
_KNOWN_SIZE = 2048
"""Bytes of a head that is remembered, at most."""

_BEGINNING = b"HTTP/1."
_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9]) ([1-5][0-9][0-9])(?: [^\r\n]*)?\r?\n")
# A line has a colon, or continues the one before it. What a line is shows in its first byte, so
# that no head can be read in two ways, one after the other.
_HEAD = re.compile(
    rb"HTTP/1\.([0-9]) ([1-5][0-9][0-9])(?: [^\r\n]*)?"
    rb"(\r?\n(?:[^: \t\r\n][^:\n]*:[^\n]*\n|[: \t][^\n]*\n)*)\r?\n"
)
_FRAMING = re.compile(rb"\n(content-length|transfer-encoding|connection):([^\n]*)", re.IGNORECASE)
_NO_FIELD = re.compile(rb"\n(?!\r?\n)([^: \t\n][^:\n]*)\n|\n(\r[^\n]+)\n")
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class RawHead:
    """A head as it was written, its empty line included.

    `length` is that of the body in bytes: 0 where there can be none, None where the body is chunked
    or ends with the connection. `keeps`: the connection may go on once the whole response is out.
    """

    data: bytes
    status: int
    length: int | None
    chunked: bool
    keeps: bool


class RawResponse:
    """One response, which may come in pieces. `method` and `version` (10, 11) are the client's.

    `known` remembers what became of heads: a writer repeats himself, at least for a second. It is
    shared by the responses of one writer.
    """

    def __init__(
        self, method: str, version: int, known: dict[bytes, RawHead] | None = None
    ) -> None:
        self.head: RawHead | None = None
        self.cut = False
        """More was written than belongs to the response."""
        self._method = method
        self._version = version
        # Of others there are few, and what is known of one kind must not be believed of another.
        self._known = known if version == 11 and method != "HEAD" else None
        self._bodiless = False
        self._buffer = b""
        self._left = 0
        self._chunks: _Chunks | None = None

    @property
    def complete(self) -> bool:
        """Whether it says itself where it ends, and has come to that."""
        head = self.head
        if head is None:
            return False
        if self._chunks is not None:
            return self._chunks.complete
        return head.length is not None and not self._left

    def feed(self, data: bytes) -> bytes:
        """Take what was written; gives what of it belongs to the body. `head` is set by then.

        Interim responses (1xx) are left out. What follows the end is cut off. Raises
        ProtocolError(502) where this is no response.
        """
        if self.head is not None:
            return self._body(self.head, data)
        known = self._known
        if known is not None and not self._buffer and (head := known.get(data)) is not None:
            self._accept(head)
            return b""
        self._buffer += data
        while (found := self._take_head()) is not None:
            if found.status >= 200:
                self._accept(found)
                data, self._buffer = self._buffer, b""
                if known is not None and not data and len(found.data) <= _KNOWN_SIZE:
                    if len(known) >= _MOST_KNOWN:
                        known.clear()
                    known[found.data] = found
                return self._body(found, data)
        return b""

    def _accept(self, head: RawHead) -> None:
        self.head = head
        self._bodiless = self._is_bodiless(head.status)
        self._left = head.length or 0
        self._chunks = _Chunks() if head.chunked else None

    def _is_bodiless(self, status: int) -> bool:
        return status in (204, 304) or self._method == "HEAD"

    def eof(self) -> ProtocolError:
        """The error for output that ended before the head did."""
        if not self._buffer:
            return ProtocolError(502, "wrote no response")
        return ProtocolError(502, f"wrote half the head of a response: {_shown(self._buffer)}")

    def _take_head(self) -> RawHead | None:
        """Cut one whole head off the buffer."""
        buffer = self._buffer
        found = _HEAD.match(buffer)
        if found is None:
            _check_beginning(buffer)
            return None
        status = int(found[2])
        if status == 101:
            raise _refuse("wants to change the protocol, which cannot be done here", buffer)
        end = found.end()
        self._buffer = buffer[end:]
        return self._judge(buffer[:end], found[3], status, 10 if found[1] == b"0" else 11)

    def _judge(self, data: bytes, lines: bytes, status: int, version: int) -> RawHead:
        lengths: set[bytes] = set()
        codings, connection = b"", b""
        for name, value in _FRAMING.findall(lines):
            match name.lower():
                case b"content-length":
                    lengths.add(value.strip())
                case b"transfer-encoding":
                    codings += b"," + value.strip().lower()
                case _:
                    connection += b"," + value.strip()
        bodiless = self._is_bodiless(status)
        chunked = codings.rpartition(b",")[2].strip() == b"chunked" and not bodiless
        length = None
        if bodiless or status < 200:
            length = 0
        elif lengths and not codings:
            (text,) = lengths if len(lengths) == 1 else (b"",)
            if not _LENGTH.fullmatch(text):
                raise _refuse("wrote a Content-Length that is not one number", b", ".join(lengths))
            length = int(text)
        # A client of HTTP/1.0 goes on only where it is told so.
        stays = framing.stays_open(min(version, self._version), connection or None)
        # Two framings at once are what smuggling is made of (RFC 9112 6.3).
        certain = chunked and not lengths if codings and not bodiless else length is not None
        return RawHead(data, status, length, chunked, stays and certain)

    def _body(self, head: RawHead, data: bytes) -> bytes:
        if self._bodiless:
            return b""  # a handler that answers HEAD as it does GET is no news
        if self._chunks is not None:
            count = self._chunks.scan(data)
        elif head.length is not None:
            count = min(self._left, len(data))
            self._left -= count
        else:
            return data
        if count < len(data):
            self.cut = True
        return data[:count]


class _State(enum.Enum):
    SIZE = enum.auto()
    DATA = enum.auto()
    END_OF_DATA = enum.auto()
    TRAILER = enum.auto()
    END = enum.auto()
    BROKEN = enum.auto()
    """It will never be complete: nobody can say where it ends."""


class _Chunks:
    """Finds the end of a chunked body (RFC 9112 section 7.1)."""

    def __init__(self) -> None:
        self._state = _State.SIZE
        self._line = b""
        self._left = 0

    @property
    def complete(self) -> bool:
        return self._state is _State.END

    def scan(self, data: bytes) -> int:
        """How many of these bytes belong to the body."""
        at = 0
        while at < len(data) and self._state is not _State.END:
            if self._state is _State.BROKEN:
                return len(data)
            if self._state is _State.DATA:
                count = min(self._left, len(data) - at)
                self._left -= count
                at += count
                if not self._left:
                    self._state = _State.END_OF_DATA
                continue
            end = data.find(b"\n", at) + 1
            self._line += data[at : end or len(data)]
            at = end or len(data)
            if end:
                line, self._line = self._line.rstrip(b"\r\n"), b""
                self._state = self._after(line)
            elif len(self._line) > _MAX_CHUNK_LINE:
                self._state = _State.BROKEN
        return at

    def _after(self, line: bytes) -> _State:
        match self._state:
            case _State.SIZE if size := _CHUNK_SIZE.fullmatch(line):
                self._left = int(size[1], 16)
                return _State.DATA if self._left else _State.TRAILER
            case _State.END_OF_DATA if not line:
                return _State.SIZE
            case _State.TRAILER:
                return _State.TRAILER if line else _State.END
        return _State.BROKEN


def _check_beginning(buffer: bytes) -> None:
    """Raise where this cannot become a head. It is no whole one."""
    if buffer[: len(_BEGINNING)] != _BEGINNING[: len(buffer)]:
        raise _refuse("wrote what is no response of HTTP/1", buffer)
    if b"\n" in buffer and _STATUS_LINE.match(buffer) is None:
        raise _refuse("wrote a malformed status line", buffer)
    if _END_OF_HEAD.search(buffer) is not None:
        wrong = _NO_FIELD.search(buffer)
        raise _refuse(
            "wrote a line without a colon in a head", wrong[0].strip() if wrong else buffer
        )
    if len(buffer) > _MAX_HEAD:
        raise _refuse(f"wrote a head of more than {_MAX_HEAD} bytes", buffer)


def _shown(data: bytes) -> str:
    return repr(data[:_SHOWN])[1:] + ("..." if len(data) > _SHOWN else "")


def _refuse(reason: str, wrote: bytes) -> ProtocolError:
    return ProtocolError(502, f"{reason}: {_shown(wrote)}")
