"""Durations and sizes."""

from __future__ import annotations

import pytest

from forkd.config.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("60", 60.0),
        ("1.5s", 1.5),
        ("1.5m", 90.0),
        ("0", 0.0),
        (30, 30.0),
        (0.25, 0.25),
    ],
)
def test_a_duration_is_seconds(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "-1s",
        "+1s",
        "1 s",
        "1d",
        "1S",
        "1e3",
        "nan",
        "inf",
        "1s ",
        "1m30s",
        "\u0661s",
        "1_0s",
        None,
        [],
        {},
        "9" * 5000,
    ],
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 500ms, 30s, 5m or 1h, not"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0", "0s", "8761h"])
def test_a_duration_has_bounds_that_are_named(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration from 1ms to 8760h, not"):
        parse_duration(text, low=0.001)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.5, "500ms"),
        (1.5, "1500ms"),
        (30, "30s"),
        (90, "90s"),
        (300, "5m"),
        (3600, "1h"),
        (5400, "90m"),
    ],
)
def test_a_duration_is_written_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1", 1), ("8K", 8192), ("8k", 8192), ("10M", 10 << 20), ("1G", 1 << 30), (77, 77)],
)
def test_a_size_is_bytes_in_powers_of_1024(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "K", "-1", "1.5K", "10MB", "1T", "1 K", "0x10", None, []])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a size such as 64K, 10M or 1G, not"):
        parse_size(text)


@pytest.mark.parametrize("text", ["127", "2M", "9999999999G"])
def test_a_size_has_bounds_that_are_named(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size from 128 to 1M, not"):
        parse_size(text, 128, 1 << 20)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0"), (1000, "1000"), (1024, "1K"), (5 << 20, "5M"), (1 << 40, "1024G")]
)
def test_a_size_is_written_in_its_largest_whole_unit(size: int, text: str) -> None:
    assert format_size(size) == text
