"""From two answers of the master to what `forkd top` shows: rates are differences. Pure.

What an answer may lack (docs of `forkd status --json`) is None or empty here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from forkd.cli.report import obituary

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Worker:
    """One row. `requests_per_s` is None where nothing is known to compare with."""

    slot: int
    pid: int
    generation: int
    state: str
    requests: int
    connections: int
    threads_busy: int
    threads_waiting: int
    memory: int | None
    cpu_percent: float | None
    request: Answer | None
    requests_per_s: float | None = None

    @property
    def busy_s(self) -> float:
        """How long its oldest request has been under way; less than any where it has none."""
        return float(self.request["since_s"]) if self.request else -1.0


@dataclass(frozen=True, slots=True)
class Route:
    """What one route has answered. Milliseconds are those of the master's own measure."""

    route: str
    site: str
    requests: int
    statuses: Mapping[str, int]
    p50_ms: float | None
    p99_ms: float | None
    requests_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Death:
    """Of a child. `at` is seconds since the epoch."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Rates:
    """Per second; None until there are two answers of the same master."""

    requests: float | None = None
    errors: float | None = None
    connections: float | None = None
    bytes_sent: float | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """What the master said at one moment, with what that is in comparison to the moment before."""

    at: float
    answer: Answer
    workers: tuple[Worker, ...]
    routes: tuple[Route, ...]
    deaths: tuple[Death, ...]
    rates: Rates


def compare(answer: Answer, at: float, before: Figures | None) -> Figures:
    """at: when it came, monotonic seconds. Raises KeyError, TypeError or ValueError where the
    answer is not what `forkd status` documents."""
    deaths = _deaths(answer)
    elapsed = at - before.at if before is not None else 0.0
    if before is None or elapsed <= 0 or before.answer["pid"] != answer["pid"]:
        return Figures(
            at,
            answer,
            tuple(_worker(entry, None) for entry in answer["workers"]),
            tuple(_route(entry, None) for entry in answer.get("routes") or ()),
            deaths,
            Rates(),
        )
    was = {(worker.slot, worker.pid): worker.requests for worker in before.workers}
    routed = {(route.site, route.route): route.requests for route in before.routes}
    workers = tuple(
        # A worker that was not there yet has answered all that it has since then.
        _worker(entry, _rate(entry["requests"], was.get((entry["slot"], entry["pid"]), 0), elapsed))
        for entry in answer["workers"]
    )
    routes = tuple(
        _route(
            entry,
            _rate(
                entry["requests"], routed.get((entry.get("site", ""), entry["route"]), 0), elapsed
            ),
        )
        for entry in answer.get("routes") or ()
    )
    totals, former = answer["totals"], before.answer["totals"]
    return Figures(
        at,
        answer,
        workers,
        routes,
        deaths,
        Rates(
            *(
                _rate(totals[name], former[name], elapsed)
                for name in ("requests", "errors", "connections", "bytes_sent")
            )
        ),
    )


def _rate(now: int, before: int, elapsed: float) -> float:
    # A child's figures pass from its slot to the totals of the dead between two looks.
    return max(0, now - before) / elapsed


def _worker(entry: Answer, per_s: float | None) -> Worker:
    return Worker(
        slot=int(entry["slot"]),
        pid=int(entry["pid"]),
        generation=int(entry["generation"]),
        state=str(entry["state"]),
        requests=int(entry["requests"]),
        connections=int(entry["connections"]),
        threads_busy=int(entry["threads_busy"]),
        threads_waiting=int(entry.get("threads_waiting") or 0),
        memory=entry["memory_pss"],
        cpu_percent=entry.get("cpu_percent"),
        request=entry["request"],
        requests_per_s=per_s,
    )


def _route(entry: Answer, per_s: float | None) -> Route:
    latency = entry.get("latency_ms") or {}
    return Route(
        route=str(entry["route"]),
        site=str(entry.get("site") or ""),
        requests=int(entry["requests"]),
        statuses=entry.get("statuses") or {},
        p50_ms=latency.get("p50"),
        p99_ms=latency.get("p99"),
        requests_per_s=per_s,
    )


def _deaths(answer: Answer) -> tuple[Death, ...]:
    """The newest first."""
    told = [Death(float(entry["at"]), obituary(entry)) for entry in answer.get("deaths") or ()]
    return tuple(sorted(told, key=lambda death: -death.at))


def busiest(routes: Iterable[Route]) -> list[Route]:
    """Those that answer most now, then those that have answered most."""
    return sorted(routes, key=lambda route: (-(route.requests_per_s or 0.0), -route.requests))


@dataclass(slots=True)
class History:
    """A rate over the last minutes: means of columns of `column_s` seconds, the oldest first."""

    column_s: float
    columns: deque[float] = field(default_factory=lambda: deque(maxlen=_COLUMNS))
    _begun: float | None = None
    _values: list[float] = field(default_factory=list)

    @classmethod
    def every(cls, interval: float) -> Self:
        """For a value that comes each `interval` seconds."""
        return cls(max(interval, _COLUMN_S))

    def add(self, value: float, now: float) -> None:
        """now: monotonic seconds. The newest column changes until its time is over."""
        if self._begun is None or now - self._begun >= self.column_s:
            self._begun = now
            self._values = []
            self.columns.append(0.0)
        self._values.append(value)
        self.columns[-1] = sum(self._values) / len(self._values)


_COLUMN_S = 3.0
_COLUMNS = 200
