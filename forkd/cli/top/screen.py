"""A frame of `forkd top`: the head, the tables, and the page that covers them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from forkd.cli.top.figures import Figures, busiest
from forkd.cli.top.layout import share, sparkline, window
from forkd.cli.top.tables import deaths_table, milliseconds, routes_table, workers_table
from forkd.cli.top.view import Page, View, ordered, position
from forkd.cli.words import age, count, printable, rate, size

_MOST_LISTENERS = 4

_HELP = (
    ("up, down, k, j", "select a worker (PgUp, PgDn, Home, End too)"),
    ("Enter, t", "the stacks of the selected worker, now; any other key goes back"),
    ("s", "sort by the next of: slot, requests/s, memory, busy since"),
    ("1 2 3 4", "sort by slot, requests/s, memory, busy since"),
    ("r", "reload the configuration (asks first)"),
    ("?", "this page"),
    ("q, Ctrl-C", "leave; forkd goes on"),
    ("", ""),
    ("REQ/S", "requests in a second since the last look"),
    ("CONN", "connections that are open"),
    ("BUSY, WAIT", "threads that run applications; requests that wait for one"),
    ("MEMORY", "proportional set size: what is shared is divided among those who share it"),
    ("BUSY WITH", "the oldest request under way: yellow from 1 s on, red from 10 s"),
)


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a frame shows. `now`: seconds since the epoch; `problem`: why there is no newer
    answer, or empty."""

    figures: Figures
    columns: tuple[float, ...]
    column_s: float
    now: float
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """height: lines there are; None where all is to be shown (--once)."""

    scene: Scene
    view: View
    height: int | None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        match self.view.page:
            case Page.STACK:
                yield _stack(self.view, self.height or options.max_width)
            case Page.HELP:
                yield _help()
            case Page.WORKERS | Page.CONFIRM:
                yield _overview(
                    self.scene, self.view, self.height, options.max_width, options.ascii_only
                )


def _overview(
    scene: Scene, view: View, height: int | None, width: int, plain: bool
) -> RenderableType:
    figures = scene.figures
    head = [*_head(scene), *_totals(scene, width, plain), Text("")]
    foot = _foot(scene, view) if height is not None else None
    room = None if height is None else height - len(head) - 1
    rows = ordered(figures.workers, view.sort)
    shares = share(room, len(rows), len(figures.routes), len(figures.deaths))
    chosen = position(rows, view.selected)
    visible = [rows[i] for i in window(len(rows), chosen, shares.workers)]
    selected = rows[chosen].slot if rows and height is not None else None
    parts: list[RenderableType] = [*head, workers_table(visible, selected, view.sort)]
    lines = len(head) + 1 + len(visible)
    if shares.routes:
        parts += [Text(""), routes_table(busiest(figures.routes)[: shares.routes])]
        lines += 2 + shares.routes
    if shares.deaths:
        parts += [Text(""), deaths_table(figures.deaths[: shares.deaths], scene.now)]
        lines += 2 + shares.deaths
    if foot is not None and height is not None:
        parts += [Text("")] * max(0, height - lines - 1) + [foot]
    return Group(*parts)


def _head(scene: Scene) -> Iterator[Text]:
    answer = scene.figures.answer
    first = _line(f"forkd {printable(answer['version'])}", "bold")
    state = "no answer" if scene.problem else str(answer["state"])
    colour = {"running": "green", "no answer": "bold red"}.get(state, "yellow")
    first.append(f"  {printable(state)}", colour)
    first.append(f"  generation {answer['generation']}  pid {answer['pid']}")
    first.append(f"  up {age(answer['uptime_s'])}  {printable(answer['config'])}")
    yield first
    last = answer["last_reload"]
    if last is not None:
        line = _line(f"last reload {age(scene.now - last['at'])} ago: ")
        if last["ok"]:
            line.append("ok", "green")
        else:
            line.append("FAILED: " + "; ".join(map(printable, last["reasons"])), "bold red")
        yield line
    listeners = answer["listeners"]
    for listener in listeners[:_MOST_LISTENERS]:
        line = _line(f"listening {printable(listener['address'])} ({listener['protocol']})")
        if listener["queue"]:
            line.append(f"  {listener['queue']} waiting in the queue", "yellow")
        yield line
    if len(listeners) > _MOST_LISTENERS:
        waiting = sum(listener["queue"] or 0 for listener in listeners[_MOST_LISTENERS:])
        more = f"and {len(listeners) - _MOST_LISTENERS} more listeners"
        yield _line(f"{more}, {waiting} waiting" if waiting else more)


def _totals(scene: Scene, width: int, plain: bool) -> Iterator[Text]:
    rates, answer = scene.figures.rates, scene.figures.answer
    totals, workers = answer["totals"], scene.figures.workers
    line = _line(f"{rate(rates.requests)} requests/s", "bold")
    line.append(f"  {rate(rates.errors)} errors/s", "bold red" if rates.errors else "")
    sent = "-" if rates.bytes_sent is None else size(rates.bytes_sent)
    line.append(f"  {sent}/s  {rate(rates.connections)} connections/s")
    yield line
    yield _line(
        f"answered {count(totals['requests'])} requests on {count(totals['connections'])} "
        f"connections, {size(totals['bytes_sent'])}, {count(totals['errors'])} errors"
    )
    busy = sum(worker.threads_busy for worker in workers)
    waiting = sum(worker.threads_waiting for worker in workers)
    line = _line(f"threads {busy} busy, {waiting} waited for")
    if queued := answer.get("queue_ms"):
        line.append(f"  connections queued p50 {milliseconds(queued.get('p50'))}")
        line.append(f" p99 {milliseconds(queued.get('p99'))}")
    yield line
    if not scene.columns:
        return
    peak = max(scene.columns, default=0.0)
    label = f"requests/s, peak {rate(peak)} "
    room = min(len(scene.columns), max(0, width - len(label) - 16))
    graph = _line(label)
    graph.append(sparkline(scene.columns, room, plain=plain), "cyan")
    graph.append(f" last {_span(room * scene.column_s)}", "dim")
    yield graph


def _span(seconds: float) -> str:
    return f"{seconds:.0f}s" if seconds < 60 else age(seconds)


def _foot(scene: Scene, view: View) -> Text:
    if view.page is Page.CONFIRM:
        return _line("Reload the configuration? y: yes, any other key: no", "reverse")
    if scene.problem:
        return _line(f"{printable(scene.problem)}; trying again", "bold red")
    if view.notice:
        return _line(printable(view.notice), "bold")
    return _line(
        f"q quit  arrows select  Enter stacks  s sort ({view.sort.value})  r reload  ? help", "dim"
    )


def _stack(view: View, height: int) -> RenderableType:
    shown = view.text[view.offset : view.offset + max(1, height - 2)]
    parts = [_line(f"Stacks of worker {view.selected}", "bold")]
    parts += [_line(printable(text.expandtabs())) for text in shown]
    parts += [Text("")] * (height - 1 - len(parts))
    parts.append(_line("arrows, PgUp, PgDn scroll; any other key goes back", "dim"))
    return Group(*parts)


def _help() -> RenderableType:
    lines = [_line("forkd top", "bold"), Text("")]
    for keys, meaning in _HELP:
        line = _line(f"  {keys:<16}", "cyan")
        line.append(meaning, "none")
        lines.append(line)
    return Group(*lines, Text(""), _line("any key goes back", "dim"))


def _line(text: str, style: str = "") -> Text:
    """One line, whatever its length: the screen has no room for a second one."""
    line = Text(no_wrap=True, overflow="ellipsis", end="\n")
    line.append(text, style or None)
    return line
