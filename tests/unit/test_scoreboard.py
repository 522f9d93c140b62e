"""The scoreboard's slots."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkd.scoreboard import Counters, Scoreboard, Service

COUNTS = st.integers(0, 2**64 - 1)


@given(
    tick=st.floats(0, 1e9),
    counts=st.tuples(COUNTS, COUNTS, COUNTS, COUNTS),
    few=st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    since=st.floats(0, 1e9),
    memory=st.integers(1, 2**64 - 1),
    text=st.binary(max_size=400),
)
def test_what_is_written_is_read_and_neighbours_see_nothing(
    tick: float,
    counts: tuple[int, int, int, int],
    few: tuple[int, int],
    since: float,
    memory: int,
    text: bytes,
) -> None:
    before, slot, behind = Scoreboard(3).slots
    slot.write(tick, *counts, *few, since)
    slot.write_request(text)
    slot.write_memory(memory)
    assert slot.read() == Counters(tick, *counts, *few, since)
    assert slot.read_request() == text
    assert slot.read_memory() == memory
    for other in (before, behind):
        assert other.read() == Counters()
        assert (other.read_request(), other.read_memory()) == (b"", None)


def test_a_cleared_slot_is_as_new() -> None:
    slot = Scoreboard(1).slots[0]
    slot.write(1.0, 2, 3, 4, 5, 6, 7, 8.0)
    slot.write_request(b"id\0client")
    slot.write_memory(9)
    slot.clear()
    assert (slot.read(), slot.read_request(), slot.read_memory()) == (Counters(), b"", None)


def test_the_cpu_share_is_that_between_the_last_two_figures() -> None:
    slot = Scoreboard(1).slots[0]
    assert slot.read_cpu_share() is None
    shares = []
    for used, at in ((5.0, 100.0), (5.5, 101.0), (5.51, 102.0), (9.51, 104.0), (9.6, 104.0)):
        slot.write_cpu(used, at)
        assert slot.read_cpu() == (used, at)
        shares.append(slot.read_cpu_share())
    assert shares == [None, *map(pytest.approx, (0.5, 0.01, 2.0, 2.0))]
    slot.clear()
    assert slot.read_cpu_share() is None
    slot.write_cpu(0.1, 105.0)
    assert slot.read_cpu_share() is None, "the figures before were those of another child"


def test_a_request_text_that_is_too_long_is_cut_and_stays_in_its_slot() -> None:
    slot, behind = Scoreboard(2).slots
    slot.write_request(b"x" * 2000)
    text = slot.read_request()
    assert text == b"x" * len(text)
    assert 400 < len(text) < 512
    assert behind.read() == Counters()
    assert behind.read_request() == b""


def test_a_shorter_request_text_leaves_nothing_of_the_longer_one() -> None:
    slot = Scoreboard(1).slots[0]
    slot.write_request(b"a long one")
    slot.write_request(b"short")
    assert slot.read_request() == b"short"
    slot.write_request(b"")
    assert slot.read_request() == b""


def test_slots_know_their_numbers() -> None:
    assert [slot.number for slot in Scoreboard(4).slots] == [0, 1, 2, 3]


def test_what_the_header_says_is_the_same_for_all_and_survives_a_cleared_slot() -> None:
    scoreboard = Scoreboard(3)
    first, second, _ = scoreboard.slots
    assert first.service is Service.IN
    scoreboard.write_service(Service.OUT)
    first.write(1.0, 2, 3, 4, 5, 6, 7, 8.0)
    first.clear()
    assert [slot.service for slot in (first, second, first.other(2))] == [Service.OUT] * 3
    assert first.read() == Counters()
