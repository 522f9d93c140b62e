"""What was answered by which route, added up over all workers that there are and have been.

Workers count by the numbers that routes have in their generation; here they have names, so that the
figures go on through reloads. They never go down while the master lives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from forkd.child import Kind as ChildKind
from forkd.config.settings import Settings
from forkd.figures.histogram import Histogram
from forkd.figures.kinds import METHODS, RouteName, route_names, status_word
from forkd.figures.programs import Programs
from forkd.figures.table import Snapshot
from forkd.master.lifecycle import Child
from forkd.master.supervisor import Supervisor

_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


class RouteFigures:
    """Sums by the names of routes."""

    def __init__(self) -> None:
        self.requests: dict[tuple[RouteName, str, str], int] = {}
        """By route, method and status, the last two as words."""
        self.durations: dict[RouteName, Histogram] = {}
        self.queue = Histogram()
        self.programs: dict[RouteName, Programs] = {}
        """Of the routes that have run one."""

    def add(self, names: Mapping[int, RouteName], found: Snapshot) -> None:
        """What one worker has counted. names: of its generation's routes."""
        for kind, number in found.requests.items():
            key = (names[kind.route], METHODS[kind.method], status_word(kind.status))
            self.requests[key] = self.requests.get(key, 0) + number
        for route, durations in found.durations.items():
            self.durations.setdefault(names[route], Histogram()).add(durations)
        for route, programs in found.programs.items():
            self.programs.setdefault(names[route], Programs()).add(programs)
        self.queue.add(found.queue)

    def copy(self) -> RouteFigures:
        made = RouteFigures()
        made.requests = dict(self.requests)
        made.durations = {name: one.copy() for name, one in self.durations.items()}
        made.queue = self.queue.copy()
        made.programs = {name: one.copy() for name, one in self.programs.items()}
        return made

    def for_status(self) -> dict[str, object]:
        """What `forkd status` tells of it; milliseconds."""
        by_route: dict[RouteName, dict[str, int]] = {}
        for (name, _method, status), number in sorted(self.requests.items()):
            word = f"{status[0]}xx" if status.isdigit() else status
            statuses = by_route.setdefault(name, {})
            statuses[word] = statuses.get(word, 0) + number
        routes = [
            {
                "route": name.pattern,
                "site": name.site,
                "requests": sum(statuses.values()),
                "statuses": statuses,
                "latency_ms": _quantiles(self.durations.get(name, Histogram()), 3),
            }
            | _of_programs(self.programs.get(name))
            for name, statuses in by_route.items()
        ]
        # The kernel says how long a connection has waited in whole milliseconds.
        return {"routes": routes, "queue_ms": _quantiles(self.queue, 0)}

    def for_metrics(self) -> dict[str, object]:
        """All of it, as rows: site, pattern, and what was counted of that route."""
        return {
            "requests": [
                [name.site, name.pattern, method, status, number]
                for (name, method, status), number in sorted(self.requests.items())
            ],
            "durations": [
                [name.site, name.pattern, one.counts, one.seconds]
                for name, one in sorted(self.durations.items())
            ],
            "queue": [self.queue.counts, self.queue.seconds],
            "programs_by_route": [
                [name.site, name.pattern, one.ended, one.cpu_s, one.peak_memory]
                for name, one in sorted(self.programs.items())
            ],
        }


def _of_programs(found: Programs | None) -> dict[str, object]:
    if found is None:
        return {}
    cpu_s = round(found.cpu_s, 3)
    return {"programs": {"ended": found.ended, "cpu_s": cpu_s, "peak_memory": found.peak_memory}}


def _quantiles(times: Histogram, digits: int) -> dict[str, float | None]:
    """Milliseconds, rounded to so many digits; None where nothing was measured."""
    found = {}
    for word, share in _SHARES.items():
        seconds = times.quantile(share)
        found[word] = None if seconds is None else round(seconds * 1000, digits)
    return found


class RouteTotals:
    """The figures of those that are gone; those of the living are added when asked."""

    def __init__(self, supervisor: Supervisor, settings_of: Callable[[int], Settings]) -> None:
        """settings_of: gives those of a generation by its number."""
        self._supervisor = supervisor
        self._settings_of = settings_of
        self._gone = RouteFigures()

    def bury(self, child: Child) -> None:
        """A child is gone, and its slot not yet another's."""
        self._add(self._gone, child)

    def now(self) -> RouteFigures:
        total = self._gone.copy()
        for child in self._supervisor.children.values():
            self._add(total, child)
        return total

    def _add(self, total: RouteFigures, child: Child) -> None:
        if child.pool.kind is ChildKind.WORKER:
            names = route_names(self._settings_of(child.generation))
            total.add(names, self._supervisor.slot(child).table().read())
