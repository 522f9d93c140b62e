from __future__ import annotations

from http import HTTPStatus

import pytest

from forkd.proto.http1.body import ChunkedDecoder
from forkd.proto.http1.limits import HeadLimits
from forkd.proto.http1.response import (
    CONTINUE,
    FINAL_CHUNK,
    REASONS,
    chunk,
    error_page,
    make_prefix,
)


def test_a_head_begins_with_status_and_server() -> None:
    assert make_prefix(200, [(b"ETag", b'"a"'), (b"x-A", b"")]) == (
        b'HTTP/1.1 200 OK\r\nServer: forkd\r\nETag: "a"\r\nx-A: \r\n'
    )


@pytest.mark.parametrize(
    ("status", "reason", "line"),
    [
        (404, b"", b"HTTP/1.1 404 Not Found\r\n"),
        (404, b"Gone fishing", b"HTTP/1.1 404 Gone fishing\r\n"),
        (299, b"", b"HTTP/1.1 299 \r\n"),
    ],
)
def test_a_status_line_has_a_phrase_or_an_empty_one(
    status: int, reason: bytes, line: bytes
) -> None:
    assert make_prefix(status, [], reason).startswith(line)


def test_every_status_of_the_standard_library_has_a_reason() -> None:
    assert {int(status) for status in HTTPStatus} <= set(REASONS)


def test_the_interim_answer_is_a_whole_head() -> None:
    assert CONTINUE == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_chunks_are_what_the_decoder_reads() -> None:
    decoder = ChunkedDecoder(HeadLimits())
    wire = chunk(b"hello") + chunk(b"") + chunk(b"x" * 300) + FINAL_CHUNK
    assert decoder.feed(wire) == b"hello" + b"x" * 300
    assert decoder.complete


def test_an_error_page_names_the_status_and_escapes_the_detail() -> None:
    page = error_page(404, "<b>&\udc80 \"no'").decode("utf-8")
    assert "<title>404 Not Found</title>" in page
    assert "&lt;b&gt;&amp;? &quot;no&#x27;" in page
    assert "<b>" not in page


def test_an_error_page_needs_no_detail_and_no_known_status() -> None:
    assert b'class="detail"' not in error_page(500)
    assert b"<h1>Error</h1>" in error_page(599)
    assert b"<h1>I&#x27;m a Teapot</h1>" in error_page(418)


def test_an_error_page_fetches_nothing() -> None:
    page = error_page(500, "detail")
    assert b"http" not in page.lower()
    assert b"src=" not in page
    assert b"<script" not in page
