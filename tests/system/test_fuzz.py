"""The fuzzer for a short while. `make fuzz SECONDS=600` is the long one."""

from __future__ import annotations

import os
import random
from pathlib import Path

from tests.fuzz.answers import read
from tests.fuzz.run import conversation_of, fuzz

SECONDS = 15.0 if os.environ.get("CI") else 10.0

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSING = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_broken_requests_do_no_damage(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    lines = [f"seed {seed}"]
    findings = fuzz(tmp_path, SECONDS, seed, report=lines.append)
    assert findings.faults + findings.damage == [], "\n".join(lines)
    # It was not a fuzzer of nothing.
    assert findings.conversations > 100, "\n".join(lines)
    assert {200, 400, 404} <= set(findings.statuses), "\n".join(lines)


def test_a_seed_gives_the_same_conversations_again() -> None:
    first = [conversation_of(7, number) for number in range(200)]
    assert first == [conversation_of(7, number) for number in range(200)]
    assert first != [conversation_of(8, number) for number in range(200)]


def test_the_check_of_answers_sees_what_is_wrong() -> None:
    sent = b"GET / HTTP/1.1\r\n\r\n" * 2
    for received, fault in (
        (GOOD + GOOD, ""),
        (GOOD + CLOSING, ""),
        (CHUNKED + b"2\r\nok\r\n0\r\n\r\n" + GOOD, ""),
        (CLOSING + GOOD, "bytes after"),
        (GOOD + b"\n", "no status line"),
        (GOOD * 4, "more answers than requests"),
        (CLOSING.replace(b"close", b"keep-alive"), "400 without"),
        (GOOD.replace(b"200 OK", b"500 Oh"), "status 500"),
        (GOOD.replace(b"Length: 2", b"Length: 2\r\nContent-Length: 3"), "two headers"),
        (GOOD.replace(b"Content-Length", b"X"), "neither a length nor a close"),
        (CHUNKED + b"2\r\nokay\r\n", "a chunk that does not end"),
        (CHUNKED + b"-1\r\n", "chunk size"),
    ):
        found = read(received, sent).fault
        assert (found.startswith(fault), bool(found)) == (True, bool(fault)), (received, found)
    for received, cut in (
        (GOOD[:-1], "length"),
        (GOOD[:9], "head"),
        (CHUNKED + b"2\r\no", "chunks"),
    ):
        assert read(received, sent).cut == cut
    head = GOOD.removesuffix(b"ok")
    assert read(head + GOOD, b"HEAD / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n").fault == ""
