from __future__ import annotations

import pytest

from forkd.proto.http1.dates import http_date, parse_http_date

EXAMPLE = 784111777
NOW = 1_800_000_000  # 2027


@pytest.mark.parametrize(
    ("timestamp", "date"),
    [
        (EXAMPLE, b"Sun, 06 Nov 1994 08:49:37 GMT"),
        (0, b"Thu, 01 Jan 1970 00:00:00 GMT"),
        (-1, b"Wed, 31 Dec 1969 23:59:59 GMT"),
        (1709164800, b"Thu, 29 Feb 2024 00:00:00 GMT"),
        (253402300799, b"Fri, 31 Dec 9999 23:59:59 GMT"),
        (10**15, b"Fri, 31 Dec 9999 23:59:59 GMT"),
        (-(10**15), b"Mon, 01 Jan 0001 00:00:00 GMT"),
    ],
)
def test_a_date_is_written_in_the_fixed_form(timestamp: int, date: bytes) -> None:
    assert http_date(timestamp) == date


@pytest.mark.parametrize(
    ("value", "timestamp"),
    [
        (b"Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", EXAMPLE),
        (b"Sun Nov  6 08:49:37 1994", EXAMPLE),
        (b"Wed Nov 16 08:49:37 1994", EXAMPLE + 864000),
        (b"Sat, 31 Dec 2016 23:59:60 GMT", 1483228799),
        (b"Sat, 31 Dec 2016 23:59:61 GMT", None),
        (b"sun, 06 nov 1994 08:49:37 gmt", None),
        (b"Sun, 6 Nov 1994 08:49:37 GMT", None),
        (b"Sun, 31 Feb 1994 08:49:37 GMT", None),
        (b"Sun, 06 Nov 1994 24:00:00 GMT", None),
        (b"Sun, 06 Nov 0000 08:49:37 GMT", None),
        (b"Sun, 06 Nov 1994 08:49:37 UTC", None),
        (b"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", None),
        (b"Sun Nov  0 08:49:37 1994", None),
        (b"784111777", None),
        (b"", None),
    ],
)
def test_a_date_is_read_in_three_forms(value: bytes, timestamp: int | None) -> None:
    assert parse_http_date(value, NOW) == timestamp


@pytest.mark.parametrize(
    ("year", "full"), [(b"27", 2027), (b"77", 2077), (b"78", 1978), (b"99", 1999), (b"00", 2000)]
)
def test_a_year_of_two_digits_is_at_most_50_years_ahead(year: bytes, full: int) -> None:
    short = parse_http_date(b"Friday, 01-Jan-%b 00:00:00 GMT" % year, NOW)
    assert short == parse_http_date(b"Fri, 01 Jan %d 00:00:00 GMT" % full, NOW)


def test_a_year_of_two_digits_may_lie_in_the_next_century() -> None:
    late = 4070908800  # 2099
    short = parse_http_date(b"Friday, 01-Jan-05 00:00:00 GMT", late)
    assert short == parse_http_date(b"Thu, 01 Jan 2105 00:00:00 GMT", late)
