"""The tables of `forkd top` as rich renderables.

All that comes from the master goes into Text objects, never into markup, and what a client chose
goes through printable(): a request target must not be able to write to the terminal.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from forkd.cli.top.figures import Death, Route, Worker
from forkd.cli.top.view import Sort
from forkd.cli.words import age, count, printable, rate, size

_WIDTHS = {"PID": 7, "STATE": 8, "REQ/S": 6, "REQUESTS": 8, "MEMORY": 9}
"""Columns that would jump from one frame to the next."""
SLOW_S = 1.0
STUCK_S = 10.0

_STATE_STYLES = {
    "ready": "green",
    "starting": "cyan",
    "retiring": "yellow",
    "draining": "yellow",
}
_SORTED_BY = {
    Sort.SLOT: "SLOT",
    Sort.REQUESTS: "REQ/S",
    Sort.MEMORY: "MEMORY",
    Sort.BUSY: "BUSY WITH",
}


def age_style(seconds: float) -> str:
    """The colour of a request that has been under way for so long."""
    if seconds >= STUCK_S:
        return "bold red"
    return "yellow" if seconds >= SLOW_S else ""


def workers_table(rows: Sequence[Worker], selected: int | None, sort: Sort) -> Table:
    """One row for each worker; `selected` is a slot."""
    measured = any(worker.cpu_percent is not None for worker in rows)
    titles = ["SLOT", "PID", "GEN", "STATE", "REQ/S", "REQUESTS", "CONN", "BUSY", "WAIT", "MEMORY"]
    if measured:
        titles.append("CPU%")
    table = _table()
    for title in (*titles, "BUSY WITH"):
        last = title == "BUSY WITH"
        table.add_column(
            Text(title, "bold underline" if title == _SORTED_BY[sort] else "bold"),
            justify="left" if last or title == "STATE" else "right",
            min_width=_WIDTHS.get(title),
            ratio=1 if last else None,
            no_wrap=True,
            overflow="ellipsis",
        )
    for worker in rows:
        cells = [
            Text(str(worker.slot)),
            Text(str(worker.pid)),
            Text(str(worker.generation)),
            Text(printable(worker.state), _STATE_STYLES.get(worker.state, "red")),
            Text(rate(worker.requests_per_s)),
            Text(count(worker.requests)),
            Text(count(worker.connections)),
            Text(str(worker.threads_busy)),
            Text(str(worker.threads_waiting), "yellow" if worker.threads_waiting else ""),
            Text(size(worker.memory) if worker.memory else "-"),
        ]
        if measured:
            cells.append(Text("-" if worker.cpu_percent is None else f"{worker.cpu_percent:.0f}"))
        chosen = worker.slot == selected
        table.add_row(*cells, _under_way(worker), style="reverse" if chosen else "")
    return table


def _under_way(worker: Worker) -> Text:
    request = worker.request
    if not request:
        return Text("")
    # The age stands first: of a long target the end is cut.
    text = Text(age(worker.busy_s), age_style(worker.busy_s))
    text.append(f" {printable(str(request['method']))} {printable(str(request['target']))}", "none")
    text.append(f"  {printable(str(request['client']))}", "dim")
    return text


def routes_table(routes: Sequence[Route]) -> Table:
    """What each route answers, and how long it takes."""
    table = _table()
    for title in ("ROUTE", "SITE", "REQ/S", "REQUESTS", "2XX", "3XX", "4XX", "5XX", "P50", "P99"):
        words = title in ("ROUTE", "SITE")
        table.add_column(
            Text(title, "bold"),
            justify="left" if words else "right",
            min_width=_WIDTHS.get(title),
            ratio=1 if title == "ROUTE" else None,
            no_wrap=True,
            overflow="ellipsis",
        )
    for route in routes:
        failed = route.statuses.get("5xx", 0)
        table.add_row(
            Text(printable(route.route)),
            Text(printable(route.site)),
            Text(rate(route.requests_per_s)),
            Text(count(route.requests)),
            *(Text(count(int(route.statuses.get(kind, 0)))) for kind in ("2xx", "3xx", "4xx")),
            Text(count(int(failed)), "red" if failed else ""),
            Text(milliseconds(route.p50_ms)),
            Text(milliseconds(route.p99_ms)),
        )
    return table


def milliseconds(value: float | None) -> str:
    """A latency."""
    if value is None:
        return "-"
    return f"{value:.1f} ms" if value < 1000 else age(value / 1000)


def deaths_table(deaths: Sequence[Death], now: float) -> Table:
    """now: seconds since the epoch."""
    table = _table()
    table.add_column(Text("DIED", "bold"), justify="right", no_wrap=True)
    table.add_column(Text("WHO, AND OF WHAT", "bold"), ratio=1, no_wrap=True, overflow="ellipsis")
    for death in deaths:
        table.add_row(Text(f"{age(now - death.at)} ago"), Text(death.text))
    return table


def _table() -> Table:
    return Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, expand=True)
