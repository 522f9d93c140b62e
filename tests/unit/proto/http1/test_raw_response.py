from __future__ import annotations

import pytest

from forkd.errors import ProtocolError
from forkd.proto.http1.raw_response import RawHead, RawResponse

OK = b"HTTP/1.1 200 OK\r\n"
OLD = b"HTTP/1.0 200 OK\r\n"
END = b"\r\n"
LENGTH = b"Content-Length: 3\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def feed(
    data: bytes, *, method: str = "GET", version: int = 11, step: int = 0
) -> tuple[RawResponse, bytes]:
    """Feed it whole, or in pieces of `step` bytes; what goes out as a body."""
    response = RawResponse(method, version)
    size = step or len(data)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return response, b"".join([response.feed(piece) for piece in pieces])


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize(
    ("written", "body", "complete", "cut"),
    [
        (OK + LENGTH + END + b"abc", b"abc", True, False),
        (OK + LENGTH + END + b"ab", b"ab", False, False),
        (OK + LENGTH + END + b"abcd", b"abc", True, True),
        (OK + b"Content-Length: 0\r\n" + END, b"", True, False),
        (OK + END + b"until the end", b"until the end", False, False),
        (OK + CHUNKED + END + b"3\r\nabc\r\n0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n", True, False),
        (OK + CHUNKED + END + b"A;x=y\r\n0123456789\r\n0\r\nT: u\r\n\r\n", None, True, False),
        (OK + CHUNKED + END + b"3\r\nabc\r\n", b"3\r\nabc\r\n", False, False),
        (OK + CHUNKED + END + b"0\r\n\r\nmore", b"0\r\n\r\n", True, True),
        (OK + CHUNKED + END + b"zz\r\nabc\r\n0\r\n\r\n", None, False, False),
        (OK + CHUNKED + END + b"1\r\nabc\r\n0\r\n\r\n", None, False, False),
    ],
)
def test_where_a_response_ends(
    written: bytes, body: bytes | None, complete: bool, cut: bool, step: int
) -> None:
    response, out = feed(written, step=step)
    assert response.head is not None
    assert out == (written[len(response.head.data) :] if body is None else body)
    assert (response.complete, response.cut) == (complete, cut)
    assert written.startswith(response.head.data)


@pytest.mark.parametrize(
    ("method", "status_line"),
    [("HEAD", OK), ("GET", b"HTTP/1.1 204 No Content\r\n"), ("GET", b"HTTP/1.1 304 \r\n")],
)
def test_what_has_no_body_is_complete_with_its_head(method: str, status_line: bytes) -> None:
    response, out = feed(status_line + LENGTH + END + b"abc", method=method)
    assert (out, response.complete, response.cut) == (b"", True, False)


@pytest.mark.parametrize(
    ("written", "version", "keeps"),
    [
        (OK + LENGTH, 11, True),
        (OK + LENGTH + b"Connection: close\r\n", 11, False),
        (OK + LENGTH + b"connection: x, CLOSE\r\n", 11, False),
        (OK + CHUNKED, 11, True),
        (OK + CHUNKED + LENGTH, 11, False),
        (OK + b"Transfer-Encoding: gzip\r\n", 11, False),
        (OK, 11, False),
        (OLD + LENGTH, 11, False),
        (OLD + LENGTH + b"Connection: keep-alive\r\n", 11, True),
        (OLD + b"Connection: keep-alive\r\n", 11, False),
        (OK + LENGTH, 10, False),
        (OK + LENGTH + b"Connection: keep-alive\r\n", 10, True),
    ],
)
def test_whether_the_connection_may_go_on(written: bytes, version: int, keeps: bool) -> None:
    response, _ = feed(written + END, version=version)
    assert response.head is not None
    assert response.head.keeps is keeps


@pytest.mark.parametrize("step", [0, 1])
def test_interim_responses_are_left_out(step: int) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    response, out = feed(interim + OK + LENGTH + END + b"abc", step=step)
    assert response.head is not None
    assert (response.head.data, response.head.status, out) == (OK + LENGTH + END, 200, b"abc")


def test_lines_may_end_with_a_line_feed_alone() -> None:
    response, out = feed(b"HTTP/1.0 404 Not here\nContent-Length: 2\n\nno")
    assert response.head is not None
    assert (response.head.status, out, response.complete) == (404, b"no", True)


def test_lines_may_be_folded_and_names_be_written_as_one_likes() -> None:
    response, out = feed(OK + b"X: a\r\n b\r\n\tc: d\r\nCONTENT-length:2\r\n\r\nno")
    assert (out, response.complete) == (b"no", True)


def test_a_head_that_is_known_comes_to_the_same() -> None:
    known: dict[bytes, RawHead] = {}
    for head in (OK + LENGTH + END, OK + CHUNKED + END, OK + END, b"HTTP/1.1 204 A\r\n\r\n") * 2:
        response = RawResponse("GET", 11, known)
        assert response.feed(head) == b""
        assert response.head == feed(head)[0].head
        assert response.feed(b"3\r\nabc") == feed(head + b"3\r\nabc")[1]
    assert len(known) == 4


@pytest.mark.parametrize(("method", "version"), [("HEAD", 11), ("GET", 10)])
def test_a_head_is_not_known_to_other_requests(method: str, version: int) -> None:
    known: dict[bytes, RawHead] = {}
    for one in (("GET", 11), (method, version), ("GET", 11)):
        response = RawResponse(*one, known)
        response.feed(OK + LENGTH + END)
        assert response.head == feed(OK + LENGTH + END, method=one[0], version=one[1])[0].head


def test_only_so_many_heads_are_known() -> None:
    known: dict[bytes, RawHead] = {}
    for number in range(2000):
        RawResponse("GET", 11, known).feed(OK + b"X: %d\r\n\r\n" % number)
    RawResponse("GET", 11, known).feed(OK + b"X: " + b"x" * 5000 + b"\r\n\r\n")
    assert 0 < len(known) < 1000
    assert max(map(len, known)) < 5000


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (b"<html>", "no response of HTTP/1: '<html>'"),
        (b"h", "no response of HTTP/1"),
        (b"HTTP/2 200\r\n", "no response of HTTP/1"),
        (b"HTTP/1.1 OK\r\n\r\n", "a malformed status line"),
        (b"HTTP/1.1 99 Low\r\n", "a malformed status line"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "change the protocol"),
        (OK + b"no colon\r\n\r\n", "a line without a colon in a head: '.*no colon"),
        (OK + b"X: y\r\nz\r\n\r\n", "a line without a colon"),
        (OK + b"\rX: y\r\n\r\n", "a line without a colon"),
        (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "not one number"),
        (OK + b"Content-Length: -1\r\n\r\n", "not one number"),
        (OK + b"X: " + b"y" * 70_000, "more than 65536 bytes"),
    ],
)
def test_what_is_no_response_is_502(written: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason) as caught:
        feed(written)
    assert caught.value.status == 502


@pytest.mark.parametrize(
    ("written", "reason"), [(b"", "no response"), (b"HTTP/1.1 2", "half the head"), (OK, "half")]
)
def test_output_that_ends_too_early_is_502(written: bytes, reason: str) -> None:
    response = RawResponse("GET", 11)
    response.feed(written)
    assert reason in response.eof().reason
    assert response.eof().status == 502
