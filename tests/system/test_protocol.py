"""HTTP as clients speak it: pipelining, versions, methods, expectations, half-closed ends."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.system.daemon import DEADLINE_S, Daemon, started
from tests.system.tools import need
from tests.system.wire import Wire, exchange, fetch, request

ECHO = '#!/bin/sh\nprintf "Content-Type: text/plain\\n\\n$REQUEST_METHOD "\ncat\n'


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("protocol")
    (directory / "html").mkdir()
    (directory / "html" / "file.txt").write_text("file")
    (directory / "html" / "large.txt").write_bytes(b"l" * 300_000)
    (directory / "echo.sh").write_text(ECHO)
    (directory / "echo.sh").chmod(0o755)
    routes = {
        "/": "{static: html}",
        "/hello": "{respond: hello}",
        "/echo": "{cgi: echo.sh}",
        "/read-only": "{cgi: echo.sh, methods: [GET]}",
    }
    with started(directory, routes, workers="{count: 1}") as running:
        yield running


def test_pipelined_requests_are_answered_in_order(daemon: Daemon) -> None:
    chunked = request("/echo", "Transfer-Encoding: chunked", method="PUT")
    kinds = [
        (request("/file.txt"), b"file"),
        (request("/echo", method="POST", body=b"body"), b"POST body"),
        (request("/hello"), b"hello"),
        (request("/large.txt"), b"l" * 300_000),
        (request("/echo"), b"GET "),
        (chunked + b"3\r\nabc\r\n0\r\n\r\n", b"PUT abc"),
        (request("/file.txt", method="POST", body=b"nobody wants this"), None),
    ]
    with Wire(daemon.port) as wire:
        wire.send(b"".join(data for data, _ in kinds * 5))
        for _, wanted in kinds * 5:
            answer = wire.answer()
            assert (answer.status, answer.body) == (200, wanted) if wanted else answer.status == 405


def test_a_request_in_single_bytes_is_a_request(daemon: Daemon) -> None:
    data = request("/echo", "X-Header: value", method="POST", body=b"twelve bytes")
    with Wire(daemon.port) as wire:
        wire.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(len(data)):
            wire.send(data[number : number + 1])
        assert wire.answer().text == "POST twelve bytes"


@pytest.mark.parametrize("target", ["/file.txt", "/hello", "/echo"])
def test_http_1_0_closes_after_the_answer(daemon: Daemon, target: str) -> None:
    data = exchange(daemon.port, f"GET {target} HTTP/1.0\r\n\r\n".encode())
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close" in head
    assert b"chunked" not in head
    assert body in (b"file", b"hello", b"GET ")


def test_http_1_0_is_kept_open_when_it_asks_for_that(daemon: Daemon) -> None:
    with Wire(daemon.port) as wire:
        for _ in range(3):
            wire.send(b"GET /file.txt HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            answer = wire.answer()
            assert (answer.text, answer.headers["connection"]) == ("file", "keep-alive")
        # The end of what is too long to be waited for is told by the close alone.
        sent = b"x" * 40_000
        length = f"Content-Length: {len(sent)}"
        head = f"POST /echo HTTP/1.0\r\n{length}\r\nConnection: Keep-Alive\r\n\r\n"
        wire.send(head.encode() + sent)
        answer = wire.answer()
        assert (answer.body, answer.headers["connection"]) == (b"POST " + sent, "close")


def test_the_connection_ends_when_the_client_says_so(daemon: Daemon) -> None:
    with Wire(daemon.port) as wire:
        wire.send(request("/hello", "Connection: close") + request("/hello"))
        assert wire.answer().headers["connection"] == "close"
        assert wire.rest() == b""


@pytest.mark.parametrize("target", ["/file.txt", "/large.txt", "/hello", "/echo", "/missing"])
def test_head_is_get_without_its_body(daemon: Daemon, target: str) -> None:
    with Wire(daemon.port) as wire:
        head, get = wire.get(target, method="HEAD"), wire.get(target)
    assert head.status == get.status
    ours = {"date", "transfer-encoding"}
    if target == "/echo":
        # How long a program's answer to GET would be is not known.
        assert "content-length" not in head.headers
        ours.add("content-length")
    assert {name: value for name, value in head.headers.items() if name not in ours} == {
        name: value for name, value in get.headers.items() if name not in ours
    }


@pytest.mark.parametrize(
    ("method", "target", "status", "allow"),
    [
        ("OPTIONS", "/file.txt", 200, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/missing", 200, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "*", 200, "GET, HEAD, OPTIONS"),
        ("POST", "/file.txt", 405, "GET, HEAD, OPTIONS"),
        ("DELETE", "/missing", 405, "GET, HEAD, OPTIONS"),
        ("TRACE", "/hello", 405, "GET, HEAD, OPTIONS"),
        ("POST", "/read-only", 405, "GET, OPTIONS"),
        ("FROBNICATE", "/file.txt", 501, None),
        ("get", "/file.txt", 501, None),
        ("FROBNICATE", "/echo", 200, None),
    ],
)
def test_a_method_is_answered(
    daemon: Daemon, method: str, target: str, status: int, allow: str | None
) -> None:
    answer = fetch(daemon.port, target, method=method)
    assert (answer.status, answer.headers.get("allow")) == (status, allow)


def test_continue_comes_when_the_body_is_wanted(daemon: Daemon) -> None:
    with Wire(daemon.port) as wire:
        head = ("Expect: 100-continue", "Content-Length: 4")
        wire.send(request("/echo", *head, method="POST"))
        assert wire.head().status == 100
        wire.send(b"body")
        assert wire.answer().text == "POST body"


def test_continue_does_not_come_when_it_is_not(daemon: Daemon) -> None:
    for target, size, status in (("/file.txt", 4, 405), ("/echo", 10**12, 413)):
        with Wire(daemon.port) as wire:
            head = ("Expect: 100-continue", f"Content-Length: {size}")
            wire.send(request(target, *head, method="POST"))
            answer = wire.head()
            assert (answer.status, answer.headers["connection"]) == (status, "close")


def test_an_unknown_expectation_fails(daemon: Daemon) -> None:
    assert fetch(daemon.port, "/hello", "Expect: a miracle").status == 417


def test_curl_waits_for_continue_and_gets_it(daemon: Daemon) -> None:
    result = subprocess.run(
        [
            *(need("curl"), "--silent", "--verbose", "--noproxy", "*", "--max-time", "15"),
            *("--expect100-timeout", "15", "-H", "Expect: 100-continue"),
            *("--data-binary", "some data", f"{daemon.url}/echo"),
        ],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert "< HTTP/1.1 100 Continue" in result.stderr
    assert result.stdout == "POST some data"


@pytest.mark.parametrize("target", ["/file.txt", "/large.txt", "/hello", "/echo"])
def test_a_client_that_half_closes_gets_its_answer(daemon: Daemon, target: str) -> None:
    with Wire(daemon.port) as wire:
        wire.send(request(target))
        wire.end()
        assert wire.answer().status == 200
        assert wire.rest() == b""


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"a" * 40_000 + b"\r\n\r\n", 431),
    ],
)
def test_after_a_wrong_request_nothing_more_is_answered(
    daemon: Daemon, data: bytes, status: int
) -> None:
    with Wire(daemon.port) as wire:
        wire.send(data + request("/hello"))
        answer = wire.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert wire.rest() == b""
