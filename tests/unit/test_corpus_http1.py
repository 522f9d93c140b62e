"""The corpus of requests, played whole, byte by byte, and at random places."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from forkd.proto.http1.head import Head
from forkd.proto.http1.limits import HeadLimits
from tests.unit.proto.http1.wire import Transcript, cut, play

CORPUS = Path(__file__).parent.parent / "corpus" / "http1"
STATES = ("error", "partial", "open", "idle")


@dataclass
class Case:
    """One entry of the corpus. The format is in tests/corpus/README.md."""

    place: str
    name: str
    note: str = ""
    limits: dict[str, int] = field(default_factory=dict)
    wire: bytes = b""
    expected: list[str] = field(default_factory=list)

    def play(self, pieces: list[bytes]) -> Transcript:
        limits = dict(self.limits)
        max_body = limits.pop("max_body", None)
        return play(pieces, HeadLimits(**limits), max_body)


def unescape(text: str) -> bytes:
    """`\\r`, `\\n`, `\\t`, `\\\\`, `\\xHH`, and `{COUNT*TEXT}` for a repetition."""
    text = re.sub(r"\{(\d+)\*([^}]*)\}", lambda found: found[2] * int(found[1]), text)
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def cases() -> Iterator[Case]:
    for file in sorted(CORPUS.glob("*.txt")):
        case: Case | None = None
        for number, line in enumerate(file.read_text("ascii").splitlines(), 1):
            place = f"{file.name}:{number}"
            if not line or line.startswith("#"):
                continue
            if line.startswith("== "):
                if case is not None:
                    yield case
                case = Case(place, line.removeprefix("== "))
                continue
            assert case is not None, f"{place}: a case begins with =="
            if line.startswith("> "):
                case.wire += unescape(line[2:])
                continue
            key, colon, value = line.partition(": ")
            assert colon, f"{place}: neither wire bytes nor a key"
            match key:
                case "note":
                    case.note = value
                case "limits":
                    case.limits = {k: int(v) for k, v in (p.split("=") for p in value.split())}
                case "expect":
                    case.expected.append(value)
                case _:
                    raise AssertionError(f"{place}: {key} is not known")
        if case is not None:
            yield case


def describe(transcript: Transcript, expected: list[str]) -> list[str]:
    """The transcript as the corpus writes it; a head with those attributes that are asked for."""
    lines = []
    asked = iter([line for line in expected if line.startswith("head ")])
    for event in transcript.events:
        if isinstance(event, Head):
            lines.append(describe_head(event, next(asked, "")))
        elif isinstance(event, bytes):
            lines.append(f"body {escape(event)}")
        else:
            lines.append(event)
    return [*lines, transcript.state]


def describe_head(head: Head, asked: str) -> str:
    parts = ["head", head.method, escape(head.path.encode("utf-8", "surrogateescape"))]
    for pair in asked.split(" ")[3:]:
        key = pair.partition("=")[0]
        if key.startswith("header:"):
            value: object = head.get(key.removeprefix("header:").encode())
        else:
            value = getattr(head, key)
        parts.append(f"{key}={escape(value) if isinstance(value, bytes) else value}")
    return " ".join(parts)


def escape(data: bytes) -> str:
    return "".join(
        chr(byte) if 0x21 <= byte <= 0x7E and byte != 0x5C else f"\\x{byte:02x}" for byte in data
    )


def normal(line: str) -> str:
    """An expected line with one spelling for each byte."""
    kind, _, rest = line.partition(" ")
    if kind == "body":
        return f"body {escape(unescape(rest))}"
    return line


def expected_of(case: Case) -> list[str]:
    lines = [normal(line) for line in case.expected]
    if not lines or lines[-1].split(" ")[0] not in STATES:
        lines.append("idle")
    return lines


ALL = list(cases())


@pytest.fixture(params=ALL, ids=lambda case: f"{case.place} {case.name}")
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


def test_a_request_that_arrives_whole(case: Case) -> None:
    assert describe(case.play([case.wire]), case.expected) == expected_of(case)


def test_a_request_that_arrives_byte_by_byte(case: Case) -> None:
    pieces = [case.wire[at : at + 1] for at in range(len(case.wire))]
    assert describe(case.play(pieces), case.expected) == expected_of(case)


def test_a_request_that_arrives_in_pieces(case: Case) -> None:
    chance = random.Random(case.name)
    for _ in range(20):
        places = [chance.randint(0, len(case.wire)) for _ in range(chance.randint(1, 6))]
        transcript = case.play(cut(case.wire, places))
        assert describe(transcript, case.expected) == expected_of(case), places


def test_every_case_says_where_its_answer_comes_from() -> None:
    assert [case.place for case in ALL if not case.note] == []


def test_no_two_cases_have_one_name() -> None:
    assert len({case.name for case in ALL}) == len(ALL)


def test_the_corpus_is_there() -> None:
    assert len(ALL) >= 90
