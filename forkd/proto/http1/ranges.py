"""The Range header (RFC 9110 section 14.1.2) as a pure function of its value and a size.

Only a single range is understood. A list of them is ignored, which the RFC allows, so the whole is
sent.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

_SINGLE = re.compile(rb"(?i:bytes)=[ \t]*([0-9]*)-([0-9]*)[ \t]*")

# More digits than this are beyond any file, and int() refuses some thousands of them.
_MAX_DIGITS = 18


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
    """A range that begins behind the end: 416, with `Content-Range: bytes */SIZE`."""

    UNSATISFIABLE = enum.auto()


UNSATISFIABLE: Final = Unsatisfiable.UNSATISFIABLE


def parse_range(value: bytes, size: int) -> ByteRange | Unsatisfiable | None:
    """What of `size` bytes a Range header asks for, clamped to what is there.

    None where the header is to be ignored: malformed, of another unit, or of several ranges.
    """
    match = _SINGLE.fullmatch(value)
    if match is None or match[0].endswith(b"=-"):
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:
        wanted = min(_number(last), size)
        return ByteRange(size - wanted, size) if wanted else UNSATISFIABLE
    start = _number(first)
    stop = _number(last) + 1 if last else max(size, start + 1)
    if stop <= start:
        return None
    return ByteRange(start, min(stop, size)) if start < size else UNSATISFIABLE


def _number(digits: bytes) -> int:
    digits = digits.lstrip(b"0") or b"0"
    return int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS
