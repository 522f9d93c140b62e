"""Grammar that heads, trailers and chunk lines share, and the verdict on what breaks it.

A verdict depends on the bytes up to the first fault only, never on how they were cut into reads:
a client gets the same status for the same bytes. What needs a whole line or head is not here.
"""

from __future__ import annotations

import re

from forkd.errors import ProtocolError
from forkd.proto.http1.limits import HeadLimits

# RFC 9110 section 5.6.2.
TOKEN_CHARS = rb"!#$%&'*+.^_`|~0-9A-Za-z-"
TOKEN = re.compile(rb"[" + TOKEN_CHARS + rb"]+")

# A CR or LF that is not half of a CRLF. A CR at the very end may still get its LF.
# RFC 9112 section 2.2 allows to accept a lone LF; proxies disagree about it, so it is refused.
BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")

# What may not stand in a field value (RFC 9110 section 5.5). HTAB and obs-text may.
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

BARE_REASON = "a line ends with a bare CR or LF"


def refuse_line(data: bytes, limits: HeadLimits) -> ProtocolError:
    """Say what is wrong with a request line that is too long or has a bare CR or LF in it.

    `data` begins with the request line; more of it than the limit does not matter.
    """
    if BARE_LINE_END.search(data[: limits.request_line + 1]):
        return ProtocolError(400, BARE_REASON)
    return ProtocolError(414, f"the request line is longer than {limits.request_line} bytes")


def refuse_fields(block: bytes, limits: HeadLimits, *, whole: bool) -> ProtocolError | None:
    """Say what is wrong with header lines as text: their ends, their number, their size.

    `block` begins after the request line. A `whole` one ends before the empty line; another is
    what has arrived so far, in which the CR of the empty line may be. None where nothing is wrong.
    """
    too_long = len(block) > limits.header_size + (0 if whole else 1)
    end = limits.header_size + 2
    at = 0
    for _ in range(limits.headers + 1):
        at = block.find(b"\r\n", at) + 2
        if at < 2:
            break
    too_many = at >= 2
    if too_many:
        end = min(end, at)
    if BARE_LINE_END.search(block[:end]):
        return ProtocolError(400, BARE_REASON)
    if too_many and at == end:
        return ProtocolError(431, f"there are more than {limits.headers} header lines")
    if too_long:
        return ProtocolError(431, f"the header is longer than {limits.header_size} bytes")
    return None
