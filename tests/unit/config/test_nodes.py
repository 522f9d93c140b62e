"""YAML as data with places, and references to the environment."""

from __future__ import annotations

import pytest

from forkd.config.environ import expand
from forkd.config.nodes import MAX_VALUES, Data, Place, SyntaxFault, read


def data_of(text: str) -> Data:
    tree = read(text, {})
    assert tree.faults == []
    return tree.data


@pytest.mark.parametrize(
    "text", ["off", "no", "12:30", "0660", "0o660", "1.10", "2001-01-01", "1_0"]
)
def test_a_scalar_is_the_text_that_was_written(text: str) -> None:
    assert data_of(f"a: {text}") == {"a": text}


@pytest.mark.parametrize("text", ["", "~", "null"])
def test_nothing_is_nothing_unless_it_is_quoted(text: str) -> None:
    assert data_of(f"a: {text}") == {"a": None}
    assert data_of(f'a: "{text}"') == {"a": text}


def test_every_key_and_value_has_a_place() -> None:
    tree = read("a:\n  b: [x,\n    y]\n", {})
    assert tree.places == {
        (): Place((1, 1)),
        ("a",): Place((2, 3), (1, 1)),
        ("a", "b"): Place((2, 6), (2, 3)),
        ("a", "b", 0): Place((2, 7)),
        ("a", "b", 1): Place((3, 5)),
    }


def test_own_keys_win_over_merged_ones_and_the_first_source_over_later_ones() -> None:
    text = "x: &x {a: 1, b: 1, c: 1}\ny: &y {b: 2, d: 2}\nz: {a: 0, <<: [*x, *y]}\n"
    tree = read(text, {})
    assert isinstance(tree.data, dict)
    assert tree.data["z"] == {"a": "0", "b": "1", "c": "1", "d": "2"}
    assert tree.places[("z", "d")].value == (2, 17)


def test_a_chain_of_merges_costs_no_more_than_its_length() -> None:
    links = [f"m{i}: &m{i} {{<<: [*m{i - 1}, *m{i - 1}], k{i}: v}}" for i in range(1, 60)]
    data = data_of("\n".join(["m0: &m0 {k: v}", *links]))
    assert isinstance(data, dict)
    assert len(data["m59"] or "") == 60


def test_aliases_of_aliases_are_bounded() -> None:
    links = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(SyntaxFault, match=f"more than {MAX_VALUES} values"):
        read("\n".join(["a0: &a0 x", *links]), {})


def test_a_duplicate_key_names_the_line_of_the_first_and_the_first_counts() -> None:
    tree = read("a: 1\nb: 2\na: 3\n", {})
    assert tree.data == {"a": "1", "b": "2"}
    assert [(fault.keys, fault.mark, fault.message) for fault in tree.faults] == [
        (("a",), (3, 1), "duplicate key: the first is on line 1")
    ]


@pytest.mark.parametrize("text", ['a: "\\UFFFFFFFF"', "%YAML 1." + "9" * 5000 + "\n--- {}"])
def test_numbers_that_overflow_in_the_reader_are_syntax_errors(text: str) -> None:
    with pytest.raises(SyntaxFault, match="a number is too large here"):
        read(text, {})


@pytest.mark.parametrize("text", ['a: "\\ud800"', '"\\ud800": 1', 'a: "\\0"', '"\\0": 1'])
def test_text_that_no_system_call_takes_is_a_fault(text: str) -> None:
    assert len(read(text, {}).faults) == 1


def test_a_variable_that_is_not_text_is_a_fault() -> None:
    assert len(read("a: ${X}", {"X": "\udcff"}).faults) == 1


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${A}", "1"),
        ("x${A}y${A}", "x1y1"),
        ("${N:-d}", "d"),
        ("${N:-}", ""),
        ("${E}", ""),
        ("${E:-d}", "d"),
        ("${A:-d}", "1"),
        ("$${A}", "${A}"),
        ("$A $ {A}", "$A $ {A}"),
        ("${R}", "${A}"),
    ],
)
def test_references_are_replaced_once(text: str, expanded: str) -> None:
    environ = {"A": "1", "E": "", "R": "${A}"}
    assert expand(text, environ) == (expanded, [])


@pytest.mark.parametrize("text", ["${", "${}", "${a-b}", "${1}", "${A", "${A:=x}"])
def test_a_reference_that_is_not_well_formed_is_said(text: str) -> None:
    _, faults = expand(text, {"A": "1"})
    assert faults == ["expected ${NAME} or ${NAME:-default} (write $${ for a plain ${)"]


def test_every_missing_variable_of_a_text_is_named() -> None:
    _, faults = expand("${A}${B}", {})
    assert [fault.split()[0] for fault in faults] == ["${A}", "${B}"]
