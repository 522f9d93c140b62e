"""From bytes to keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkd.cli.top.keys import Keys


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"q", ["q"]),
        (b"jj\r", ["j", "j", "enter"]),
        (b"\x1b[A\x1bOB\x1b[5~", ["up", "down", "pageup"]),
        (b"\x1b[1;5A", ["unknown"]),
        (b"\x1bq", ["escape", "q"]),
        (b"\x1b\x1b[A", ["escape", "up"]),
        ("é".encode(), ["unknown", "unknown"]),
        (b"\x03\x1a", ["q", "suspend"]),
    ],
)
def test_keys(data: bytes, keys: list[str]) -> None:
    reader = Keys()
    assert reader.feed(data) == keys
    assert not reader.incomplete


def test_a_sequence_may_come_in_pieces() -> None:
    reader = Keys()
    assert reader.feed(b"\x1b") == reader.feed(b"[") == reader.feed(b"6") == []
    assert reader.incomplete
    assert reader.feed(b"~j") == ["pagedown", "j"]


def test_escape_alone_is_a_key_when_nothing_follows() -> None:
    reader = Keys()
    assert reader.feed(b"\x1b") == []
    assert reader.flush() == ["escape"]
    assert reader.flush() == []


@given(st.binary())
def test_any_bytes_are_read_to_their_end(data: bytes) -> None:
    reader = Keys()
    reader.feed(data)
    reader.flush()
    assert reader.feed(b"q") == ["q"]
