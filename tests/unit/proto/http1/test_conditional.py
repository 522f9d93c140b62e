from __future__ import annotations

import pytest

from forkd.proto.http1.conditional import Outcome, evaluate, range_applies
from forkd.proto.http1.dates import http_date
from forkd.proto.http1.head import Head, parse_head
from forkd.proto.http1.limits import HeadLimits

CHANGED = 784111777
NOW = 1_800_000_000
BEFORE = http_date(CHANGED - 1)
SAME = http_date(CHANGED)
AFTER = http_date(CHANGED + 1)

PROCEED, NOT_MODIFIED, FAILED = Outcome


def request(method: str, headers: dict[str, bytes]) -> Head:
    lines = b"".join(name.encode() + b": " + value + b"\r\n" for name, value in headers.items())
    return parse_head(method.encode() + b" / HTTP/1.0\r\n" + lines + b"\r\n", HeadLimits())


@pytest.mark.parametrize(
    ("method", "headers", "etag", "outcome"),
    [
        ("GET", {}, b'"a"', PROCEED),
        # If-Match compares strongly.
        ("PUT", {"If-Match": b'"a"'}, b'"a"', PROCEED),
        ("PUT", {"If-Match": b'"b", "a"'}, b'"a"', PROCEED),
        ("PUT", {"If-Match": b"*"}, b'"a"', PROCEED),
        ("PUT", {"If-Match": b"*"}, b"", PROCEED),
        ("PUT", {"If-Match": b'"b"'}, b'"a"', FAILED),
        ("PUT", {"If-Match": b'W/"a"'}, b'W/"a"', FAILED),
        ("PUT", {"If-Match": b'W/"a"'}, b'"a"', FAILED),
        ("PUT", {"If-Match": b'"a'}, b'"a"', FAILED),
        ("GET", {"If-Match": b'"b"'}, b'"a"', FAILED),
        # If-Unmodified-Since counts only without If-Match.
        ("PUT", {"If-Unmodified-Since": BEFORE}, b'"a"', FAILED),
        ("PUT", {"If-Unmodified-Since": SAME}, b'"a"', PROCEED),
        ("PUT", {"If-Unmodified-Since": b"soon"}, b'"a"', PROCEED),
        ("PUT", {"If-Match": b'"a"', "If-Unmodified-Since": BEFORE}, b'"a"', PROCEED),
        # If-None-Match compares weakly.
        ("GET", {"If-None-Match": b'"a"'}, b'"a"', NOT_MODIFIED),
        ("HEAD", {"If-None-Match": b'"a"'}, b'"a"', NOT_MODIFIED),
        ("GET", {"If-None-Match": b'W/"a"'}, b'"a"', NOT_MODIFIED),
        ("GET", {"If-None-Match": b'"a"'}, b'W/"a"', NOT_MODIFIED),
        ("GET", {"If-None-Match": b'"x,y" , W/"z","a"'}, b'"a"', NOT_MODIFIED),
        ("GET", {"If-None-Match": b"*"}, b'"a"', NOT_MODIFIED),
        ("PUT", {"If-None-Match": b"*"}, b'"a"', FAILED),
        ("PUT", {"If-None-Match": b'"a"'}, b'"a"', FAILED),
        ("GET", {"If-None-Match": b'"b"'}, b'"a"', PROCEED),
        ("GET", {"If-None-Match": b'"x,"a",y"'}, b'"a"', PROCEED),
        ("GET", {"If-None-Match": b'""'}, b"", PROCEED),
        # If-Modified-Since counts only for GET and HEAD without If-None-Match.
        ("GET", {"If-Modified-Since": SAME}, b'"a"', NOT_MODIFIED),
        ("HEAD", {"If-Modified-Since": AFTER}, b'"a"', NOT_MODIFIED),
        ("GET", {"If-Modified-Since": BEFORE}, b'"a"', PROCEED),
        ("GET", {"If-Modified-Since": b"yesterday"}, b'"a"', PROCEED),
        ("POST", {"If-Modified-Since": SAME}, b'"a"', PROCEED),
        ("GET", {"If-None-Match": b'"b"', "If-Modified-Since": SAME}, b'"a"', PROCEED),
        ("GET", {"If-None-Match": b'"a"', "If-Modified-Since": BEFORE}, b'"a"', NOT_MODIFIED),
        # The order: what guards writing comes first.
        ("GET", {"If-None-Match": b'"a"', "If-Match": b'"b"'}, b'"a"', FAILED),
        ("GET", {"If-Match": b'"a"', "If-None-Match": b'"a"'}, b'"a"', NOT_MODIFIED),
        ("GET", {"If-Unmodified-Since": BEFORE, "If-Modified-Since": SAME}, b'"a"', FAILED),
    ],
)
def test_preconditions_are_evaluated_in_order(
    method: str, headers: dict[str, bytes], etag: bytes, outcome: Outcome
) -> None:
    assert evaluate(request(method, headers), etag, CHANGED, NOW) is outcome


def test_a_long_list_of_tags_with_a_bad_end_is_judged_in_time() -> None:
    head = request("GET", {"If-None-Match": b'"b", ' * 5000 + b"x"})
    assert evaluate(head, b'"a"', CHANGED, NOW) is PROCEED


@pytest.mark.parametrize(
    ("condition", "etag", "applies"),
    [
        (None, b'"a"', True),
        (b'"a"', b'"a"', True),
        (b'"b"', b'"a"', False),
        (b'W/"a"', b'W/"a"', False),
        (b'W/"a"', b'"a"', False),
        (b'""', b"", False),
        (SAME, b'"a"', True),
        (BEFORE, b'"a"', False),
        (AFTER, b'"a"', False),
        (b"later", b'"a"', False),
    ],
)
def test_a_range_applies_to_the_very_same_version_only(
    condition: bytes | None, etag: bytes, applies: bool
) -> None:
    headers = {} if condition is None else {"If-Range": condition}
    assert range_applies(request("GET", headers), etag, CHANGED) is applies
