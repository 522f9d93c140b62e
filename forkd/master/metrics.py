"""What a worker is told that makes metrics of it: all figures, as plain data."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Iterable, Mapping

from forkd import __version__
from forkd.child import Kind
from forkd.config.address import Address
from forkd.master.history import History
from forkd.master.lifecycle import State
from forkd.master.route_figures import RouteFigures
from forkd.master.status import Totals, listeners, totals, workers
from forkd.master.supervisor import Supervisor


def about(started_at: float, generation: int) -> dict[str, object]:
    """started_at: seconds since the epoch."""
    return {
        "version": __version__,
        "started": started_at,
        "uptime": time.time() - started_at,
        "pid": os.getpid(),
        "generation": generation,
    }


def figures(
    supervisor: Supervisor,
    gone: Totals,
    routes: RouteFigures,
    history: History,
    sockets: Iterable[tuple[Address, socket.socket]],
    protocols: Mapping[Address, str],
    now: float,
) -> dict[str, object]:
    """now: monotonic seconds. handlers/exposition.py says what becomes of each."""
    living = [child for child in supervisor.children.values() if child.pool.kind is Kind.WORKER]
    states = Counter(child.state for child in living)
    total = totals(supervisor, gone)
    return {
        **routes.for_metrics(),
        "accepted": total.connections,
        "bytes_sent": total.bytes_sent,
        "states": {state.name.lower(): states[state] for state in State},
        "workers": workers(supervisor, now),
        "programs": sum(supervisor.slot(child).read_programs() for child in living),
        "listeners": listeners(sockets, protocols),
        "reloads": history.reload_counts,
        "deaths": history.death_counts,
    }
