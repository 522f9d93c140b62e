#!/usr/bin/env python3
"""Shows name, size and SHA-256 of uploaded files; reads them as they come and stores nothing.

The body is multipart/form-data (RFC 7578): parts between lines that begin with the boundary. Only a
block of it is in memory at any time, however large the files are. Standard library only.
"""

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from html import escape
from typing import BinaryIO

BLOCK = 64 * 1024
MAX_PART_HEAD = 8 * 1024
MAX_PARTS = 100

# RFC 2046 section 5.1.1: bchars, and no space at the end.
BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")

PAGE = """\
Content-Type: text/html; charset=utf-8

<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Upload · forkd</title>
  <link rel="icon" href="/logo.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/style.css">
</head>
<body>
<main>
<h1>What arrived</h1>
<p class="lead">Nothing of it was stored. <a href="/upload.html">Back to the form</a></p>
<div class="scroll" tabindex="0" role="region" aria-label="Parts">
<table>
<thead><tr><th scope="col">Field</th><th scope="col">File</th><th scope="col">Type</th>\
<th scope="col">Bytes</th><th scope="col">SHA-256</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>
</main>
</body>
</html>
"""


class Refused(Exception):
    """A request that is answered with a status, a reason and perhaps more header lines."""

    def __init__(self, status: str, reason: str, *headers: str) -> None:
        self.head = "\n".join([f"Status: {status}", *headers])
        self.reason = reason


def malformed(what: str) -> Refused:
    return Refused("400 Bad Request", f"Malformed multipart/form-data: {what}.")


class Body:
    """A body of known length, cut at delimiters while it is read."""

    def __init__(self, stream: BinaryIO, length: int) -> None:
        self._stream = stream
        self._left = length
        # The line end before a boundary belongs to it; the first one has none of its own.
        self._buffer = b"\r\n"

    def _more(self) -> None:
        block = self._stream.read(min(BLOCK, self._left))
        if not block:
            raise malformed("the body ends within a part")
        self._left -= len(block)
        self._buffer += block

    def until(self, delimiter: bytes) -> Iterator[bytes]:
        """Give what comes before the delimiter, in blocks, and step over the delimiter."""
        while (at := self._buffer.find(delimiter)) < 0:
            # The end of the buffer may be the beginning of the delimiter.
            sure = max(len(self._buffer) - len(delimiter) + 1, 0)
            yield self._buffer[:sure]
            self._buffer = self._buffer[sure:]
            self._more()
        yield self._buffer[:at]
        self._buffer = self._buffer[at + len(delimiter) :]

    def take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken


@dataclass(frozen=True)
class Part:
    field: str
    filename: str | None
    media_type: str
    size: int
    sha256: str

    def row(self) -> str:
        values = [self.filename or "", self.media_type, f"{self.size:,}", self.sha256]
        cells = "".join(f'<td class="value">{escape(value)}</td>' for value in values)
        return f'<tr><th scope="row">{escape(self.field)}</th>{cells}</tr>'


def part_head(body: Body) -> Message:
    head = b""
    for piece in body.until(b"\r\n\r\n"):
        head += piece
        if len(head) > MAX_PART_HEAD:
            raise malformed("the header of a part is too long")
    return HeaderParser().parsestr(head.decode(errors="replace"))


def parts(body: Body, boundary: bytes) -> Iterator[Part]:
    """Read the body part by part. Raises Refused for what is not multipart/form-data."""
    delimiter = b"\r\n--" + boundary
    for _ in body.until(delimiter):
        pass  # text before the first boundary is for readers without MIME
    for _ in range(MAX_PARTS):
        match body.take(2):
            case b"--":
                return
            case b"\r\n":
                head = part_head(body)
            case _:
                raise malformed("a boundary does not end its line")
        field = head.get_param("name", header="content-disposition")
        if head.get_content_disposition() != "form-data" or not isinstance(field, str):
            raise malformed("a part without Content-Disposition: form-data and a name")
        size, digest = 0, hashlib.sha256()
        for piece in body.until(delimiter):
            size += len(piece)
            digest.update(piece)
        yield Part(field, head.get_filename(), head.get_content_type(), size, digest.hexdigest())
    if body.take(2) != b"--":
        raise Refused("413 Content Too Large", f"More than {MAX_PARTS} parts.")


def boundary_of(content_type: str) -> bytes:
    """Return the boundary that a Content-Type names. Raises Refused where there is none."""
    message = Message()
    message["Content-Type"] = content_type
    if message.get_content_type() != "multipart/form-data":
        raise Refused("415 Unsupported Media Type", "Send multipart/form-data.")
    boundary = message.get_param("boundary")
    if not isinstance(boundary, str) or not BOUNDARY.fullmatch(boundary):
        raise malformed("Content-Type has no valid boundary")
    return boundary.encode("ascii")


def main() -> None:
    sys.stdout.reconfigure(encoding="utf-8")
    try:
        if os.environ.get("REQUEST_METHOD") != "POST":
            raise Refused("405 Method Not Allowed", "Send files by POST.", "Allow: POST")
        boundary = boundary_of(os.environ.get("CONTENT_TYPE", ""))
        body = Body(sys.stdin.buffer, int(os.environ.get("CONTENT_LENGTH") or 0))
        rows = [part.row() for part in parts(body, boundary)]
    except Refused as refusal:
        print(refusal.head)
        print("Content-Type: text/plain; charset=utf-8\n")
        print(refusal.reason)
    else:
        print(PAGE.format(rows="\n".join(rows)), end="")


if __name__ == "__main__":
    main()
