"""What fits on the screen. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_BLOCKS = " ▁▂▃▄▅▆▇█"
_PLAIN = " .:-=+*#@"
_FEW = 4


@dataclass(frozen=True, slots=True)
class Shares:
    """How many rows each part of the screen gets, without headings."""

    workers: int
    routes: int
    deaths: int


def share(room: int | None, workers: int, routes: int, deaths: int) -> Shares:
    """Divide `room` lines (None: without end) among parts that have so many rows.

    A part that is shown costs two lines more, a blank one and its heading; the workers' heading is
    there always. The workers come first, but four routes and four deaths have a place of their own
    where three workers fit as well. What the workers leave goes to the routes, then to the deaths.
    """
    if room is None:
        return Shares(workers, routes, deaths)
    room -= 1
    reserved_routes, reserved_deaths = _reserve(routes), _reserve(deaths)
    if room - reserved_routes - reserved_deaths < 3:
        reserved_routes = 0
    if room - reserved_routes - reserved_deaths < 3:
        reserved_deaths = 0
    for_workers = max(1, min(workers, room - reserved_routes - reserved_deaths))
    left = room - for_workers
    for_routes = max(0, min(routes, left - reserved_deaths - 2))
    if for_routes:
        left -= for_routes + 2
    return Shares(for_workers, for_routes, max(0, min(deaths, left - 2)))


def _reserve(rows: int) -> int:
    return min(rows, _FEW) + 2 if rows else 0


def window(count: int, selected: int, height: int) -> range:
    """Which of `count` rows are shown where only `height` fit: the selected one is among them."""
    if count <= height:
        return range(count)
    first = max(0, min(selected - height // 2, count - height))
    return range(first, first + height)


def sparkline(values: Sequence[float], width: int, *, plain: bool = False) -> str:
    """The last `width` values as characters of eight heights. Only nothing at all is blank."""
    levels = _PLAIN if plain else _BLOCKS
    shown = list(values)[-width:] if width > 0 else []
    peak = max(shown, default=0.0)
    if peak <= 0:
        return levels[0] * len(shown)
    return "".join(levels[0 if value <= 0 else max(1, round(8 * value / peak))] for value in shown)
