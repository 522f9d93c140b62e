"""Where the body of a request ends, and what its Expect asks for (RFC 9112 section 6).

Every doubt is an error: a length that two parsers read differently is how requests are smuggled.
"""

from __future__ import annotations

import re

from forkd.errors import ProtocolError

# 18 digits fit a signed 64-bit number whatever they are.
_LENGTH = re.compile(rb"[0-9]{1,18}")


def content_length(value: bytes) -> int:
    """The one Content-Length of a message. Raises 400 for a list, a sign, a blank, 19 digits."""
    if not _LENGTH.fullmatch(value):
        raise ProtocolError(400, "the Content-Length is malformed")
    return int(value)


def check_codings(value: bytes, version: int) -> None:
    """Pass a Transfer-Encoding that is exactly chunked; raise 400 or 501 for all others.

    `value` is all lines joined, `version` 10 or 11. Chunked that is not last, or comes twice, has
    no certain end (400); a coding that is not known here is 501 (RFC 9112 section 6.1).
    """
    if version < 11:
        raise ProtocolError(400, "Transfer-Encoding does not belong to HTTP/1.0")
    codings = [coding.strip(b" \t").lower() for coding in value.split(b",")]
    if codings == [b"chunked"]:
        return
    if b"" in codings:
        raise ProtocolError(400, "the Transfer-Encoding is malformed")
    if codings.count(b"chunked") > 1 or b"chunked" in codings[:-1]:
        raise ProtocolError(400, "chunked is not the last transfer coding, or not alone")
    raise ProtocolError(501, "the transfer coding is not implemented; only chunked is")


def expects_continue(value: bytes) -> bool:
    """Whether an Expect names 100-continue. Raises 417 for what is not known (RFC 9110 10.1.1)."""
    expectations = {part.strip(b" \t").lower() for part in value.split(b",")} - {b""}
    if expectations - {b"100-continue"}:
        raise ProtocolError(417, "the expectation is not known; only 100-continue is")
    return bool(expectations)


def stays_open(version: int, connection: bytes | None) -> bool:
    """Whether the connection outlives this request (RFC 9112 section 9.3)."""
    if connection is None:
        return version >= 11
    if connection == b"keep-alive":
        return True
    options = {option.strip(b" \t").lower() for option in connection.split(b",")}
    if b"close" in options:
        return False
    return version >= 11 or b"keep-alive" in options
