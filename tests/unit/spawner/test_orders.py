"""Orders and fates, there and back."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkd.handlers.programs import Ended, Program
from forkd.spawner.orders import (
    Fate,
    NotStarted,
    Started,
    decode_fate,
    decode_order,
    encode_fate,
    encode_order,
)

TEXT = st.binary(max_size=50).map(lambda data: data.replace(b"\0", b""))
NAME = TEXT.map(lambda data: data.replace(b"=", b"")).filter(bool)
PROGRAMS = st.builds(
    Program,
    argv=st.lists(TEXT, min_size=1, max_size=5).map(tuple),
    environ=st.dictionaries(NAME, TEXT, max_size=8),
    directory=TEXT,
    limits=st.lists(st.tuples(st.integers(0, 15), st.integers(0, 2**63 - 1))).map(tuple),
)
FATES: st.SearchStrategy[Fate] = st.one_of(
    st.builds(Started, st.integers(1, 2**22)),
    st.builds(NotStarted, st.integers(400, 599), TEXT.map(os.fsdecode)),
    st.builds(Ended, st.integers(0, 0xFFFF), st.floats(0, 1e6), st.integers(0, 2**40)),
)


def over_the_wire(fields: list[bytes]) -> list[bytes]:
    """What messages do to fields."""
    return b"\0".join(fields).split(b"\0")


@given(program=PROGRAMS)
def test_an_order_arrives_as_it_was_given(program: Program) -> None:
    assert decode_order(over_the_wire(encode_order(program))) == program


@given(fate=FATES)
def test_a_fate_arrives_as_it_was_told(fate: Fate) -> None:
    told = decode_fate(over_the_wire(encode_fate(fate)))
    if isinstance(fate, Ended):
        assert isinstance(told, Ended)
        assert (told.status, told.peak_memory) == (fate.status, fate.peak_memory)
        assert told.cpu_s == pytest.approx(fate.cpu_s, abs=1e-6)
    else:
        assert told == fate


def test_a_value_may_hold_what_separates_it_from_its_name() -> None:
    program = Program((b"/x",), {b"QUERY_STRING": b"a=b=c"}, b"/")
    assert decode_order(encode_order(program)).environ == {b"QUERY_STRING": b"a=b=c"}


@pytest.mark.parametrize(
    "fields", [[], [b"/srv"], [b"/srv", b"", b"many", b"x"], [b"/srv", b"0=x", b"1"]]
)
def test_what_is_no_order_is_refused(fields: list[bytes]) -> None:
    with pytest.raises(ValueError):
        decode_order(fields)


@pytest.mark.parametrize(
    "fields", [[], [b""], [b"started"], [b"started", b"x"], [b"ended", b"1"], [b"begun", b"1"]]
)
def test_what_is_no_fate_is_refused(fields: list[bytes]) -> None:
    with pytest.raises(ValueError):
        decode_fate(fields)
