from __future__ import annotations

import pytest

from forkd.proto.http1.negotiation import choose_coding

ALL = (b"br", b"zstd", b"gzip")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, b"identity"),
        (b"", b"identity"),
        (b"gzip", b"gzip"),
        (b"GZIP", b"gzip"),
        (b"x-gzip", b"gzip"),
        (b"gzip, deflate, br, zstd", b"br"),
        (b"gzip, deflate, zstd", b"zstd"),
        (b"gzip;q=0.9, br;q=0.5", b"gzip"),
        (b"gzip;q=0", b"identity"),
        (b"gzip; q=0.0, br;q=0.001", b"br"),
        (b"*", b"br"),
        (b"*;q=0", b"identity"),
        (b"br;q=0, *", b"zstd"),
        (b"*;q=0.5, gzip", b"gzip"),
        (b"identity", b"identity"),
        (b"identity, gzip;q=0.5", b"identity"),
        (b"identity;q=0.5, gzip;q=0.5", b"gzip"),
        (b"identity;q=0", b"identity"),
        (b"gzip;q=2", b"identity"),
        (b"gzip;q=0.1234", b"identity"),
        (b"gzip;level=9", b"identity"),
        (b",, gzip ,", b"gzip"),
        (b"a," * 5000 + b"gzip", b"identity"),
    ],
)
def test_the_coding_is_what_the_client_likes_best(value: bytes | None, expected: bytes) -> None:
    assert choose_coding(value, ALL) == expected


def test_only_what_there_is_can_be_chosen() -> None:
    assert choose_coding(b"br, gzip;q=0.1", (b"gzip",)) == b"gzip"
    assert choose_coding(b"br", (b"gzip",)) == b"identity"
    assert choose_coding(b"br", ()) == b"identity"
