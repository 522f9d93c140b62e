"""The Range header (RFC 9110 section 14.1.2) as a pure function of its value and a size."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_UNIT = re.compile(rb"(?i:bytes)=")
_SPEC = re.compile(rb"[ \t]*(?:([0-9]+)-([0-9]*)|-([0-9]+))[ \t]*")

# More digits than this are beyond any file, and int() refuses some thousands of them.
_MAX_DIGITS = 18

MOST_SPECS = 64
"""A header that asks for more is ignored: nobody reads a file like that (CVE-2011-3192)."""
MOST_PARTS = 16
"""More parts than this after coalescing, and the whole is sent."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` (inclusive) to `stop` (exclusive), at least one, all within the size."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """How many bytes there are in it."""
        return self.stop - self.start

    def content_range(self, size: int) -> bytes:
        """The value of Content-Range, whose last position is inclusive."""
        return b"bytes %d-%d/%d" % (self.start, self.stop - 1, size)


class Unsatisfiable(enum.Enum):
    """No range begins before the end: 416, with `Content-Range: bytes */SIZE`."""

    UNSATISFIABLE = enum.auto()


UNSATISFIABLE: Final = Unsatisfiable.UNSATISFIABLE


def parse_ranges(value: bytes, size: int) -> tuple[ByteRange, ...] | Unsatisfiable | None:
    """What of `size` bytes a Range header asks for, clamped to what is there.

    One range, or several in the order asked for, those that overlap or touch made one (RFC 9110
    section 14.2 allows both). None where the header is to be ignored: it is malformed, of another
    unit, asks for very many ranges, or for no less than the whole in more than one piece.
    """
    unit = _UNIT.match(value)
    if unit is None:
        return None
    specs = value[unit.end() :].split(b",", MOST_SPECS)
    if len(specs) > MOST_SPECS:
        return None
    # Empty members of a list do not count (RFC 9110 section 5.6.1.2).
    parsed = [_parse(spec, size) for spec in specs if spec.strip(b" \t")]
    found = [part for part in parsed if isinstance(part, ByteRange)]
    if not parsed or None in parsed:
        return None
    if not found:
        return UNSATISFIABLE
    if len(found) == 1:
        return (found[0],)
    parts = tuple(_coalesced(found))
    if len(parts) > MOST_PARTS or sum(part.length for part in parts) >= size:
        return None
    return parts


def _parse(spec: bytes, size: int) -> ByteRange | Unsatisfiable | None:
    match = _SPEC.fullmatch(spec)
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        wanted = min(_number(suffix), size)
        return ByteRange(size - wanted, size) if wanted else UNSATISFIABLE
    start = _number(first)
    stop = _number(last) + 1 if last else max(size, start + 1)
    if stop <= start:
        return None
    return ByteRange(start, min(stop, size)) if start < size else UNSATISFIABLE


def _coalesced(parts: Sequence[ByteRange]) -> Iterator[ByteRange]:
    """Each group of ranges that overlap or touch as one, where its first one stood."""
    order = sorted(range(len(parts)), key=lambda index: parts[index].start)
    groups: list[tuple[int, ByteRange]] = []
    for index in order:
        part = parts[index]
        if groups and part.start <= groups[-1][1].stop:
            place, last = groups[-1]
            merged = ByteRange(last.start, max(last.stop, part.stop))
            groups[-1] = (min(place, index), merged)
        else:
            groups.append((index, part))
    for _, part in sorted(groups, key=lambda group: group[0]):
        yield part


def _number(digits: bytes) -> int:
    digits = digits.lstrip(b"0") or b"0"
    return int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS
