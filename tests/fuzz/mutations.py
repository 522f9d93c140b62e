"""A seed and chance -> what a client does. Pure: the same chance gives the same conversation."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from tests.fuzz.seeds import CORPUS, LARGE, OWN, TARGETS

Mutation = Callable[[Random, bytes], bytes]

LONGEST_PIECES = 40
"""Of one conversation, so that it ends."""

CONTROLS = (b"\0", b"\r", b"\n", b"\t", b"\x0b", b"\x7f", b"\x80", b"\xff", b" ", b":", b"\r\n")

FIELDS = (
    *(b"Content-Length: 5", b"Content-Length: 0", b"Content-Length: -1", b"Content-Length: 1, 1"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Transfer-Encoding: identity"),
    *(b"Connection: close", b"Connection: keep-alive", b"Connection: upgrade", b"Upgrade: h2c"),
    *(b"Host: other", b"Expect: 100-continue", b"Expect: tea", b" folded", b"Proxy: http://x/"),
    *(
        b"Range: bytes=0-0",
        b"Range: bytes=9-1",
        b"Accept-Encoding: gzip",
        b"If-None-Match: *",
        b"X: " + b"a" * 9000,
    ),
)


class End(enum.Enum):
    """What a client does when it has sent everything."""

    READ = enum.auto()
    HALF_CLOSE = enum.auto()
    RESET = enum.auto()
    STALL = enum.auto()
    """It reads nothing for longer than write_timeout."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Pieces, each sent after its pause in seconds, and how it ends."""

    pieces: tuple[tuple[float, bytes], ...]
    end: End

    @property
    def sent(self) -> bytes:
        return b"".join(data for _, data in self.pieces)


def flip_bits(chance: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        # Heads are short beside bodies, and more happens there.
        at = chance.randrange(min(len(changed), chance.choice((60, 300, len(changed)))))
        changed[at] ^= 1 << chance.randrange(8)
    return bytes(changed)


def insert_control(chance: Random, data: bytes) -> bytes:
    at = chance.randrange(min(len(data), 400))
    return data[:at] + chance.choice(CONTROLS) + data[at:]


def remove_bytes(chance: Random, data: bytes) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + data[at + chance.randint(1, 9) :]


def cut_short(chance: Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def change_lines(chance: Random, data: bytes) -> bytes:
    """Double, remove, move or add a line of the head."""
    head, end, body = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    match chance.randrange(4):
        case 0:
            lines.insert(other, lines[at])
        case 1:
            del lines[at]
        case 2:
            lines.insert(other, lines.pop(at))
        case _:
            lines.insert(at + 1, chance.choice(FIELDS))
    return b"\r\n".join(lines) + end + body


def other_target(chance: Random, data: bytes) -> bytes:
    words = data.split(b" ", 2)
    return b" ".join((words[0], chance.choice(TARGETS), *words[2:])) if len(words) == 3 else data


def bare_line_ends(chance: Random, data: bytes) -> bytes:
    return data.replace(b"\r\n", chance.choice((b"\n", b"\r")), chance.randint(1, 3))


MUTATIONS: tuple[Mutation, ...] = (
    *(flip_bits, insert_control, remove_bytes, cut_short, bare_line_ends),
    *(change_lines, change_lines, change_lines, other_target, other_target, other_target),
)


def mutated(chance: Random, data: bytes) -> bytes:
    for _ in range(chance.choice((0, 0, 0, 1, 1, 1, 2, 3))):
        if data:
            data = chance.choice(MUTATIONS)(chance, data)
    return data


def conversation(chance: Random) -> Conversation:
    if chance.random() < 0.01:
        return Conversation(((0.0, LARGE),), End.STALL)
    count = chance.choice((1, 1, 1, 2, 3, 8))
    requests = [
        mutated(chance, chance.choice(chance.choice((OWN, OWN, CORPUS)))) for _ in range(count)
    ]
    end = chance.choice((End.READ, End.READ, End.READ, End.HALF_CLOSE, End.RESET))
    return Conversation(pieces(chance, requests), end)


def pieces(chance: Random, requests: Sequence[bytes]) -> tuple[tuple[float, bytes], ...]:
    """All at once, request by request, or cut anywhere, some of it slowly."""
    data = b"".join(requests)
    match chance.randrange(4):
        case 0 | 1:
            return ((0.0, data),)
        case 2:
            return tuple((chance.choice((0.0, 0.0, 0.05)), request) for request in requests)
        case _:
            inside = min(len(data), chance.choice((100, 1000, len(data))))
            count = min(chance.choice((1, 3, LONGEST_PIECES)), inside)
            places = sorted(chance.sample(range(inside), count))
            parts = (data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True))
            return tuple((chance.choice((0.0, 0.0, 0.005, 0.1)), part) for part in parts)
