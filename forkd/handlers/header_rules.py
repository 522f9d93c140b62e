"""A route's `headers` option, applied to a head that somebody else has written."""

from __future__ import annotations

import re

from forkd.config.settings import HeaderChanges
from forkd.handlers.base import apply_rules

_FOLD = re.compile(rb"\r?\n[ \t]+")
"""A line that begins with a blank continues the one before it (RFC 9112 5.2)."""


def with_rules(data: bytes, rules: HeaderChanges) -> bytes:
    """A whole head of a response as it is to be sent. No rule names its framing."""
    line, *lines = _FOLD.sub(b" ", data.rstrip(b"\r\n")).split(b"\n")
    split = [one.partition(b":") for one in lines]
    fields = apply_rules([(name, value.strip()) for name, _, value in split], rules)
    changed = [b"%b: %b" % pair for pair in fields]
    return b"\r\n".join([line.rstrip(b"\r"), *changed, b"", b""])
