"""A worker's own figures: plain objects that requests are counted in, copied to the shared table
when the loop comes to rest.

A request is counted when its answer has been handed to the kernel, or never will be. It has taken
from the first byte of its head until then, as the worker sees it: what waits in the kernel before
the worker comes to read it is unknown, and a request that was sent before the answer to the one
before it begins with the end of that answer.
"""

from __future__ import annotations

from bisect import bisect_left

from forkd.figures.histogram import BOUNDS_S, Histogram
from forkd.figures.kinds import (
    NO_ROUTE,
    OTHER_KIND,
    OTHER_METHOD,
    OTHER_ROUTE,
    OTHER_STATUS,
    Kind,
    method_number,
    status_number,
)
from forkd.figures.programs import Programs
from forkd.figures.table import MOST_KINDS, MOST_ROUTES, Table


class Durations(Histogram):
    """How long the requests of one route have taken, and what its programs have used."""

    __slots__ = ("place", "programs", "route")

    def __init__(self, route: int, place: int) -> None:
        """place: in the table."""
        super().__init__()
        self.route = route
        self.place = place
        self.programs = Programs()


class Cell:
    """Counts requests of one kind.

    `at_once` is for those that are answered within some microseconds, from what is remembered: to
    add to it is all that they cost. `RouteFigures.count` is for all others.
    """

    __slots__ = ("at_once", "durations", "is_changed", "kind", "place", "requests")

    def __init__(self, kind: Kind, place: int, durations: Durations) -> None:
        self.kind = kind
        self.place = place
        self.durations = durations
        self.requests = 0
        self.at_once = 0
        self.is_changed = False
        """Since it was last written to the table, but for `at_once`."""


class RouteFigures:
    """The figures of one route, or of what no route has answered."""

    __slots__ = ("_book", "_cells", "_number")

    def __init__(self, book: Figures, number: int) -> None:
        self._book = book
        self._number = number
        self._cells: dict[tuple[str, int], Cell] = {}

    def count(self, method: str, status: int, seconds: float) -> None:
        """A request has been answered, and that has taken so long."""
        cell = self._cells.get((method, status)) or self._open(method, status)
        cell.requests += 1
        durations = cell.durations  # what `note` does, without the call: each request pays for it
        durations.counts[bisect_left(BOUNDS_S, seconds)] += 1
        durations.seconds += seconds
        if not cell.is_changed:
            self._book.note_change(cell)

    def count_program(self, cpu_s: float, peak_memory: int) -> None:
        """A program that was run for a request has ended. peak_memory: bytes."""
        self._book.note_program(self._number, cpu_s, peak_memory)

    def cell_at_once(self, method: str, status: int) -> Cell:
        """Where requests of this kind are counted that are answered at once."""
        cell = self._cells.get((method, status)) or self._open(method, status)
        self._book.look_at(cell)
        return cell

    def _open(self, method: str, status: int) -> Cell:
        kind = Kind(self._number, method_number(method), status_number(status))
        cell = self._book.open(kind)
        if kind.method != OTHER_METHOD and kind.status != OTHER_STATUS:
            self._cells[method, status] = cell  # and so there are only so many
        return cell


class Figures:
    """All figures of a worker. Those of a kind that there is no room for are counted as other."""

    def __init__(self) -> None:
        self._queue = Histogram()
        self.unrouted = RouteFigures(self, NO_ROUTE)
        self._cells: dict[Kind, Cell] = {}
        self._durations: dict[int, Durations] = {}
        self._new_cells: list[Cell] = []
        self._new_durations: list[Durations] = []
        self._changed: list[Cell] = []
        self._at_once: dict[Cell, None] = {}
        self._queue_is_changed = False
        self._ran: set[Durations] = set()
        """Of the routes of which a program has ended since the last time."""

    def route(self, number: int) -> RouteFigures:
        """For the route of that number; see `kinds.route_numbers`."""
        return RouteFigures(self, number)

    def note_wait(self, seconds: float) -> None:
        """A connection had waited so long when it was accepted."""
        self._queue.note(seconds)
        self._queue_is_changed = True

    def note_program(self, route: int, cpu_s: float, peak_memory: int) -> None:
        """See RouteFigures.count_program."""
        durations = self._open_durations(route)
        durations.programs.note(cpu_s, peak_memory)
        self._ran.add(durations)

    def open(self, kind: Kind) -> Cell:
        """The cell for a kind."""
        cell = self._cells.get(kind)
        if cell is None:
            if len(self._cells) >= MOST_KINDS - 1 and kind != OTHER_KIND:
                return self.open(OTHER_KIND)
            cell = Cell(kind, len(self._cells), self._open_durations(kind.route))
            self._cells[kind] = cell
            self._new_cells.append(cell)
        return cell

    def _open_durations(self, route: int) -> Durations:
        found = self._durations.get(route)
        if found is None:
            if len(self._durations) >= MOST_ROUTES - 1 and route != OTHER_ROUTE:
                return self._open_durations(OTHER_ROUTE)
            found = self._durations[route] = Durations(route, len(self._durations))
            self._new_durations.append(found)
        return found

    def note_change(self, cell: Cell) -> None:
        """Write it, the next time."""
        cell.is_changed = True
        self._changed.append(cell)

    def look_at(self, cell: Cell) -> None:
        """Look each time whether requests were answered at once."""
        self._at_once[cell] = None

    def write(self, table: Table) -> None:
        """Copy what has changed since the last time; always to the same table."""
        for cell in self._at_once:
            if cell.at_once:
                cell.requests += cell.at_once
                cell.durations.note_instant(cell.at_once)
                cell.at_once = 0
                if not cell.is_changed:
                    self.note_change(cell)
        if self._changed:
            self._write_changed(table)
        if self._ran:
            self._take_new(table)
            for durations in self._ran:
                table.write_programs(durations.place, durations.programs)
            self._ran.clear()
        if self._queue_is_changed:
            self._queue_is_changed = False
            table.write_queue(self._queue)

    def _write_changed(self, table: Table) -> None:
        self._take_new(table)
        for cell in self._changed:
            cell.is_changed = False
            table.write_requests(cell.place, cell.requests)
        for durations in {cell.durations for cell in self._changed}:
            table.write_durations(durations.place, durations)
        self._changed.clear()

    def _take_new(self, table: Table) -> None:
        for cell in self._new_cells:
            table.take_kind(cell.place, cell.kind)
        for durations in self._new_durations:
            table.take_route(durations.place, durations.route)
        self._new_cells.clear()
        self._new_durations.clear()
