"""Figures and foreign text as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkd.cli.words import age, count, cut, printable, rate, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-0.2, "0.0s"),
        (4.25, "4.2s"),
        (187, "3m07s"),
        (5 * 3600 + 720, "5h12m"),
        (47 * 3600, "47h00m"),
        (12 * 86400 + 3 * 3600, "12d3h"),
    ],
)
def test_an_age_has_two_units_at_most(seconds: float, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (99_999, "99999"),
        (100_000, "100k"),
        (999_499, "999k"),
        (999_500, "1.0M"),
        (12_345_678, "12.3M"),
        (999_999_999, "1.0G"),
    ],
)
def test_a_large_number_is_short(number: int, text: str) -> None:
    assert count(number) == text


@given(st.integers(0, 10**12 - 10**9))
def test_a_number_fits_its_column(number: int) -> None:
    assert len(count(number)) <= 6


def test_sizes_and_rates() -> None:
    assert [size(n) for n in (0, 1023, 1536, 1 << 30, 5 << 40)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "1.0 GiB",
        "5.0 TiB",
    ]
    assert [rate(n) for n in (None, 0, 0.5, 99.5, 1234.4)] == ["-", "0", "0.5", "99.5", "1234"]


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert printable("/caf\u00e9?a=b c") == "/caf\u00e9?a=b c"
    assert printable("\x1b[2J\r\n\x9b1m\u202etxt\x7f") == r"\x1b[2J\r\n\x9b1m\u202etxt\x7f"


@given(st.text())
def test_nothing_that_is_printable_lost_its_meaning(text: str) -> None:
    assert printable(text).isprintable()


def test_a_cut_text_says_so() -> None:
    assert (cut("abc", 3), cut("abcd", 3)) == ("abc", "ab…")
