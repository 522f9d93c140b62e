"""How much of a request head is read before it is refused. Bodies have their own limit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """The most that one request head may hold. What is over it is answered 414 or 431.

    `request_line` is bytes without the line's end, `header_size` bytes of all header lines with
    their ends, `headers` a number of lines. Trailers are held to the last two as well.
    """

    request_line: int = 8192
    header_size: int = 32768
    headers: int = 100
