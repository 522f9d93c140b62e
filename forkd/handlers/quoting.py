"""Decoded paths as they stand in a URL."""

from __future__ import annotations

from urllib.parse import quote


def quote_path(path: str) -> bytes:
    """Percent-encode what a path segment may not hold (RFC 3986 3.3); slashes stay."""
    return quote(path.encode("utf-8", "surrogateescape"), safe="/!$&'()*+,;=:@~").encode()
