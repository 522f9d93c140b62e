"""Accept-Encoding (RFC 9110 section 12.5.3) as a pure function of its value and what there is."""

from __future__ import annotations

import re
from collections.abc import Sequence

IDENTITY = b"identity"

# The grammar of one member: a token or *, and a weight of up to three decimals.
_MEMBER = re.compile(
    rb"[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)"
    rb"(?:[ \t]*;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?[ \t]*"
)
_MOST_MEMBERS = 32
"""Nobody honest names more; the rest is not looked at."""


def choose_coding(value: bytes | None, available: Sequence[bytes]) -> bytes:
    """The content coding to answer with: one of `available`, or identity.

    `available` is in the order of the server's preference, which decides between codings that the
    client likes equally well. Without the header, or with nothing acceptable, identity: a client
    gains nothing from a 406. A member that is malformed does not count.
    """
    if value is None or not available:
        return IDENTITY
    weights = _weights(value)
    others = weights.get(b"*", 0)
    best, best_weight = IDENTITY, weights.get(IDENTITY, 0)
    for coding in available:
        weight = weights.get(coding, others)
        # A coding that is as welcome as identity saves bytes: it wins.
        if weight > best_weight or (weight == best_weight > 0 and best == IDENTITY):
            best, best_weight = coding, weight
    return best


def _weights(value: bytes) -> dict[bytes, int]:
    """Weights in thousandths by coding in lower case. x-gzip is gzip (RFC 9110 section 8.4.1.3)."""
    weights: dict[bytes, int] = {}
    for member in value.split(b",", _MOST_MEMBERS)[:_MOST_MEMBERS]:
        if match := _MEMBER.fullmatch(member):
            coding = match[1].lower()
            weight = 1000 if match[2] is None else round(float(match[2]) * 1000)
            weights.setdefault(b"gzip" if coding == b"x-gzip" else coding, weight)
    return weights
