"""What keys do, and what fits on the screen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkd.cli.top.figures import Worker, compare
from forkd.cli.top.layout import Shares, share, sparkline, window
from forkd.cli.top.view import (
    AskReload,
    AskStack,
    Effect,
    Page,
    Quit,
    Sort,
    Suspend,
    View,
    ordered,
    position,
    press,
    show_stack,
)
from tests.unit.cli.answers import answer, request, worker


def rows(*entries: dict[str, Any]) -> list[Worker]:
    return list(compare(answer(*entries), 1.0, None).workers)


THREE = rows(worker(0), worker(2), worker(5))


def typed(view: View, *keys: str) -> tuple[View, list[Effect]]:
    effects = []
    for key in keys:
        view, effect = press(view, key, THREE)
        if effect is not None:
            effects.append(effect)
    return view, effects


def test_the_workers_are_ordered_by_what_s_says() -> None:
    some = rows(
        worker(0, memory_pss=5, request=request("/", 1.0)),
        worker(1, memory_pss=None, request=request("/", 9.0)),
        worker(2, memory_pss=9),
    )
    some = [replace(w, requests_per_s=r) for w, r in zip(some, (1.0, None, 1.0), strict=True)]
    view = View()
    orders = []
    for _ in Sort:
        orders.append((view.sort, [w.slot for w in ordered(some, view.sort)]))
        view, _ = typed(view, "s")
    assert orders == [
        (Sort.SLOT, [0, 1, 2]),
        (Sort.REQUESTS, [0, 2, 1]),
        (Sort.MEMORY, [2, 0, 1]),
        (Sort.BUSY, [1, 0, 2]),
    ]
    assert view.sort is Sort.SLOT
    assert typed(view, "3")[0].sort is Sort.MEMORY


def test_the_selection_moves_and_stays_within_the_table() -> None:
    assert typed(View(), "j")[0].selected == 2
    assert typed(View(), "down", "down", "down", "down")[0].selected == 5
    assert typed(View(), "j", "k", "up")[0].selected == 0
    assert typed(View(), "end")[0].selected == 5
    assert press(View(selected=2), "j", [])[0].selected == 2


def test_the_selection_stays_with_a_worker_and_goes_with_it() -> None:
    assert position(list(reversed(THREE)), 5) == 0
    assert position(THREE, 99) == 0
    assert typed(View(selected=99), "j")[0].selected == 2


def test_the_stacks_of_the_selected_worker_are_asked_for() -> None:
    view, effects = typed(View(), "j", "enter")
    assert (view.page, effects) == (Page.STACK, [AskStack(2)])
    view = show_stack(view, 2, ["a", "b", "c"])
    view, effects = typed(view, "j")
    assert (view.offset, view.text, effects) == (1, ("a", "b", "c"), [])
    assert typed(view, "end", "end")[0].offset == 2
    assert typed(view, "q") == (View(selected=2), []), "q goes back, too"


def test_a_stack_that_comes_late_is_not_shown() -> None:
    view, _ = typed(View(), "t", "escape")
    assert show_stack(view, 0, ["late"]) == view
    view, _ = typed(View(), "t", "escape", "j", "t")
    assert show_stack(view, 0, ["of another"]) == view


def test_without_workers_there_is_no_stack() -> None:
    assert press(View(), "enter", []) == (View(), None)


def test_a_reload_is_asked_for_twice() -> None:
    view, effects = typed(View(), "r")
    assert (view.page, effects) == (Page.CONFIRM, [])
    assert typed(view, "y")[1] == [AskReload()]
    view, effects = typed(view, "n")
    assert (view.page, view.notice, effects) == (Page.WORKERS, "not reloaded", [])
    assert typed(view, "j")[0].notice == ""


def test_q_leaves_and_help_is_left_by_any_key() -> None:
    assert typed(View(), "q")[1] == [Quit()]
    assert typed(View(), "?")[0].page is Page.HELP
    assert typed(View(), "?", "q") == (View(), [])
    assert typed(View(), "unknown", "x") == (View(), [])


@pytest.mark.parametrize("page", Page)
def test_the_program_can_be_stopped_from_every_page(page: Page) -> None:
    assert typed(View(page=page), "suspend") == (View(page=page), [Suspend()])


@pytest.mark.parametrize(
    ("room", "parts", "shares"),
    [
        (None, (9, 9, 9), Shares(9, 9, 9)),
        (20, (4, 0, 0), Shares(4, 0, 0)),
        (20, (100, 0, 0), Shares(19, 0, 0)),
        (20, (100, 9, 9), Shares(7, 4, 4)),
        (20, (4, 9, 1), Shares(4, 9, 1)),
        (20, (4, 2, 20), Shares(4, 2, 9)),
        (6, (100, 9, 9), Shares(5, 0, 0)),
        (1, (100, 9, 9), Shares(1, 0, 0)),
    ],
)
def test_the_parts_of_the_screen(
    room: int | None, parts: tuple[int, int, int], shares: Shares
) -> None:
    assert share(room, *parts) == shares


@given(st.integers(2, 80), *[st.integers(0, 60)] * 3)
def test_what_is_shown_fits(room: int, workers: int, routes: int, deaths: int) -> None:
    shares = share(room, workers, routes, deaths)
    lines = 1 + max(1, shares.workers)
    lines += sum(part + 2 for part in (shares.routes, shares.deaths) if part)
    assert lines <= room
    assert shares.workers <= max(1, workers)
    assert shares.routes <= routes
    assert shares.deaths <= deaths


@given(st.integers(0, 100), st.integers(0, 99), st.integers(1, 50))
def test_the_selected_row_is_always_seen(count: int, selected: int, height: int) -> None:
    shown = window(count, selected, height)
    assert len(shown) == min(count, height)
    if selected < count:
        assert selected in shown


def test_a_sparkline_has_the_newest_values() -> None:
    assert sparkline([], 5) == ""
    assert sparkline([0, 0], 5) == "  "
    assert sparkline([100, 0, 1, 4, 8], 4) == " ▁▄█"
    assert sparkline([0, 0.001, 8], 9) == " ▁█", "little is not nothing"
    assert sparkline([0, 4, 8], 9, plain=True) == " =@"
    assert sparkline([1, 2], 0) == ""
