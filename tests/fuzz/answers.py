"""What came back on one connection, checked without knowing how the requests were understood."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5]\d\d) [\x20-\x7e]*")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\x20-\x7e\x80-\xff\t]*)")
CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")

LAST = frozenset({400, 408, 413, 414, 431, 505})
"""After these the connection cannot be understood any further, so it must be closed."""

FAULTS = frozenset({500, 502, 503})
"""Nothing that a client can send to these routes is the server's or a program's failure."""


class Malformed(Exception):
    """The text says what is wrong."""


class Cut(Exception):
    """The connection ended inside an answer. The text says what ended."""


@dataclass
class Reading:
    """What is found in the bytes of one connection. `fault` is empty where all is well."""

    statuses: Counter[int] = field(default_factory=Counter)
    cut: str = ""
    """What the connection ended inside of: "head", "length" (of a known one), "chunks"."""
    fault: str = ""


def read(received: bytes, sent: bytes) -> Reading:
    """Split into answers. An answer to HEAD has no body, and which one that is, is not known here:
    where HEAD was sent, one without its body is taken for it."""
    reading, at, closing = Reading(), 0, False
    try:
        while at < len(received):
            if closing:
                raise Malformed("bytes after an answer with Connection: close")
            status, fields, at = _head(received, at)
            if status == 100:
                continue
            reading.statuses[status] += 1
            closing = fields.get(b"connection", b"").lower() == b"close"
            if status in LAST and not closing:
                raise Malformed(f"{status} without Connection: close")
            if status in FAULTS or status < 200:
                raise Malformed(f"status {status}")
            at = _after_body(received, at, status, fields, maybe_head=b"HEAD " in sent)
        # Each request line names its version; one that does not is refused, once.
        if reading.statuses.total() > sent.count(b"HTTP/") + 1:
            raise Malformed("more answers than requests")
    except Cut as cut:
        reading.cut = str(cut)
    except Malformed as fault:
        reading.fault = f"{fault}, at byte {at}"
    return reading


def _head(data: bytes, at: int) -> tuple[int, dict[bytes, bytes], int]:
    end = data.find(b"\r\n\r\n", at)
    if end < 0:
        if not data.startswith(b"HTTP/1.1 "[: len(data) - at], at):
            raise Malformed("no status line")
        raise Cut("head")
    line, *lines = data[at:end].split(b"\r\n")
    if (found := STATUS_LINE.fullmatch(line)) is None:
        raise Malformed(f"status line {line[:80]!r}")
    fields: dict[bytes, bytes] = {}
    for text in lines:
        if (pair := FIELD.fullmatch(text)) is None:
            raise Malformed(f"header line {text[:80]!r}")
        name = pair[1].lower()
        if name in fields:
            raise Malformed(f"two headers {name!r}")
        fields[name] = pair[2]
    return int(found[1]), fields, end + 4


def _after_body(
    data: bytes, at: int, status: int, fields: dict[bytes, bytes], *, maybe_head: bool
) -> int:
    if status in (204, 304):
        return at
    if maybe_head and (at == len(data) or data.startswith(b"HTTP/1.1 ", at)):
        return at
    length, coding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
    if coding is not None:
        if length is not None or coding != b"chunked":
            raise Malformed("Transfer-Encoding beside Content-Length, or an unknown one")
        return _after_chunks(data, at)
    if length is None:
        if fields.get(b"connection", b"").lower() != b"close":
            raise Malformed("neither a length nor a close")
        return len(data)
    if not length.isdigit():
        raise Malformed(f"Content-Length {length!r}")
    if at + int(length) > len(data):
        raise Cut("length")
    return at + int(length)


def _after_chunks(data: bytes, at: int) -> int:
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            raise Cut("chunks")
        if CHUNK_SIZE.fullmatch(data, at, end) is None:
            raise Malformed(f"chunk size {data[at:end][:40]!r}")
        size = int(data[at:end], 16)
        at = end + 2 + size
        if at + 2 > len(data):
            raise Cut("chunks")
        if data[at : at + 2] != b"\r\n":
            raise Malformed("a chunk that does not end")
        at += 2
        if size == 0:
            return at
