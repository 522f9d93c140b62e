"""The input of one HTTP/1 connection as events: heads, pieces of bodies, ends of bodies.

Deliberately absent: the socket, timeouts, and what is answered. The order of events is fixed: a
Head with a body is followed by zero or more pieces and END_OF_BODY; a Head without one by the next
Head. The same bytes give the same events, pieces joined, however they were cut into reads.
"""

from __future__ import annotations

import enum
from typing import Any, Final

from forkd.errors import ProtocolError
from forkd.proto.http1.body import ChunkedDecoder, LengthDecoder
from forkd.proto.http1.head import Head, check_request_line, parse_head
from forkd.proto.http1.limits import HeadLimits
from forkd.proto.http1.syntax import BARE_LINE_END, refuse_fields, refuse_line

MEMO_HEAD = 4096
"""Longer heads are not remembered, bytes. A browser's has 0.5 to 2 KB."""
_MEMO_SIZE = 12 << 20
"""Bytes of memory, about: 2,300 heads of a browser."""
_HEAD_SIZE = 1024
_HEADER_SIZE = 256
"""What a head takes beside its text, and each of its lines: a pair, two bytes objects, a place in a
dictionary."""


class EndOfBody(enum.Enum):
    """The event after the last piece of a body."""

    END_OF_BODY = enum.auto()


END_OF_BODY: Final = EndOfBody.END_OF_BODY


class HeadMemo(dict[bytes, Head]):
    """Heads by their bytes, within bounds. `get` is that of a dict, in C.

    `dependent` holds what else is known of these heads, and is emptied with them.
    """

    def __init__(self, dependent: dict[bytes, Any] | None = None) -> None:
        super().__init__()
        self._dependent = dependent
        self._size = 0

    def keep(self, data: bytes, head: Head) -> None:
        if len(data) > MEMO_HEAD:
            return
        # Emptied whole: what is of use comes back sooner than it could be kept track of.
        size = len(data) + _HEAD_SIZE + _HEADER_SIZE * len(head.headers)
        if self._size + size > _MEMO_SIZE:
            self.clear()
            self._size = 0
            if self._dependent is not None:
                self._dependent.clear()
        self._size += size
        self[data] = head


class RequestReader:
    """One connection's requests. `receive` takes bytes, `next_event` gives what they complete.

    `memo` maps the bytes of heads to Heads. It is shared by the readers of a process that have the
    same limits, and a head found in it is not parsed again; parsing depends on nothing else.

    After a ProtocolError the reader stays failed: it drops what it receives and raises the same
    error again, since nothing after a framing error can be trusted.
    """

    __slots__ = (
        "_at",
        "_body",
        "_buffer",
        "_failure",
        "_fresh",
        "_limits",
        "_line",
        "_line_ends",
        "_memo",
        "_scanned",
        "_skipped",
        "idle",
    )

    def __init__(self, limits: HeadLimits, memo: HeadMemo) -> None:
        self._limits = limits
        self._memo = memo
        self._buffer: bytes | bytearray = b""
        self._at = 0  # where in the buffer the unread bytes begin
        self._body: LengthDecoder | ChunkedDecoder | None = None
        self._failure: ProtocolError | None = None
        self.idle = True
        """Between requests, with nothing buffered."""
        # What idle became by one receive, so that the buffer may be a head that the memo knows.
        self._fresh = False
        self._begin_head()

    def _begin_head(self) -> None:
        # What is known of an incomplete head, so that no byte is looked at twice. Offsets count
        # from the head's first byte.
        self._skipped = False  # the empty line that may stand before a request line
        self._scanned = 0  # bytes looked at; never between a CR and its LF
        self._line = -1  # length of the request line, once complete
        self._line_ends = 0

    def receive(self, data: bytes) -> None:
        """Take what arrived. Not for the end of the stream: the caller knows what that means."""
        if self.idle:
            self.idle = False
            self._fresh = True
            self._buffer = data
            return
        self._fresh = False
        if self._failure is not None:
            return
        buffer = self._buffer
        if not buffer:
            self._buffer = data
            return
        # Appending to bytes would copy all of it each time.
        if isinstance(buffer, bytes):
            self._buffer = buffer = bytearray(buffer[self._at :])
        else:
            del buffer[: self._at]
        self._at = 0
        buffer += data

    def next_event(self) -> Head | bytes | EndOfBody | None:
        """The next event, or None until more is received. Raises ProtocolError."""
        if self._fresh:
            self._fresh = False
            # A bytes object, since only one receive made it.
            data: bytes = self._buffer  # type: ignore[assignment]
            if len(data) <= MEMO_HEAD:
                head = self._memo.get(data)
                if head is not None:
                    self._buffer = b""
                    if head.has_body:
                        self._begin_body(head)
                    else:
                        self.idle = True
                    return head
        elif self.idle:
            return None
        if self._failure is not None:
            raise ProtocolError(self._failure.status, self._failure.reason)
        try:
            return self._next_head() if self._body is None else self._next_piece(self._body)
        except ProtocolError as failure:
            self._fail(failure)
            raise

    def limit_body(self, max_body: int) -> None:
        """Bound the body of the Head just given, in bytes.

        Raises ProtocolError(413) at once where its Content-Length is larger. A chunked body that
        announces more fails so in `next_event`.
        """
        match self._body:
            case LengthDecoder(remaining=length) if length > max_body:
                failure = ProtocolError(413, f"the body is larger than {max_body} bytes")
                self._fail(failure)
                raise failure
            case ChunkedDecoder() as body:
                body.max_body = max_body

    @property
    def buffered(self) -> int:
        """Bytes received and not yet consumed by an event."""
        return len(self._buffer) - self._at

    @property
    def partial(self) -> bool:
        """Whether some bytes of a head are here, but not all. Of use once there is no event."""
        return self._body is None and bool(self._buffer)

    def _fail(self, failure: ProtocolError) -> None:
        self._failure = failure
        self._buffer = b""
        self._at = 0
        self._body = None

    def _next_head(self) -> Head | None:
        buffer, at = self._buffer, self._at
        # RFC 9112 section 2.2: an old client may send one empty line too many after a body.
        if not self._skipped and buffer.startswith(b"\r\n", at):
            self._skipped = True
            at += 2
            self._consume(at)
            buffer, at = self._buffer, self._at
        if not buffer:
            self.idle = not self._skipped
            return None
        end = buffer.find(b"\r\n\r\n", at + max(self._scanned - 3, 0))
        if end < 0:
            self._check_incomplete()
            return None
        end += 4
        data = bytes(buffer[at:end])
        head = self._memo.get(data) if len(data) <= MEMO_HEAD else None
        if head is None:
            head = self._parse(data)
        self._consume(end)
        self._begin_head()
        if head.has_body:
            self._begin_body(head)
        else:
            self.idle = not self._buffer
        return head

    def _parse(self, data: bytes) -> Head:
        head = parse_head(data, self._limits)
        self._memo.keep(data, head)
        return head

    def _check_incomplete(self) -> None:
        """Refuse a head that can no longer become a good one. Looks at new bytes only."""
        buffer, at, limits = self._buffer, self._at, self._limits
        scan = at + self._scanned
        size = len(buffer) - at
        ends_with_cr = buffer.endswith(b"\r")
        bare = BARE_LINE_END.search(buffer, scan) is not None
        if self._line < 0:
            end = buffer.find(b"\r\n", scan)
            if end >= 0:
                self._line = end - at
                check_request_line(bytes(buffer[at:end]), limits)
            elif bare or size - ends_with_cr > limits.request_line:
                raise refuse_line(bytes(buffer[at:]), limits)
        self._line_ends += buffer.count(b"\r\n", scan)
        self._scanned = size - ends_with_cr
        if self._line >= 0 and (
            bare
            or self._line_ends - 1 > limits.headers
            or size - self._line - 2 > limits.header_size + 1
        ):
            fault = refuse_fields(bytes(buffer[at + self._line + 2 :]), limits, whole=False)
            if fault is not None:
                raise fault

    def _begin_body(self, head: Head) -> None:
        if head.chunked:
            self._body = ChunkedDecoder(self._limits)
        else:
            self._body = LengthDecoder(head.content_length)

    def _next_piece(self, body: LengthDecoder | ChunkedDecoder) -> bytes | EndOfBody | None:
        piece = b"" if body.complete else self._feed(body)
        if piece:
            return piece
        if not body.complete:
            return None
        self._body = None
        self.idle = not self._buffer
        return END_OF_BODY

    def _feed(self, body: LengthDecoder | ChunkedDecoder) -> bytes:
        data = bytes(self._buffer[self._at :])
        self._buffer = b""
        self._at = 0
        # Even an empty feed may raise: the fault that came after the last piece.
        piece = body.feed(data)
        if body.complete:
            self._buffer = body.rest
        return piece

    def _consume(self, end: int) -> None:
        if end == len(self._buffer):
            self._buffer = b""
            self._at = 0
        else:
            self._at = end
