"""What mutations begin with: the corpus of requests, and requests that reach every route."""

from __future__ import annotations

from tests.unit.test_corpus_http1 import ALL

ROUTES = {
    "/": "{static: html, listing: true}",
    "/old/": "{redirect: /dir/, status: 301}",
    "/hello": '{respond: "hello\\n"}',
    "/cgi-bin/": "{cgi: cgi-bin, timeout: 2s}",
}

LIMITS = (
    "{header_timeout: 300ms, body_timeout: 300ms, write_timeout: 700ms, keepalive_timeout: 300ms,"
    " keepalive_requests: 30, max_body: 1M}"
)
"""So short that clients which are slow meet every one of them."""

TARGETS = (
    *(b"/", b"/small.txt", b"/big.bin", b"/dir", b"/dir/", b"/none", b"/hello", b"/old/x?y=1"),
    *(b"/cgi-bin/hi.sh", b"/cgi-bin/echo.sh", b"/cgi-bin/none.sh", b"/cgi-bin/echo.sh/info?q=%41"),
    *(b"/%2e%2e/forkd.yaml", b"//small.txt", b"/small.txt/../big.bin", b"http://test/hello", b"*"),
)

LARGE = b"GET /large.bin HTTP/1.1\r\nHost: test\r\n\r\n"
"""For clients that do not read: more than the kernel holds for one."""


def _request(line: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((line + b" HTTP/1.1", b"Host: test", *fields, b"", b"")) + body


OWN = (
    *(_request(b"GET " + target) for target in TARGETS),
    *(_request(b"HEAD " + target) for target in TARGETS),
    _request(b"GET /big.bin", b"Range: bytes=100-5000"),
    _request(b"GET /big.bin", b"Range: bytes=-1", b"If-Range: Mon, 01 Jan 2001 00:00:00 GMT"),
    _request(b"GET /big.bin", b"Range: bytes=0-1,5000-5001,-9"),
    _request(b"GET /small.txt", b"Accept-Encoding: gzip, br;q=0.5, *;q=0"),
    _request(b"GET /dir/?json", b"Accept: application/json"),
    _request(b"GET /small.txt", b"If-None-Match: *"),
    _request(b"GET /small.txt", b"If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"),
    _request(b"OPTIONS *"),
    _request(b"OPTIONS /small.txt"),
    _request(b"PUT /small.txt", b"Content-Length: 5", body=b"12345"),
    _request(b"POST /cgi-bin/echo.sh", b"Content-Length: 11", body=b"hello world"),
    _request(
        b"POST /cgi-bin/echo.sh",
        b"Transfer-Encoding: chunked",
        body=b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n",
    ),
    _request(
        b"POST /cgi-bin/echo.sh",
        b"Expect: 100-continue",
        b"Content-Length: 3",
        body=b"abc",
    ),
    _request(b"POST /cgi-bin/echo.sh", b"Content-Length: 2000000", body=b"x" * 2000000),
    _request(b"POST /cgi-bin/echo.sh", b"Content-Length: 400000", body=b"y" * 400000),
    _request(
        b"POST /cgi-bin/echo.sh",
        b"Transfer-Encoding: chunked",
        body=b"20000\r\n" + b"z" * 0x20000 + b"\r\n0\r\n\r\n",
    ),
    _request(b"GET /cgi-bin/hi.sh", b"Connection: close"),
    b"GET /small.txt HTTP/1.0\r\n\r\n",
    b"GET /cgi-bin/hi.sh HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
)

CORPUS = tuple(case.wire for case in ALL)
