"""Listings: their order and their form as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forkd.handlers.listing import (
    BY_NAME,
    Entry,
    Form,
    Key,
    Order,
    arrange,
    parse_query,
    render,
    render_json,
)
from tests.unit.handlers.requests import fields, request
from tests.unit.handlers.test_static import put, static

ENTRIES = [
    Entry("b", False, 5, 30.9),
    Entry("A", False, 7, 10.0),
    Entry("dir", True, 4096, 20.0),
    Entry("c", False, 5, 40.0),
    Entry("zoo", True, 64, 5.0),
]


@pytest.mark.parametrize(
    ("query", "form", "order"),
    [
        (b"", Form.PAGE, BY_NAME),
        (b"json", Form.JSON, BY_NAME),
        (b"json=1&sort=size", Form.JSON, Order(Key.SIZE)),
        (b"sort=size&order=desc", Form.PAGE, Order(Key.SIZE, descending=True)),
        (b"sort=time&order=asc", Form.PAGE, Order(Key.TIME)),
        (b"order=desc", Form.PAGE, Order(descending=True)),
        (b"sort=colour&order=up", Form.PAGE, BY_NAME),
        (b"sort=%ff&x=<script>", Form.PAGE, BY_NAME),
        (b"jsonp=1", Form.PAGE, BY_NAME),
        (b"&".join([b"json"] * 100), Form.PAGE, BY_NAME),
    ],
)
def test_a_query_says_form_and_order(query: bytes, form: Form, order: Order) -> None:
    assert parse_query(query) == (form, order)


@pytest.mark.parametrize(
    ("order", "names"),
    [
        (BY_NAME, ["dir", "zoo", "A", "b", "c"]),
        (Order(descending=True), ["zoo", "dir", "c", "b", "A"]),
        (Order(Key.SIZE), ["dir", "zoo", "b", "c", "A"]),
        (Order(Key.SIZE, descending=True), ["dir", "zoo", "A", "b", "c"]),
        (Order(Key.TIME), ["zoo", "dir", "A", "b", "c"]),
        (Order(Key.TIME, descending=True), ["dir", "zoo", "c", "b", "A"]),
    ],
)
def test_directories_are_first_in_every_order(order: Order, names: list[str]) -> None:
    assert [entry.name for entry in arrange(ENTRIES, order)] == names


def test_the_column_that_sorts_says_so_and_turns_round() -> None:
    page = render("/", ENTRIES).decode()
    assert (
        '<th scope="col" aria-sort="ascending"><a href="?sort=name&amp;order=desc">Name \u2191</a>'
    ) in page
    assert '<a href="?sort=size&amp;order=asc">Size</a>' in page
    page = render("/", ENTRIES, Order(Key.SIZE, descending=True)).decode()
    assert page.count("aria-sort") == 1
    assert ('aria-sort="descending"><a href="?sort=size&amp;order=asc">Size \u2193</a>') in page


def test_json_has_name_type_size_and_time() -> None:
    assert json.loads(render_json(ENTRIES[:3], Order(Key.TIME))) == [
        {"name": "dir", "type": "directory", "size": None, "mtime": 20},
        {"name": "A", "type": "file", "size": 7, "mtime": 10},
        {"name": "b", "type": "file", "size": 5, "mtime": 30},
    ]


def test_json_is_well_formed_whatever_the_names() -> None:
    hostile = ["\udcff", 'q"\\', "line\n\x01", "\u4e16\u2028", "</script>"]
    data = render_json([Entry(name, False, 0, 0.0) for name in hostile])
    names = {entry["name"] for entry in json.loads(data.decode("utf-8"))}
    assert names == {"\ufffd", *hostile[1:]}


def test_a_directory_is_listed_in_the_form_that_is_asked_for(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", "x" * 10)
    put(tmp_path / "b.txt", "x")
    handler = static(tmp_path, listing=True, cache_control="max-age=60")
    response = handler.answer(request("/?json&sort=size"))
    sent = fields(response)
    assert sent["Content-Type"] == "application/json"
    assert sent["Cache-Control"] == "no-cache"
    assert [entry["name"] for entry in json.loads(response.body)] == ["b.txt", "a.txt"]
    page = handler.answer(request("/?order=desc"))
    assert fields(page)["Content-Type"] == "text/html; charset=utf-8"
    assert page.body.index(b"b.txt") < page.body.index(b"a.txt")
