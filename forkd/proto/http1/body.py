"""Request bodies: the bytes of a connection in, content out, and where the body ends.

Both decoders have one interface. `feed` returns the content that it could decode; a fault after
some content is raised by the next call, so that what a fault cuts off does not depend on how the
bytes arrived. Once `complete`, `rest` holds what followed the body, and `feed` is not called again.

Chunked is decoded here and not by llhttp, because the exact end of the body is needed.
"""

from __future__ import annotations

import enum
import re

from forkd.errors import ProtocolError
from forkd.proto.http1.limits import HeadLimits
from forkd.proto.http1.syntax import BARE_LINE_END, BARE_REASON, CONTROL, TOKEN, TOKEN_CHARS

# RFC 9112 section 7.1 and 7.1.1; blanks are allowed around ";" and "=" only. Neighbours share no
# character, so a long line with a bad end is walked back once. (Possessive quantifiers would say it
# better, but the first releases of Python 3.11 get them wrong.)
_CHUNK_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,16})"
    rb"((?:[ \t]*;[ \t]*[%b]+(?:[ \t]*=[ \t]*(?:[%b]+|"
    rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"))?)*)' % (TOKEN_CHARS, TOKEN_CHARS)
)

# All chunk extensions of one body, in bytes. No client is known that sends any, and a sender of
# one-byte chunks with long ones has the server read hundreds of bytes for each byte of content
# (CVE-2023-39326).
_MAX_EXTENSIONS = 4096
_MAX_CHUNK_LINE = 16 + _MAX_EXTENSIONS

# Fields that say where a message ends or where it goes, too late to be heeded: a proxy that merges
# trailers into the header would read another request than forkd did (RFC 9110 section 6.5.1).
_NOT_IN_TRAILERS = frozenset({b"content-length", b"transfer-encoding", b"host"})


class LengthDecoder:
    """A body of `length` bytes, which is more than 0."""

    __slots__ = ("complete", "remaining", "rest")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.complete = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The content in `data`, which may be all of it."""
        size = len(data)
        if size < self.remaining:
            self.remaining -= size
            return data
        end = self.remaining
        self.remaining = 0
        self.complete = True
        if size == end:
            return data
        self.rest = data[end:]
        return data[:end]


class _Expects(enum.Enum):
    SIZE = enum.auto()
    DATA = enum.auto()
    DATA_END = enum.auto()
    TRAILER = enum.auto()


class ChunkedDecoder:
    """A chunked body, read strictly (RFC 9112 section 7.1). Trailers are checked and dropped.

    Raises ProtocolError: 400 for what is malformed, 413 when a chunk announces content beyond
    `max_body` (bytes, None for no limit), 431 for trailers beyond the limits of a header.
    """

    __slots__ = (
        "_expects",
        "_extensions",
        "_fault",
        "_left",
        "_limits",
        "_line",
        "_size",
        "_trailer_lines",
        "_trailer_size",
        "complete",
        "max_body",
        "rest",
    )

    def __init__(self, limits: HeadLimits, max_body: int | None = None) -> None:
        self.max_body = max_body
        self.complete = False
        self.rest = b""
        self._limits = limits
        self._expects = _Expects.SIZE
        self._line = bytearray()  # the beginning of a line that has not ended
        self._left = 0  # of the current chunk
        self._size = 0  # of all chunks announced
        self._extensions = 0
        self._trailer_lines = 0
        self._trailer_size = 0
        self._fault: ProtocolError | None = None

    def feed(self, data: bytes) -> bytes:
        """The content that `data` completes, b"" where there is none yet."""
        if self._fault is not None:
            raise self._fault
        content: list[bytes] = []
        try:
            self._decode(data, content)
        except ProtocolError as fault:
            if not content:
                raise
            self._fault = fault
        return content[0] if len(content) == 1 else b"".join(content)

    def _decode(self, data: bytes, content: list[bytes]) -> None:
        at, end = 0, len(data)
        while at < end:
            match self._expects:
                case _Expects.DATA:
                    piece = data[at : at + self._left]
                    content.append(piece)
                    at += len(piece)
                    self._left -= len(piece)
                    if not self._left:
                        self._expects = _Expects.DATA_END
                case _Expects.DATA_END:
                    at = self._data_end(data, at)
                case _Expects.SIZE:
                    line, at = self._take_line(data, at, _MAX_CHUNK_LINE)
                    if line is not None:
                        self._chunk_line(line)
                case _Expects.TRAILER:
                    # The empty line is no part of what is counted.
                    room = self._limits.header_size - self._trailer_size - 2
                    line, at = self._take_line(data, at, max(room, 0))
                    if line == b"":
                        self.complete = True
                        self.rest = data[at:]
                        return
                    if line is not None:
                        self._trailer_line(line)

    def _data_end(self, data: bytes, at: int) -> int:
        """Pass the CRLF after the data of a chunk, of which the CR may have come before."""
        wanted = b"\n" if self._line else b"\r\n"
        found = data[at : at + len(wanted)]
        if not wanted.startswith(found):
            raise ProtocolError(400, "the data of a chunk does not end with CRLF")
        if found == wanted:
            self._line.clear()
            self._expects = _Expects.SIZE
        else:
            self._line += found
        return at + len(found)

    def _take_line(self, data: bytes, at: int, room: int) -> tuple[bytes | None, int]:
        """The line that ends in `data`, and where the next begins; None where it does not end.

        `room` is how many bytes it may have, its end not counted.
        """
        kept = self._line
        if kept.endswith(b"\r") and data.startswith(b"\n", at):
            end = at
            line = bytes(kept[:-1])
            after = at + 1
        else:
            end = data.find(b"\r\n", at)
            after = end + 2
            line = bytes(kept) + data[at:end] if end >= 0 else b""
        if end >= 0:
            if len(line) > room or BARE_LINE_END.search(line + b"\r\n"):
                raise self._refuse_line(line + b"\r\n", room)
            kept.clear()
            return line, after
        # Only the new bytes are searched, and one before them for a CR.
        start = max(len(kept) - 1, 0)
        kept += data[at : at + room + 2]
        over = len(kept) > room + kept.endswith(b"\r")
        if over or BARE_LINE_END.search(kept, start):
            raise self._refuse_line(bytes(kept), room)
        return None, len(data)

    def _refuse_line(self, line: bytes, room: int) -> ProtocolError:
        """The first fault of a line that is too long or has a bare CR or LF in it."""
        if BARE_LINE_END.search(line[: room + 1]):
            return ProtocolError(400, BARE_REASON)
        if self._expects is _Expects.TRAILER:
            return ProtocolError(431, f"trailers exceed {self._limits.header_size} bytes")
        return ProtocolError(400, "the line of a chunk is too long")

    def _chunk_line(self, line: bytes) -> None:
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise ProtocolError(400, "the size of a chunk is malformed")
        self._extensions += len(match[2])
        if self._extensions > _MAX_EXTENSIONS:
            raise ProtocolError(400, f"chunk extensions exceed {_MAX_EXTENSIONS} bytes")
        self._left = int(match[1], 16)
        self._size += self._left
        if self.max_body is not None and self._size > self.max_body:
            raise ProtocolError(413, f"the body is larger than {self.max_body} bytes")
        self._expects = _Expects.DATA if self._left else _Expects.TRAILER

    def _trailer_line(self, line: bytes) -> None:
        self._trailer_size += len(line) + 2
        self._trailer_lines += 1
        if self._trailer_lines > self._limits.headers:
            raise ProtocolError(431, f"there are more than {self._limits.headers} trailers")
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.fullmatch(name) or CONTROL.search(value):
            raise ProtocolError(400, "a trailer is malformed")
        if name.lower() in _NOT_IN_TRAILERS:
            raise ProtocolError(400, f"{name.decode()} does not belong into trailers")
