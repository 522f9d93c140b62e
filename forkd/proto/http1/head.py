"""One request head: bytes in, a Head out, or the error that answers it.

The request line is parsed here, the header lines by httptools (llhttp). llhttp refuses bare line
ends, folding, spaces before colons and control bytes by itself; it knows a fixed list of methods,
though, so it is given a constant request line and the real one is read here.

Deliberately absent: cutting a stream into heads (reader), bodies (body).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import httptools

from forkd.errors import ProtocolError
from forkd.proto.http1 import framing
from forkd.proto.http1.limits import HeadLimits
from forkd.proto.http1.syntax import BARE_REASON, TOKEN, TOKEN_CHARS, refuse_fields, refuse_line
from forkd.proto.http1.target import host_of, resolve_path, split_target

# Method, target, version digits (RFC 9112 section 3). "#" is no part of a target.
_REQUEST_LINE = re.compile(
    rb'([%b]+) ([!"$-~]+) HTTP/([0-9])\.([0-9])' % TOKEN_CHARS,
)
_VERSION = re.compile(rb"HTTP/([0-9])\.[0-9]")
_LINE_FOR_LLHTTP = b"GET / HTTP/1.1\r\n"
_UNSAFE_IN_LOG = re.compile(rb"[^ !#-\[\]-~]")


@dataclass(slots=True, eq=False)
class Head:
    """A request head, checked. Heads are memoised and shared: nobody writes to one.

    `headers` has names in lower case and values without the blanks around them, in order.
    `content_length` is 0 where there is none. `expects_continue` is false without a body, since
    nobody would wait for one. `host` is lower case without port and trailing dot, and "" where the
    request names none. `path` is decoded and resolved, `raw_path` as it was sent; both are "*" for
    `OPTIONS *`, and "/" and empty for CONNECT. `raw` is what it was parsed from.
    """

    method: str
    target: bytes
    version: int
    headers: tuple[tuple[bytes, bytes], ...]
    content_length: int
    has_length: bool
    chunked: bool
    has_body: bool
    keep_alive: bool
    expects_continue: bool
    host: str
    authority: bytes
    path: str
    query: bytes
    raw_path: bytes
    raw: bytes
    _values: dict[bytes, bytes]
    _log_line: bytes = field(init=False, default=b"")
    _log_tail: bytes = field(init=False, default=b"")

    def get(self, name: bytes) -> bytes | None:
        """The value of a header by its lower-case name; several lines are joined with ", "."""
        return self._values.get(name)

    @property
    def log_line(self) -> bytes:
        """The request line, escaped for the access log. Made when first asked for."""
        if not self._log_line:
            self._log_line = log_escape(self.raw[: self.raw.find(b"\r\n")])
        return self._log_line

    @property
    def log_tail(self) -> bytes:
        """`"REFERER" "USER-AGENT"`, escaped for the access log. Made when first asked for."""
        if not self._log_tail:
            referer = log_escape(self._values.get(b"referer", b"-"))
            agent = log_escape(self._values.get(b"user-agent", b"-"))
            self._log_tail = b'"%b" "%b"' % (referer, agent)
        return self._log_tail


def log_escape(text: bytes) -> bytes:
    """Text that is safe between quotes in a log line: one line, ASCII, no quote, no backslash.

    Each other byte is written as \\xHH.
    """
    if _UNSAFE_IN_LOG.search(text) is None:
        return text
    return _UNSAFE_IN_LOG.sub(lambda match: b"\\x%02X" % ord(match[0]), text)


def check_request_line(line: bytes, limits: HeadLimits) -> None:
    """Raise what a complete request line (without its CRLF) is to be answered with, if anything."""
    _request_line(line, len(line), limits)


def parse_head(data: bytes, limits: HeadLimits) -> Head:
    """Parse one whole head: `data` ends with the first empty line in it, which the caller found.

    Raises ProtocolError with 400, 404 (a path above the root), 414, 417, 431, 501 or 505.
    """
    line_end = data.find(b"\r\n")
    method, target, version = _request_line(data, line_end, limits)
    headers = _header_lines(data, line_end + 2, version, limits)
    values = dict(headers)
    if len(values) != len(headers):
        values = _joined(headers)
    authority, raw_path, query = split_target(method, target)
    named = values.get(b"host")
    if named is None:
        if version > 10:
            raise ProtocolError(400, "there is no Host")
        host = ""
    else:
        host = host_of(named)
    # The Host must be there and well formed even where the target outdoes it (RFC 9112 3.2.2).
    if authority is None:
        authority = named or b""
    else:
        host = host_of(authority)

    size, chunked = _body_length(values, version)
    has_body = chunked or size > 0
    expect = values.get(b"expect")
    waits = expect is not None and framing.expects_continue(expect)
    return Head(
        method,
        target,
        version,
        headers,
        size,
        b"content-length" in values,
        chunked,
        has_body,
        framing.stays_open(version, values.get(b"connection")),
        # HTTP/1.0 knows no interim answer (RFC 9110 section 10.1.1).
        waits and has_body and version > 10,
        host,
        authority,
        resolve_path(raw_path) if raw_path.startswith(b"/") else (raw_path.decode() or "/"),
        query,
        raw_path,
        data,
        values,
    )


def _body_length(values: dict[bytes, bytes], version: int) -> tuple[int, bool]:
    """The Content-Length, 0 without one, and whether the body is chunked (RFC 9112 6.3)."""
    length = values.get(b"content-length")
    codings = values.get(b"transfer-encoding")
    if codings is not None:
        if length is not None:
            raise ProtocolError(400, "Content-Length and Transfer-Encoding exclude each other")
        framing.check_codings(codings, version)
        return 0, True
    return (0 if length is None else framing.content_length(length)), False


def _request_line(data: bytes, end: int, limits: HeadLimits) -> tuple[str, bytes, int]:
    """Method, target and version of the request line that `data` begins with."""
    if not 0 <= end <= limits.request_line:
        raise refuse_line(data, limits)
    match = _REQUEST_LINE.fullmatch(data, 0, end)
    if match is None:
        raise _refuse_request_line(data[:end])
    method, target, major, minor = match.groups()
    if major != b"1":
        raise _refuse_request_line(data[:end])
    return method.decode("ascii"), target, 10 if minor == b"0" else 11


def _refuse_request_line(line: bytes) -> ProtocolError:
    if b"\r" in line or b"\n" in line:
        return ProtocolError(400, BARE_REASON)
    parts = line.split(b" ")
    if len(parts) == 2 and not line.startswith(b" ") and b"" not in parts:
        return ProtocolError(400, "the request line has no version (HTTP/0.9)")
    if len(parts) != 3:
        return ProtocolError(400, "the request line is not method, target and version")
    method, target, version = parts
    match = _VERSION.fullmatch(version)
    if match is None or match[1] == b"0":
        return ProtocolError(400, "the version in the request line is malformed")
    if match[1] != b"1":
        return ProtocolError(505, "the request line asks for another HTTP than 1.x")
    if not TOKEN.fullmatch(method):
        return ProtocolError(400, "the method is not a token")
    if b"#" in target:
        return ProtocolError(400, "the request target has a fragment")
    return ProtocolError(400, "the request target has a byte that does not belong there")


class _Lines:
    """What llhttp calls for each header line."""

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        # llhttp strips the blanks before a value, not those after it.
        self.fields.append((name.lower(), value.rstrip(b" \t")))


def _header_lines(
    data: bytes, at: int, version: int, limits: HeadLimits
) -> tuple[tuple[bytes, bytes], ...]:
    """The header lines of `data` from `at` on."""
    if not data.endswith(b"\r\n\r\n"):
        fault = refuse_fields(data[at:], limits, whole=False)
        raise fault or ProtocolError(400, "the header does not end with an empty line")
    lines = _Lines()
    end = len(data) - 2  # where the empty line begins
    if end - at <= limits.header_size:
        # A parser for each head costs 0.2 µs more than a shared one, which a head with a body,
        # an upgrade or an error would leave in a state of its own.
        try:
            httptools.HttpRequestParser(lines).feed_data(_LINE_FOR_LLHTTP + data[at:])
        except httptools.HttpParserUpgrade:
            pass  # The head is whole by then. What Upgrade asks for is not llhttp's to decide.
        except httptools.HttpParserError as error:
            fault = refuse_fields(data[at:end], limits, whole=True)
            if fault is not None:
                raise fault from None
            if len(lines.fields) == data.count(b"\r\n", at) - 1:
                # Every line has come, so it is the transfer coding that llhttp does not like.
                # It knows one error for all of that; framing knows 400 from 501.
                codings = [value for name, value in lines.fields if name == b"transfer-encoding"]
                if codings:
                    framing.check_codings(b", ".join(codings), version)
            raise ProtocolError(400, f"the header is malformed: {error}") from None
    if end - at > limits.header_size or len(lines.fields) > limits.headers:
        fault = refuse_fields(data[at:end], limits, whole=True)
        raise fault or ProtocolError(431, "the header is too long")
    return tuple(lines.fields)


_ONCE = {b"host": "Host", b"content-length": "Content-Length"}


def _joined(headers: tuple[tuple[bytes, bytes], ...]) -> dict[bytes, bytes]:
    values: dict[bytes, bytes] = {}
    for name, value in headers:
        if name not in values:
            values[name] = value
        elif name in _ONCE:
            raise ProtocolError(400, f"there is more than one {_ONCE[name]}")
        else:
            values[name] += b", " + value
    return values
