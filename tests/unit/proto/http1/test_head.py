from __future__ import annotations

import httptools
import pytest

from forkd.errors import ProtocolError
from forkd.proto.http1.head import Head, log_escape, parse_head
from forkd.proto.http1.limits import HeadLimits

LIMITS = HeadLimits()


def parse(text: bytes) -> Head:
    return parse_head(text.replace(b"\n", b"\r\n") + b"\r\n", LIMITS)


def test_a_head_has_all_that_was_sent() -> None:
    head = parse(b"POST /a%20b/?q=1 HTTP/1.1\nHost: Example.org:80\nContent-Length: 3\nX-A:  b \n")
    assert head.method == "POST"
    assert head.target == b"/a%20b/?q=1"
    assert head.version == 11
    assert head.headers == (
        (b"host", b"Example.org:80"),
        (b"content-length", b"3"),
        (b"x-a", b"b"),
    )
    assert (head.content_length, head.has_length, head.chunked, head.has_body) == (
        3,
        True,
        False,
        True,
    )
    assert head.keep_alive
    assert not head.expects_continue
    assert (head.host, head.authority) == ("example.org", b"Example.org:80")
    assert (head.path, head.raw_path, head.query) == ("/a b/", b"/a%20b/", b"q=1")
    assert head.get(b"x-a") == b"b"
    assert head.get(b"x-b") is None


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/", "/"),
        (b"/a", "/a"),
        (b"/a/", "/a/"),
        (b"/.", "/"),
        (b"/./", "/"),
        (b"//", "/"),
        (b"/a/.", "/a/"),
        (b"/a/..", "/"),
        (b"/a/b/..", "/a/"),
        (b"/a/b/../", "/a/"),
        (b"/a//../b", "/b"),
        (b"/a/...", "/a/..."),
        (b"/.a", "/.a"),
        (b"/a/..b", "/a/..b"),
        (b"/a%2Fb", "/a/b"),
        (b"/%2e%2e%2fa%2f..", None),
        (b"/a/../..", None),
        (b"/a%5c..%5cb", "/a\\..\\b"),
        (b"/%E2%82%AC", "/\u20ac"),
        (b"/%80", "/\udc80"),
        (b"/a%0ab", "/a\nb"),
    ],
)
def test_a_path_has_one_spelling(raw: bytes, path: str | None) -> None:
    request = b"GET " + raw + b" HTTP/1.0\n"
    if path is None:
        with pytest.raises(ProtocolError, match="404: the path leaves the root"):
            parse(request)
    else:
        assert parse(request).path == path


@pytest.mark.parametrize(
    ("request_text", "line", "tail"),
    [
        (b"GET / HTTP/1.0\n", b"GET / HTTP/1.0", b'"-" "-"'),
        (
            b'GET /"\\ HTTP/1.3\nHost: a\nReferer: http://b/\nUser-Agent: x "\\\xe9\t\n',
            b"GET /\\x22\\x5C HTTP/1.3",
            b'"http://b/" "x \\x22\\x5C\\xE9"',
        ),
    ],
)
def test_what_the_access_log_writes_is_safe_between_quotes(
    request_text: bytes, line: bytes, tail: bytes
) -> None:
    head = parse(request_text)
    assert (head.log_line, head.log_tail) == (line, tail)
    assert head.log_line is head.log_line, "it is made once"


@pytest.mark.parametrize("byte", [*range(0x20), 0x22, 0x5C, *range(0x7F, 0x100)])
def test_each_unsafe_byte_is_escaped_for_the_log(byte: int) -> None:
    assert log_escape(b"a%cb" % byte) == b"a\\x%02Xb" % byte


@pytest.mark.parametrize(
    "header",
    [
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",  # space before the colon
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",  # bare LF
        b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",  # bare CR
        b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",  # obs-fold
        b"GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n",  # NUL
        b"GET / HTTP/1.1\r\nHost: a\x1f\r\n\r\n",  # control byte
        b"GET / HTTP/1.1\r\nHost: a\x7f\r\n\r\n",  # DEL
        b"GET / HTTP/1.1\r\nH\xf6st: a\r\n\r\n",  # name above ASCII
        b"GET / HTTP/1.1\r\n: a\r\n\r\n",  # empty name
    ],
)
def test_the_parser_of_header_lines_is_as_strict_as_relied_on(header: bytes) -> None:
    """A later llhttp may become lenient: then the check has to be made here."""
    parser = httptools.HttpRequestParser(object())
    with pytest.raises(httptools.HttpParserError):
        parser.feed_data(header)


def test_a_head_without_its_empty_line_is_refused() -> None:
    for text in (b"GET / HTTP/1.0\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n"):
        with pytest.raises(ProtocolError, match="does not end with an empty line"):
            parse_head(text, LIMITS)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"GET /\n", "HTTP/0.9"),
        (b"GET / HTTP/2.0\n", "another HTTP than 1.x"),
        (b"GET / HTTP/1.1\n", "there is no Host"),
        (b"GET / HTTP/1.1\nHost: a\nHost: b\n", "more than one Host"),
        (b"GET / HTTP/1.1\nHost: a\nX : b\n", "header is malformed"),
        (b"GET /%0 HTTP/1.1\nHost: a\n", "percent-encoding"),
        (b"GET /#a HTTP/1.1\nHost: a\n", "fragment"),
        (b"G(T / HTTP/1.1\nHost: a\n", "not a token"),
        (b"GET / HTTP/1.1\nHost: a\nExpect: tea\n", "only 100-continue"),
    ],
)
def test_a_refusal_says_why(text: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        parse(text)


def test_a_long_host_with_a_bad_end_is_refused_in_time() -> None:
    with pytest.raises(ProtocolError, match="the Host is malformed"):
        parse(b"GET / HTTP/1.1\nHost: " + b"a" * 30000 + b"@\n")
