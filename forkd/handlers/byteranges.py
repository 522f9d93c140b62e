"""Answers with a part of a file, or with several (RFC 9110 sections 14 and 15.3.7)."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence

from forkd.config.settings import HeaderChanges
from forkd.handlers.base import Response, apply_rules
from forkd.handlers.open_files import OpenFiles
from forkd.handlers.static_entry import Opener, Representation
from forkd.proto.http1.ranges import ByteRange
from forkd.proto.http1.response import make_prefix

MOST_IN_PARTS = 1 << 20
"""Several parts of a file that is not kept are read into memory: no more than this."""


def partial(
    chosen: Representation, part: ByteRange, rules: HeaderChanges, files: OpenFiles
) -> Response:
    """206 with one part."""
    headers = [
        (b"Content-Type", chosen.kind),
        *chosen.headers,
        (b"Content-Range", part.content_range(chosen.size)),
        (b"Content-Length", b"%d" % part.length),
    ]
    prefix = make_prefix(206, apply_rules(headers, rules))
    if chosen.is_kept:
        return Response(206, prefix, chosen.whole.body[part.start : part.stop])
    opener = Opener(files, chosen.source, part.start, part.length)
    return Response(206, prefix, open_file=opener, length=part.length)


def multipart(
    chosen: Representation, parts: Sequence[ByteRange], rules: HeaderChanges
) -> Response | None:
    """206 with several parts, or None where the whole is to be sent instead.

    That is so for more than MOST_IN_PARTS of a file that is not kept, for a file that has shrunk,
    and for an encoded one: Content-Encoding would be taken for that of the multipart itself.
    Raises OSError where the file may not be read any more.
    """
    if chosen.coding:
        return None
    pieces = _from_memory(chosen, parts) if chosen.is_kept else _from_file(chosen, parts)
    if pieces is None:
        return None
    # 128 random bits: nobody can have put them into the file.
    boundary = secrets.token_hex(16).encode()
    lines = []
    for part, piece in zip(parts, pieces, strict=True):
        lines += [
            b"\r\n--%b\r\nContent-Type: %b\r\nContent-Range: %b\r\n\r\n"
            % (boundary, chosen.kind, part.content_range(chosen.size)),
            piece,
        ]
    lines.append(b"\r\n--%b--\r\n" % boundary)
    body = b"".join(lines).removeprefix(b"\r\n")
    headers = [
        (b"Content-Type", b"multipart/byteranges; boundary=" + boundary),
        *chosen.headers,
        (b"Content-Length", b"%d" % len(body)),
    ]
    return Response(206, make_prefix(206, apply_rules(headers, rules)), body)


def _from_memory(chosen: Representation, parts: Sequence[ByteRange]) -> list[bytes]:
    return [chosen.whole.body[part.start : part.stop] for part in parts]


def _from_file(chosen: Representation, parts: Sequence[ByteRange]) -> list[bytes] | None:
    if sum(part.length for part in parts) > MOST_IN_PARTS:
        return None
    descriptor = chosen.source.open()
    try:
        pieces = [os.pread(descriptor, part.length, part.start) for part in parts]
    finally:
        os.close(descriptor)
    whole = all(len(piece) == part.length for part, piece in zip(parts, pieces, strict=True))
    return pieces if whole else None
