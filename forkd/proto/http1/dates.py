"""HTTP dates (RFC 9110 section 5.6.7), without locale and without clock."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name.encode(): number for number, name in enumerate(_MONTHS, 1)}

# Years 1 to 9999, which is what the format can hold.
_EARLIEST = -62135596800
_LATEST = 253402300799

_TIME = rb"(?P<hour>[0-2][0-9]):(?P<minute>[0-5][0-9]):(?P<second>[0-6][0-9])"
_MONTH = rb"(?P<month>" + "|".join(_MONTHS).encode() + rb")"
_SHORT_DAY = rb"(?:" + "|".join(_DAYS).encode() + rb")"
_LONG_DAY = rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_FORMS = (
    # Sun, 06 Nov 1994 08:49:37 GMT
    rb"%b, (?P<day>[0-9]{2}) %b (?P<year>[0-9]{4}) %b GMT" % (_SHORT_DAY, _MONTH, _TIME),
    # Sunday, 06-Nov-94 08:49:37 GMT
    rb"%b, (?P<day>[0-9]{2})-%b-(?P<year>[0-9]{2}) %b GMT" % (_LONG_DAY, _MONTH, _TIME),
    # Sun Nov  6 08:49:37 1994
    rb"%b %b (?P<day>[ 0-9][0-9]) %b (?P<year>[0-9]{4})" % (_SHORT_DAY, _MONTH, _TIME),
)
_PATTERNS = tuple(re.compile(form) for form in _FORMS)


def http_date(timestamp: int) -> bytes:
    """Seconds since the epoch as IMF-fixdate. What lies outside years 1 to 9999 is clamped."""
    moment = datetime.fromtimestamp(max(_EARLIEST, min(timestamp, _LATEST)), UTC)
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day:02} {_MONTHS[moment.month - 1]} "
        f"{moment.year:04} {moment.hour:02}:{moment.minute:02}:{moment.second:02} GMT"
    ).encode("ascii")


def parse_http_date(value: bytes, now: int) -> int | None:
    """Seconds since the epoch for a date in any of the three forms; None for anything else.

    A two-digit year is the one of those digits that is at most 50 years after `now` (seconds since
    the epoch). A leap second counts as the second before it.
    """
    for pattern in _PATTERNS:
        match = pattern.fullmatch(value)
        if match is not None:
            break
    else:
        return None
    year = int(match["year"])
    if len(match["year"]) == 2:
        year = _full_year(year, datetime.fromtimestamp(now, UTC).year)
    try:
        moment = datetime(
            year,
            _MONTH_NUMBERS[match["month"]],
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            min(int(match["second"]), 59) if match["second"] <= b"60" else 61,
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return int(moment.timestamp())


def _full_year(digits: int, this_year: int) -> int:
    year = this_year - this_year % 100 + digits
    if year > this_year + 50:
        return year - 100
    if year <= this_year - 50:
        return year + 100
    return year
