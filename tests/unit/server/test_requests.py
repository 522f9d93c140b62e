"""Requests that are answered at once: order, keep-alive, methods, refusals."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from forkd.handlers.base import Request, Response
from forkd.loop.stream import FileRange, SharedFile
from forkd.proto.http1.response import make_prefix
from tests.unit.server.conftest import MakeScene
from tests.unit.server.scene import HOST, Fixed, head, parse, text


def test_a_connection_is_kept_and_used_again(scene: MakeScene) -> None:
    one = scene({"/": text("hello")})
    for _ in range(3):
        reply = one.ask().reply()
        assert (reply.status, reply.body) == (200, b"hello")
        assert "Connection" not in reply.headers
        assert reply.headers["Date"].endswith(" GMT")
    assert one.server.tally.requests == 3
    assert one.server.tally.connections == 1
    assert one.server.tally.bytes_sent == 15


def test_pipelined_requests_are_answered_in_order(scene: MakeScene) -> None:
    one = scene({"/": text("root"), "/a": text("a"), "/b": text("b", 201)})
    one.send(head("/a") + head("/b", method="HEAD") + head("/b") + head("/"))
    data = one.read()
    first = parse(data)
    second = parse(first.rest, head_only=True)
    third = parse(second.rest)
    last = parse(third.rest)
    assert [r.body for r in (first, second, third, last)] == [b"a", b"", b"b", b"root"]
    assert last.rest == b""


def test_a_request_may_come_byte_by_byte(scene: MakeScene) -> None:
    one = scene({"/": text("hello")})
    for byte in head():
        assert one.read() == b""
        one.send(bytes([byte]))
    assert one.reply().body == b"hello"


@pytest.mark.parametrize(
    ("version", "header", "kept", "said"),
    [
        ("1.1", None, True, None),
        ("1.1", "Connection: close", False, "close"),
        ("1.0", None, False, "close"),
        ("1.0", "Connection: keep-alive", True, "keep-alive"),
    ],
)
def test_who_keeps_the_connection(
    scene: MakeScene, version: str, header: str | None, kept: bool, said: str | None
) -> None:
    one = scene({"/": text("hello")})
    one.ask("/", *([header] if header else []), version=version)
    assert one.reply().headers.get("Connection") == said
    assert one.ended is not kept


def test_the_last_request_of_a_connection_is_told_so(scene: MakeScene) -> None:
    one = scene({"/": text("x")}, keepalive_requests=2)
    assert "Connection" not in one.ask().reply().headers
    assert one.ask().reply().headers["Connection"] == "close"
    assert one.ended


def test_head_gets_the_head_and_no_body(scene: MakeScene) -> None:
    one = scene({"/": text("hello")})
    reply = one.ask(method="HEAD").reply(head_only=True)
    assert reply.headers["Content-Length"] == "5"
    assert reply.rest == b""
    assert not one.ended


@pytest.mark.parametrize(
    ("method", "status", "allow"),
    [
        ("POST", 405, "GET, HEAD, OPTIONS"),
        ("OPTIONS", 200, "GET, HEAD, OPTIONS"),
        ("BREW", 501, None),
        ("get", 501, None),
    ],
)
def test_a_method_that_the_route_lacks(
    scene: MakeScene, method: str, status: int, allow: str | None
) -> None:
    reply = scene({"/": text("x")}).ask(method=method).reply()
    assert (reply.status, reply.headers.get("Allow")) == (status, allow)


def test_options_for_the_server_as_a_whole_is_answered(scene: MakeScene) -> None:
    reply = scene({"/": text("x")}).ask("*", method="OPTIONS").reply()
    assert (reply.status, reply.headers["Allow"]) == (200, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize(
    ("method", "target", "status", "location"),
    [
        ("GET", "/none", 404, None),
        ("GET", "/dir", 301, "/dir/"),
        ("GET", "/dir?a=b", 301, "/dir/?a=b"),
        ("POST", "/dir", 308, "/dir/"),
    ],
)
def test_without_a_route_only_a_missing_slash_is_helped(
    scene: MakeScene, method: str, target: str, status: int, location: str | None
) -> None:
    reply = scene({"/dir/": text("x")}).ask(target, method=method).reply()
    assert (reply.status, reply.headers.get("Location")) == (status, location)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"\x16\x03\x01\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (f"GET /{'x' * 9000} HTTP/1.1\r\n{HOST}\r\n\r\n".encode(), 414),
        (head("/", f"X: {'x' * 40_000}"), 431),
        (head("/", "Expect: miracles", "Content-Length: 1"), 417),
        (head("/", "Content-Length: 1", "Transfer-Encoding: chunked"), 400),
    ],
)
def test_what_is_no_request_is_refused_and_nothing_after_it_is_answered(
    scene: MakeScene, data: bytes, status: int
) -> None:
    one = scene({"/": text("x")})
    one.send(data + head())
    reply = one.reply()
    assert (reply.status, reply.headers["Connection"]) == (status, "close")
    one.send(head())
    assert one.read() == b""
    assert one.server.tally.requests == 0


def test_good_requests_before_a_bad_one_are_answered(scene: MakeScene) -> None:
    one = scene({"/": text("x")})
    one.send(head() + b"bad\r\n\r\n")
    first = parse(one.read())
    assert first.body == b"x"
    assert parse(first.rest).status == 400


def test_a_fault_in_a_handler_is_500_and_the_connection_lives(
    scene: MakeScene, caplog: pytest.LogCaptureFixture
) -> None:
    def fault(_request: Request) -> Response:
        raise RuntimeError("broken handler")

    one = scene({"/": text("x"), "/fault": Fixed(fault)})
    assert one.ask("/fault").reply().status == 500
    assert "broken handler" in caplog.text
    assert one.ask().reply().status == 200
    assert one.server.tally.errors == 1


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_a_file_is_opened_for_each_answer(scene: MakeScene, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")

    def answer(_request: Request) -> Response:
        prefix = make_prefix(206, [(b"Content-Length", b"4")])
        return Response(206, prefix, open_file=lambda: FileRange(open_it(), 3, 4), length=4)

    def open_it() -> SharedFile:
        return SharedFile(os.open(tmp_path / "f", os.O_RDONLY | os.O_CLOEXEC))

    one = scene({"/": Fixed(answer)})
    for _ in range(2):
        assert one.ask().reply().body == b"3456"
    one.ask(method="HEAD")
    assert one.reply(head_only=True).rest == b""
    (tmp_path / "f").unlink()
    assert one.ask().reply().status == 404
