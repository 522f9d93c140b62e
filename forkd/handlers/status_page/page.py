"""The status page as it is at one moment, in HTML.

script.js fills the same places with the same texts, second by second; whoever changes a column here
changes it there. What comes of requests is of strangers: all texts are escaped, here and there.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import Any


def _read(name: str) -> str:
    return (Path(__file__).parent / name).read_text("utf-8")


_PAGE, _STYLE, _SCRIPT = _read("page.html"), _read("style.css"), _read("script.js")
"""Read with this module: a worker of a later generation has the module as it was, and must not meet
files of another version that has been installed meanwhile."""
_UNKNOWN = "\u2013"
_LONG_S = 10.0
"""A request that takes longer is shown as such."""

Figures = Mapping[str, Any]
"""What `forkd status --json` gives. Figures that only some versions have may be missing."""


class StatusPage:
    """Made once; `render` is called for each request that wants the page."""

    def __init__(self) -> None:
        page = Template(_PAGE)
        self._page = Template(
            page.safe_substitute(style=_no_fields(_STYLE), script=_no_fields(_SCRIPT))
        )
        self.policy = (
            f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; "
            "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        ).encode()
        """The Content-Security-Policy: these two and nothing else."""

    def render(self, figures: Figures, own: str) -> str:
        """own: the path of the page itself, as requests have it."""
        workers = figures["workers"]
        routes = figures.get("routes") or []
        return self._page.substitute(
            state=escape(figures["state"]),
            about=escape(about(figures)),
            connections=sum(worker["connections"] for worker in workers),
            busy=sum(worker["threads_busy"] for worker in workers),
            totals="".join(
                f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
                for name, value in totals(figures)
            ),
            generations=escape(generations(workers)),
            no_cpu="" if any("cpu_percent" in worker for worker in workers) else " class=no-cpu",
            workers="".join(_worker(worker, own) for worker in workers),
            routes_hidden="" if routes else " hidden",
            routes="".join(map(_route, routes)),
            listeners="".join(map(_listener, figures["listeners"])),
            reloads=_reloads(figures),
            deaths=_deaths(figures),
            asof=time.strftime("%H:%M:%S UTC", time.gmtime()),
        )


def _no_fields(text: str) -> str:
    return text.replace("$", "$$")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


# Texts.


def about(figures: Figures) -> str:
    return (
        f"{figures['config']} · generation {figures['generation']} · "
        f"up {age(figures['uptime_s'])} · pid {figures['pid']} · version {figures['version']}"
    )


def totals(figures: Figures) -> list[tuple[str, str]]:
    total, workers = figures["totals"], figures["workers"]
    found = [
        ("Requests", count(total["requests"])),
        ("Errors (5xx)", count(total["errors"])),
        ("Connections so far", count(total["connections"])),
        ("Sent", size(total["bytes_sent"])),
        ("Waiting for a thread", count(sum(one.get("threads_waiting") or 0 for one in workers))),
        ("Memory of workers", size(sum(one["memory_pss"] or 0 for one in workers))),
    ]
    used = [one["programs"] for one in figures.get("routes") or [] if one.get("programs")]
    running = sum(one.get("programs") or 0 for one in workers)
    if used or running:
        found.append(("Programs running", count(running)))
        found.append(("CPU of programs", age(sum(one["cpu_s"] for one in used))))
    queue = figures.get("queue_ms") or {}
    if queue.get("p99") is not None:
        found.append(("Queued, p50 / p99", f"{queue['p50']:.0f} / {queue['p99']:.0f} ms"))
    return found


def generations(workers: Iterable[Figures]) -> str:
    """How many workers of each generation are in which state, the newest generation first."""
    found: dict[int, Counter[str]] = {}
    for worker in workers:
        found.setdefault(worker["generation"], Counter())[worker["state"]] += 1
    return " · ".join(
        f"generation {number}: "
        + ", ".join(f"{many} {state}" for state, many in sorted(found[number].items()))
        for number in sorted(found, reverse=True)
    )


def age(seconds: float) -> str:
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {int(seconds % 60)} s"
    hours = minutes // 60
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def size(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def count(number: float) -> str:
    return f"{number:,.0f}".replace(",", "\u202f")


def few(number: float) -> str:
    return f"{number:.1f}" if number < 10 else count(number)


def _known(value: Any, say: Callable[[Any], str]) -> str:
    return _UNKNOWN if value is None else say(value)


# Rows.


def _cell(label: str, text: str, kind: str = "n") -> str:
    return _markup_cell(label, escape(text), kind)


def _markup_cell(label: str, markup: str, kind: str) -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<td{attribute} data-label="{label}">{markup}</td>'


def _standing(worker: Figures) -> str:
    if (stalled := worker.get("stalled_s")) is not None:
        return f'<span class="state lost">stands still for {age(stalled)}</span>'
    state, since = escape(worker["state"]), age(worker["since_s"])
    return f'<span class="state {state}">{state}</span> <span class="soft">{since}</span>'


def _worker(worker: Figures, own: str) -> str:
    waiting, memory = worker.get("threads_waiting") or 0, worker["memory_pss"]
    cpu, rate = worker.get("cpu_percent"), worker.get("requests_per_s")
    cells = (
        _cell("Slot", str(worker["slot"])),
        _markup_cell("State", _standing(worker), "keep"),
        _cell("Generation", str(worker["generation"])),
        _cell("Pid", _known(worker["pid"], str)),
        _cell("Requests", count(worker["requests"])),
        _cell("Per second", _known(rate, few)),
        _cell("Connections", count(worker["connections"])),
        _cell(
            "Threads busy", f"{worker['threads_busy']}{f' +{waiting} waiting' if waiting else ''}"
        ),
        _cell("CPU", _known(cpu, "{:.0f} %".format), "n cpu"),
        _cell("Memory", _known(memory, size)),
        _markup_cell("Busy with", _doing(worker, own), "what wide"),
    )
    return f"<tr>{''.join(cells)}</tr>"


def _doing(worker: Figures, own: str) -> str:
    running = worker.get("programs") or 0
    programs = f'<span class="soft">{count(running)} CGI</span> ' if running else ""
    return programs + _request(worker["request"], own)


def _request(request: Figures | None, own: str = "") -> str:
    # The request for these very figures is nothing that anybody wants to see.
    if request is None or request["target"].split("?")[0] == own:
        return ""
    long = "long" if request["since_s"] >= _LONG_S else "soft"
    return (
        f"{escape(request['method'])} {escape(request['target'])} "
        f'<span class="{long}">for {age(request["since_s"])}, {escape(request["client"])}</span>'
    )


def _route(route: Figures) -> str:
    latency = route.get("latency_ms") or {}
    statuses = " · ".join(f"{one} {count(many)}" for one, many in route["statuses"].items() if many)
    cells = (
        _cell("Route", route["route"], "what wide"),
        _cell("Site", route.get("site") or "", ""),
        _cell("Requests", count(route["requests"])),
        _cell("Per second", _UNKNOWN),
        _cell("Answers", statuses, ""),
        _cell("p50", _known(latency.get("p50"), "{:.1f} ms".format)),
        _cell("p99", _known(latency.get("p99"), "{:.1f} ms".format)),
    )
    return f"<tr>{''.join(cells)}</tr>"


def _listener(listener: Figures) -> str:
    cells = (
        _cell("Address", listener["address"], "what wide"),
        _cell("Protocol", listener["protocol"], ""),
        _cell("Waiting", _known(listener["queue"], count)),
    )
    return f"<tr>{''.join(cells)}</tr>"


# Events, the last one first.


def _reloads(figures: Figures) -> str:
    last = figures["last_reload"]
    found = figures.get("reloads") or ([last] if last else [])
    return "".join(map(_reload, reversed(found))) or "<li class=soft>None since the start.</li>"


def _reload(reload: Figures) -> str:
    word, kind = ("ok", "ok") if reload["ok"] else ("failed", "failed")
    number = reload.get("generation")
    text = f"generation {number} serves" if number is not None else ""
    reasons = "".join(f'<span class="what">{escape(one)}</span>' for one in reload["reasons"])
    return (
        f'<li>{_time(reload["at"])}<span class="state {kind}">{word}</span> '
        f'<span class="soft">{text}</span>{reasons}</li>'
    )


def _deaths(figures: Figures) -> str:
    found = figures.get("deaths") or []
    return "".join(map(_death, reversed(found))) or "<li class=soft>None since the start.</li>"


def _death(death: Figures) -> str:
    who = f"{death['kind']} {death['slot']} gen {death['generation']} pid {death['pid']}"
    request = death["request"]
    doing = f'<span class="what">{_request(request)}</span>' if request else ""
    return (
        f'<li>{_time(death["at"])}<span class="state lost">{escape(who)}</span> '
        f"{escape(death['reason'])}{doing}</li>"
    )


def _time(at: float) -> str:
    return f"<time>{time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime(at))}</time>"
