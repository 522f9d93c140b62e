"""What a class of http.server finds in a request is what http.server itself makes of the head."""

from __future__ import annotations

import io
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler

from hypothesis import example, given, settings
from hypothesis import strategies as st

from forkd.handlers.handler_head import HandlerHead, request_bytes
from forkd.proto.http1.head import parse_head
from forkd.proto.http1.limits import HeadLimits

LIMITS = HeadLimits(request_line=100_000, header_size=200_000, headers=150)
ATTRIBUTES = ("requestline", "command", "path", "request_version", "close_connection")

NAMES = st.sampled_from(
    [
        b"Connection",
        b"CONNECTION",
        b"Content-Type",
        b"Cookie",
        b"From",
        b"Accept",
        b"!#$%&'*+-.^`|~0",
    ]
)
VALUES = st.sampled_from(
    [
        b"",
        b"close",
        b"Close",
        b"keep-alive",
        b"Keep-Alive ",
        b"keep-alive, close",
        b"text/html; charset=utf-8",
        b"multipart/form-data; boundary=x",
        b"multipart/mixed",
        b"Message/Rfc822",
        b"message/delivery-status",
        b"100-continue",
        b" \t two  blanks \t",
        b'"quoted: with a colon"',
        b"=?utf-8?q?word?=",
        b"caf\xe9 \x85 \xa0 \xff",
    ]
) | st.binary(max_size=20).map(
    lambda data: bytes(byte for byte in data if byte >= 0x20 and byte != 0x7F)
)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=12)
LINES = st.tuples(
    st.sampled_from([b"GET", b"POST", b"HEAD", b"M-SEARCH"]),
    st.sampled_from(
        [b"/", b"//a//b/", b"///", b"/a%20b?q=//x", b"http://a//b", b"/?" + b"x" * 9000]
    ),
    st.sampled_from([b"HTTP/1.0", b"HTTP/1.1", b"HTTP/1.9"]),
).map(b" ".join)


class Probe(BaseHTTPRequestHandler):
    """http.server's own parser, without a connection."""

    def __init__(self, data: bytes, protocol: str) -> None:
        self.protocol_version = protocol
        self.rfile = io.BufferedReader(io.BytesIO(data))
        self.raw_requestline = self.rfile.readline(65537)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        raise AssertionError(f"http.server refuses it: {code} {message} {explain}")


class Blank:
    """What a parser sets its findings on."""

    def __init__(self, protocol: str) -> None:
        self.protocol_version = protocol


def read(data: bytes) -> bytes:
    """The head as a class is to read it, of one that forkd lets in."""
    return request_bytes(parse_head(data, LIMITS), None, None)


def compare(data: bytes, protocol: str) -> bool:
    """Compare what both make of a head; False where it is left to http.server."""
    theirs = Probe(data, protocol)
    made = HandlerHead(data)
    if not made.is_plain:
        return False
    assert theirs.parse_request()
    ours = Blank(protocol)
    made.fill(ours)  # type: ignore[arg-type]  # has all that it needs
    for name in ATTRIBUTES:
        assert getattr(ours, name) == getattr(theirs, name), name
    message = vars(ours)["headers"]
    assert type(message) is HTTPMessage
    assert vars(message) == vars(theirs.headers)
    assert message.items() == theirs.headers.items()
    assert message.as_string() == theirs.headers.as_string()
    for name in set(theirs.headers.keys()):
        assert message.get_all(name) == theirs.headers.get_all(name)
    return True


@settings(max_examples=500, deadline=None)
@given(LINES, FIELDS, st.sampled_from(["HTTP/1.0", "HTTP/1.1", "HTTP/2.0"]))
@example(b"GET / HTTP/1.0", [], "HTTP/1.1")
@example(
    b"GET //a HTTP/1.1", [(b"Connection", b"close"), (b"Connection", b"keep-alive")], "HTTP/1.1"
)
@example(b"GET / HTTP/1.1", [(b"X", b"\xe9" * 9000)], "HTTP/1.1")
@example(b"GET / HTTP/1.1", [(b"X", b"y" * 70_000)], "HTTP/1.1")
@example(b"GET / HTTP/1.0", [(b"X", b"y")] * 99, "HTTP/1.0")
@example(b"GET / HTTP/1.0", [(b"X", b"y")] * 100, "HTTP/1.0")
def test_a_head_comes_to_the_same_as_in_http_server(
    line: bytes, fields: list[tuple[bytes, bytes]], protocol: str
) -> None:
    # forkd wants a Host of all but HTTP/1.0.
    host = [] if line.endswith(b"/1.0") else [(b"Host", b"a")]
    fields = host + fields
    lines = [line, *(b"%b: %b" % field for field in fields)]
    done = compare(read(b"\r\n".join([*lines, b"", b""])), protocol)
    kinds = [value.lower() for name, value in fields if name == b"Content-Type"]
    structured = any(b"multipart" in kind or b"message" in kind for kind in kinds)
    long = len(fields) > 99 or len(b"".join(lines)) > 60_000
    assert done is not (structured or long)
