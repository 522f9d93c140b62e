from __future__ import annotations

import pytest

from forkd.proto.http1.ranges import UNSATISFIABLE, ByteRange, Unsatisfiable, parse_range


@pytest.mark.parametrize(
    ("value", "size", "expected"),
    [
        (b"bytes=0-0", 10, ByteRange(0, 1)),
        (b"bytes=2-5", 10, ByteRange(2, 6)),
        (b"bytes=2-", 10, ByteRange(2, 10)),
        (b"bytes=2-99", 10, ByteRange(2, 10)),
        (b"bytes=9-9", 10, ByteRange(9, 10)),
        (b"bytes=-3", 10, ByteRange(7, 10)),
        (b"bytes=-99", 10, ByteRange(0, 10)),
        (b"BYTES=0-0", 10, ByteRange(0, 1)),
        (b"bytes= 0-0 ", 10, ByteRange(0, 1)),
        (b"bytes=0-" + b"9" * 5000, 10, ByteRange(0, 10)),
        (b"bytes=" + b"0" * 5000 + b"1-2", 10, ByteRange(1, 3)),
        (b"bytes=10-", 10, UNSATISFIABLE),
        (b"bytes=10-20", 10, UNSATISFIABLE),
        (b"bytes=-0", 10, UNSATISFIABLE),
        (b"bytes=0-", 0, UNSATISFIABLE),
        (b"bytes=-5", 0, UNSATISFIABLE),
        (b"bytes=" + b"9" * 5000 + b"-", 10, UNSATISFIABLE),
        (b"bytes=5-2", 10, None),
        (b"bytes=5-4", 10, None),
        (b"bytes=50-20", 10, None),
        (b"bytes=-", 10, None),
        (b"bytes= - ", 10, None),
        (b"bytes=", 10, None),
        (b"bytes", 10, None),
        (b"bytes=a-b", 10, None),
        (b"bytes=+1-2", 10, None),
        (b"bytes=1_0-2", 10, None),
        (b"bytes=1 - 2", 10, None),
        (b"bytes 0-1", 10, None),
        (b"lines=0-1", 10, None),
        (b"bytes=0-1,3-4", 10, None),
        (b"", 10, None),
    ],
)
def test_a_range_is_clamped_refused_or_ignored(
    value: bytes, size: int, expected: ByteRange | Unsatisfiable | None
) -> None:
    assert parse_range(value, size) == expected


def test_a_range_says_itself_with_both_ends_inclusive() -> None:
    part = ByteRange(2, 6)
    assert part.length == 4
    assert part.content_range(10) == b"bytes 2-5/10"
