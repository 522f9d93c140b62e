"""Preconditions of a request against a file's validators (RFC 9110 section 13), decided purely.

Everywhere `etag` is an entity tag as it is sent, quotes included, and b"" where there is none;
times are whole seconds since the epoch.
"""

from __future__ import annotations

import enum
import re

from forkd.proto.http1.dates import http_date, parse_http_date
from forkd.proto.http1.head import Head

_ETAG = rb'(?:W/)?"[!#-~\x80-\xff]*"'
_ETAG_LIST = re.compile(rb"[ \t,]*%b(?:[ \t]*,[ \t,]*%b)*[ \t,]*" % (_ETAG, _ETAG))
_ONE_ETAG = re.compile(_ETAG)


class Outcome(enum.Enum):
    """What the preconditions say: send it, 304, or 412."""

    PROCEED = enum.auto()
    NOT_MODIFIED = enum.auto()
    PRECONDITION_FAILED = enum.auto()


def evaluate(head: Head, etag: bytes, last_modified: int, now: int) -> Outcome:
    """Evaluate all preconditions but If-Range for something that exists, in the order of 13.2.2.

    `now` serves only to read years of two digits.
    """
    if_match = head.get(b"if-match")
    if if_match is not None:
        if if_match != b"*" and not _matches_strongly(if_match, etag):
            return Outcome.PRECONDITION_FAILED
    else:
        since = head.get(b"if-unmodified-since")
        if since is not None:
            date = parse_http_date(since, now)
            if date is not None and last_modified > date:
                return Outcome.PRECONDITION_FAILED

    safe = head.method in ("GET", "HEAD")
    if_none_match = head.get(b"if-none-match")
    if if_none_match is not None:
        if if_none_match == b"*" or _matches_weakly(if_none_match, etag):
            return Outcome.NOT_MODIFIED if safe else Outcome.PRECONDITION_FAILED
    elif safe:
        since = head.get(b"if-modified-since")
        if since is not None:
            date = parse_http_date(since, now)
            if date is not None and last_modified <= date:
                return Outcome.NOT_MODIFIED
    return Outcome.PROCEED


def range_applies(head: Head, etag: bytes, last_modified: int) -> bool:
    """Whether Range is to be heeded as far as If-Range says (RFC 9110 section 13.1.5).

    True without an If-Range. A tag must be equal and strong; a date must be the very bytes that
    Last-Modified had, since nearly equal would join pieces of two versions.
    """
    condition = head.get(b"if-range")
    if condition is None:
        return True
    if condition.endswith(b'"'):
        return condition == etag and not etag.startswith(b"W/")
    return condition == http_date(last_modified)


def _tags(value: bytes) -> list[bytes]:
    """The entity tags of a list, none where the list is malformed."""
    return _ONE_ETAG.findall(value) if _ETAG_LIST.fullmatch(value) else []


def _matches_strongly(value: bytes, etag: bytes) -> bool:
    return bool(etag) and not etag.startswith(b"W/") and etag in _tags(value)


def _matches_weakly(value: bytes, etag: bytes) -> bool:
    if not etag:
        return False
    # Nearly always it is the one tag that was sent before.
    if value == etag:
        return True
    opaque = etag.removeprefix(b"W/")
    return any(tag.removeprefix(b"W/") == opaque for tag in _tags(value))
