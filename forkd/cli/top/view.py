"""What a key does: from one state of the screen to the next, and what is to be done about it. Pure.

Rows are chosen by their slot, so that the choice stays with a worker while the order changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from forkd.cli.top.figures import Worker

PAGE_LINES = 10


class Sort(Enum):
    """By what the workers are ordered; all but SLOT begin with the greatest."""

    SLOT = "slot"
    REQUESTS = "requests/s"
    MEMORY = "memory"
    BUSY = "busy since"


_SORTS = tuple(Sort)


class Page(Enum):
    """What the screen shows."""

    WORKERS = "workers"
    STACK = "stack"
    HELP = "help"
    CONFIRM = "confirm"
    """The workers, and the question whether to reload."""


@dataclass(frozen=True, slots=True)
class View:
    """The state of the screen. `selected` is a slot; `text` is what the page STACK shows."""

    page: Page = Page.WORKERS
    sort: Sort = Sort.SLOT
    selected: int | None = None
    text: tuple[str, ...] = ()
    offset: int = 0
    notice: str = ""


@dataclass(frozen=True, slots=True)
class Quit:
    """Leave."""


@dataclass(frozen=True, slots=True)
class Suspend:
    """Give the terminal back to the shell until the program is continued."""


@dataclass(frozen=True, slots=True)
class AskStack:
    """Ask for the stacks of a worker."""

    slot: int


@dataclass(frozen=True, slots=True)
class AskReload:
    """Ask for a reload."""


Effect = Quit | Suspend | AskStack | AskReload


def ordered(workers: Iterable[Worker], sort: Sort) -> list[Worker]:
    """Equal ones go by their slot, so that rows do not jump."""
    match sort:
        case Sort.SLOT:
            return sorted(workers, key=lambda w: w.slot)
        case Sort.REQUESTS:
            return sorted(workers, key=lambda w: (-(w.requests_per_s or 0.0), w.slot))
        case Sort.MEMORY:
            return sorted(workers, key=lambda w: (-(w.memory or 0), w.slot))
        case Sort.BUSY:
            return sorted(workers, key=lambda w: (-w.busy_s, w.slot))


def position(rows: Sequence[Worker], selected: int | None) -> int:
    """The index of the selected worker; of the first one where it is gone."""
    return next((i for i, worker in enumerate(rows) if worker.slot == selected), 0)


def press(view: View, key: str, rows: Sequence[Worker]) -> tuple[View, Effect | None]:
    """rows: the workers as they are shown."""
    if key == "suspend":
        return view, Suspend()
    match view.page:
        case Page.STACK:
            return _in_stack(view, key), None
        case Page.HELP:
            return replace(view, page=Page.WORKERS), None
        case Page.CONFIRM:
            after = replace(view, page=Page.WORKERS)
            if key not in ("y", "Y"):
                return replace(after, notice="not reloaded"), None
            return replace(after, notice="reloading ..."), AskReload()
        case Page.WORKERS:
            return _in_workers(replace(view, notice=""), key, rows)


def show_stack(view: View, slot: int, lines: Iterable[str]) -> View:
    """The answer to AskStack. Whoever has gone back meanwhile is not bothered with it."""
    if view.page is not Page.STACK or view.selected != slot:
        return view
    return replace(view, text=tuple(lines), offset=0)


def _in_workers(view: View, key: str, rows: Sequence[Worker]) -> tuple[View, Effect | None]:
    match key:
        case "q" | "Q":
            return view, Quit()
        case "?" | "h":
            return replace(view, page=Page.HELP), None
        case "r":
            return replace(view, page=Page.CONFIRM), None
        case "s":
            following = (_SORTS.index(view.sort) + 1) % len(_SORTS)
            return replace(view, sort=_SORTS[following]), None
        case "1" | "2" | "3" | "4":
            return replace(view, sort=_SORTS[int(key) - 1]), None
        case "enter" | "t" if rows:
            slot = rows[position(rows, view.selected)].slot
            waiting = replace(
                view, page=Page.STACK, selected=slot, text=("asking the worker ...",), offset=0
            )
            return waiting, AskStack(slot)
    step = _STEPS.get(key)
    if step is None or not rows:
        return view, None
    index = position(rows, view.selected) + step
    return replace(view, selected=rows[max(0, min(index, len(rows) - 1))].slot), None


def _in_stack(view: View, key: str) -> View:
    step = _STEPS.get(key)
    if step is None:
        return replace(view, page=Page.WORKERS, text=(), offset=0)
    last = max(0, len(view.text) - 1)
    return replace(view, offset=max(0, min(view.offset + step, last)))


_FAR = 1_000_000
_STEPS = {
    "down": 1,
    "j": 1,
    "up": -1,
    "k": -1,
    "pagedown": PAGE_LINES,
    " ": PAGE_LINES,
    "pageup": -PAGE_LINES,
    "end": _FAR,
    "home": -_FAR,
}
