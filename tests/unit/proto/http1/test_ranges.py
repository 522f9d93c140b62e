from __future__ import annotations

import pytest

from forkd.proto.http1.ranges import (
    MOST_PARTS,
    MOST_SPECS,
    UNSATISFIABLE,
    ByteRange,
    Unsatisfiable,
    parse_ranges,
)


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
        (b"", 10, None),
    ],
)
def test_a_range_is_clamped_refused_or_ignored(
    value: bytes, size: int, expected: ByteRange | Unsatisfiable | None
) -> None:
    wanted = (expected,) if isinstance(expected, ByteRange) else expected
    assert parse_ranges(value, size) == wanted


@pytest.mark.parametrize(
    ("value", "size", "expected"),
    [
        (b"bytes=0-0,-1", 10, ((0, 1), (9, 10))),
        (b"bytes=5-6 , 0-1", 10, ((5, 7), (0, 2))),
        (b"bytes=,0-0,,9-,", 10, ((0, 1), (9, 10))),
        (b"bytes=0-3,2-5", 10, ((0, 6),)),
        (b"bytes=0-1,2-3", 10, ((0, 4),)),
        (b"bytes=8-8,0-3,6-6,2-4", 10, ((8, 9), (0, 5), (6, 7))),
        (b"bytes=0-1,50-60", 10, ((0, 2),)),
        (b"bytes=0-,0-,0-", 10, None),
        (b"bytes=0-4,5-9", 10, None),
        (b"bytes=0-1,x", 10, None),
        (b"bytes=0-1,5-4", 10, None),
        (b"bytes=,", 10, None),
    ],
)
def test_several_ranges_keep_their_order_and_do_not_overlap(
    value: bytes, size: int, expected: tuple[tuple[int, int], ...] | None
) -> None:
    wanted = None if expected is None else tuple(ByteRange(*pair) for pair in expected)
    assert parse_ranges(value, size) == wanted


def test_several_ranges_behind_the_end_are_unsatisfiable() -> None:
    assert parse_ranges(b"bytes=10-,-0", 10) is UNSATISFIABLE


def test_what_asks_for_very_many_parts_is_ignored() -> None:
    def spread(count: int) -> bytes:
        return b"bytes=" + b",".join(b"%d-%d" % (3 * n, 3 * n) for n in range(count))

    parts = parse_ranges(spread(MOST_PARTS), 1000)
    assert isinstance(parts, tuple)
    assert len(parts) == MOST_PARTS
    assert parse_ranges(spread(MOST_PARTS + 1), 1000) is None
    same = b"bytes=" + b",".join([b"0-0"] * MOST_SPECS)
    assert parse_ranges(same, 1000) == (ByteRange(0, 1),)
    assert parse_ranges(same + b",0-0", 1000) is None


def test_a_range_says_itself_with_both_ends_inclusive() -> None:
    part = ByteRange(2, 6)
    assert part.length == 4
    assert part.content_range(10) == b"bytes 2-5/10"
