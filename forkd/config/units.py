"""Durations and sizes as people write them.

Pure text to numbers and back. A duration becomes seconds, a size becomes bytes; every error is a
ValueError that says what was expected.
"""

from __future__ import annotations

import re

from forkd.config.words import describe, text_of

MAX_DURATION_S = 365 * 24 * 3600.0
"""Longer deadlines are mistakes, and far larger ones overflow the kernel's timers."""

MAX_SIZE = 2**63 - 1
"""The largest off_t."""

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "": 1.0}
_BYTES = {"G": 1 << 30, "M": 1 << 20, "K": 1 << 10, "": 1}

_DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(ms|s|m|h|)")
_SIZE = re.compile(r"([0-9]{1,19})([KMG]?)", re.IGNORECASE)


def parse_duration(value: object, low: float = 0.0, high: float = MAX_DURATION_S) -> float:
    """Seconds of `500ms`, `30s`, `5m`, `1h` or a plain number of seconds, from low to high."""
    text = text_of(value)
    match = _DURATION.fullmatch(text) if text is not None else None
    if match is None:
        raise ValueError(f"expected a duration such as 500ms, 30s, 5m or 1h, not {describe(value)}")
    number, unit = match.groups()
    # Division, not a product with 0.001: 1500ms must be the same float as 1.5s.
    seconds = float(number) / 1000 if unit == "ms" else float(number) * _SECONDS[unit]
    if not low <= seconds <= high:
        bounds = f"from {format_duration(low)} to {format_duration(high)}"
        raise ValueError(f"expected a duration {bounds}, not {describe(value)}")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest text that parse_duration reads as `seconds`, to the millisecond."""
    milliseconds = round(seconds * 1000)
    if milliseconds % 1000:
        return f"{milliseconds}ms"
    whole = milliseconds // 1000
    for unit, factor in (("h", 3600), ("m", 60)):
        if whole and whole % factor == 0:
            return f"{whole // factor}{unit}"
    return f"{whole}s"


def parse_size(value: object, low: int = 0, high: int = MAX_SIZE) -> int:
    """Bytes of `64K`, `10M`, `1G` (powers of 1024) or a plain number of bytes, low to high."""
    text = text_of(value)
    match = _SIZE.fullmatch(text) if text is not None else None
    if match is None:
        raise ValueError(f"expected a size such as 64K, 10M or 1G, not {describe(value)}")
    size = int(match[1]) * _BYTES[match[2].upper()]
    if not low <= size <= high:
        bounds = f"from {format_size(low)} to {format_size(high)}"
        raise ValueError(f"expected a size {bounds}, not {describe(value)}")
    return size


def format_size(size: int) -> str:
    """The shortest text that parse_size reads as `size`."""
    for unit, factor in _BYTES.items():
        if unit and size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)
