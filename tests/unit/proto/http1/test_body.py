from __future__ import annotations

import pytest

from forkd.errors import ProtocolError
from forkd.proto.http1.body import ChunkedDecoder, LengthDecoder
from forkd.proto.http1.limits import HeadLimits

LIMITS = HeadLimits()


def test_a_body_by_length_ends_where_it_says() -> None:
    decoder = LengthDecoder(5)
    assert (decoder.feed(b"hel"), decoder.complete) == (b"hel", False)
    assert (decoder.feed(b"lo, next"), decoder.complete) == (b"lo", True)
    assert decoder.rest == b", next"


def test_a_piece_that_is_the_whole_body_is_not_copied() -> None:
    data = b"hello"
    decoder = LengthDecoder(5)
    assert decoder.feed(data) is data
    assert (decoder.complete, decoder.rest) == (True, b"")


def test_a_chunked_body_gives_its_content_and_its_rest() -> None:
    decoder = ChunkedDecoder(LIMITS)
    assert decoder.feed(b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nT: u\r\n\r\nrest") == b"abcdefg"
    assert (decoder.complete, decoder.rest) == (True, b"rest")


def test_content_is_given_as_it_comes() -> None:
    decoder = ChunkedDecoder(LIMITS)
    pieces = [decoder.feed(bytes([byte])) for byte in b"3\r\nabc\r\n0\r\n\r\n"]
    assert [piece for piece in pieces if piece] == [b"a", b"b", b"c"]
    assert decoder.complete


def test_a_chunk_of_gigabytes_needs_no_memory_ahead() -> None:
    decoder = ChunkedDecoder(LIMITS)
    assert decoder.feed(b"ffffffffffffffff\r\nab") == b"ab"


def test_a_chunk_that_announces_more_than_the_limit_is_refused_before_its_data() -> None:
    decoder = ChunkedDecoder(LIMITS, max_body=10)
    assert decoder.feed(b"a\r\n0123456789\r\n") == b"0123456789"
    with pytest.raises(ProtocolError, match="413: the body is larger than 10 bytes"):
        decoder.feed(b"1\r\n")


@pytest.mark.parametrize(
    "line",
    [
        b"2;" + b"a;" * 2040 + b'b="',
        b"2;a=" + b'"' + b"\\a" * 2000,
        b"2" + b" " * 4000 + b"x",
        b"2" + b" ;a" * 1300 + b" ",
    ],
)
def test_a_long_line_with_a_bad_end_is_refused_in_time(line: bytes) -> None:
    with pytest.raises(ProtocolError, match="400"):
        ChunkedDecoder(LIMITS).feed(line + b"\r\n")


def test_a_line_that_never_ends_is_not_kept() -> None:
    decoder = ChunkedDecoder(LIMITS)
    for _ in range(41):
        assert decoder.feed(b"1" * 100) == b""
    with pytest.raises(ProtocolError, match="the line of a chunk is too long"):
        decoder.feed(b"1" * 100)
