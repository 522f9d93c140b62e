"""What `forkd status` tells, from the table of children and the scoreboard."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from forkd import __version__
from forkd.child import Kind
from forkd.config.address import Address
from forkd.master.lifecycle import Child, State
from forkd.master.supervisor import Supervisor
from forkd.scoreboard import Counters, UnderWay
from forkd.system.sockets import queue_length

STALLED_AFTER_S: Final = 2.0
"""A worker whose loop turns says so every second."""


@dataclass(slots=True)
class Totals:
    """Counters of children that are gone; those of the living are added when asked."""

    requests: int = 0
    connections: int = 0
    bytes_sent: int = 0
    errors: int = 0

    def add(self, counters: Counters) -> None:
        self.requests += counters.requests
        self.connections += counters.connections
        self.bytes_sent += counters.bytes_sent
        self.errors += counters.errors


@dataclass(frozen=True, slots=True)
class LastReload:
    """How the last reload went. `at` is seconds since the epoch."""

    at: float
    ok: bool
    reasons: tuple[str, ...] = field(default=())


def workers(supervisor: Supervisor, now: float) -> list[dict[str, object]]:
    """One entry for each worker, by slot."""
    children = [c for c in supervisor.children.values() if c.pool.kind is Kind.WORKER]
    return [_worker(supervisor, child, now) for child in sorted(children, key=lambda c: c.slot)]


def _worker(supervisor: Supervisor, child: Child, now: float) -> dict[str, object]:
    slot = supervisor.slot(child)
    counters = slot.read()
    stalled_s = _stalled_s(child, counters, now)
    share = slot.read_cpu_share()
    return {
        "slot": child.slot,
        "pid": child.pid,
        "generation": child.generation,
        "state": child.state.name.lower(),
        "requests": counters.requests,
        "connections": counters.open_connections,
        "threads_busy": counters.threads_busy,
        "threads_waiting": slot.read_waiting(),
        "programs": slot.read_programs(),
        "since_s": round(now - child.since, 3),
        "stalled_s": stalled_s,
        "memory_pss": slot.read_memory(),
        # What a worker that stands still said last is no longer true.
        "cpu_percent": None if stalled_s or share is None else round(100 * share, 1),
        "request": request_entry(slot.read_under_way(), now),
    }


def _stalled_s(child: Child, counters: Counters, now: float) -> float | None:
    """For how long a worker that is past its start has given no sign of life; None: it has."""
    silent = now - counters.tick
    if child.state is State.STARTING or not counters.tick or silent < STALLED_AFTER_S:
        return None
    return round(silent, 3)


def request_entry(found: UnderWay | None, now: float) -> dict[str, object] | None:
    """A request under way; now: monotonic seconds."""
    if found is None:
        return None
    return {
        "id": found.id,
        "client": found.client,
        "method": found.method,
        "target": found.target,
        "route": found.route,
        "since_s": round(max(0.0, now - found.since), 3),
    }


def totals(supervisor: Supervisor, gone: Totals) -> Totals:
    """Counters of all workers there are and have been."""
    total = Totals(gone.requests, gone.connections, gone.bytes_sent, gone.errors)
    for child in supervisor.children.values():
        if child.pool.kind is Kind.WORKER:
            total.add(supervisor.slot(child).read())
    return total


def listeners(
    sockets: Iterable[tuple[Address, socket.socket]], protocols: Mapping[Address, str]
) -> list[dict[str, object]]:
    """Each listener as it is bound: with port 0 the port that the kernel chose."""
    return [
        {
            "address": _bound(address, sock),
            "protocol": protocols.get(address, "http"),
            "queue": queue_length(sock),
        }
        for address, sock in sockets
    ]


def _bound(address: Address, sock: socket.socket) -> str:
    if sock.family == socket.AF_UNIX:
        return str(address)
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def open_connections(supervisor: Supervisor) -> int:
    """How many connections the workers have."""
    return sum(
        supervisor.slot(child).read().open_connections
        for child in supervisor.children.values()
        if child.pool.kind is Kind.WORKER
    )


def summary(supervisor: Supervisor, gone: Totals) -> str:
    """One line for `systemctl status`."""
    living = [c for c in supervisor.children.values() if c.pool.kind is Kind.WORKER]
    ready = sum(child.serves for child in living)
    draining = sum(child.state is State.DRAINING for child in living)
    connections = sum(supervisor.slot(child).read().open_connections for child in living)
    leaving = f" ({draining} draining)" if draining else ""
    requests = totals(supervisor, gone).requests
    return f"{ready} workers{leaving}, {connections} connections, {requests} requests answered"


def about(config: str, started_at: float, last_reload: LastReload | None) -> dict[str, object]:
    """What the program is. Times are seconds since the epoch."""
    last = last_reload and {
        "at": last_reload.at,
        "ok": last_reload.ok,
        "reasons": list(last_reload.reasons),
    }
    return {
        "version": __version__,
        "pid": os.getpid(),
        "config": config,
        "started": started_at,
        "uptime_s": round(time.time() - started_at, 3),
        "last_reload": last,
    }


def figures(
    supervisor: Supervisor,
    gone: Totals,
    sockets: Iterable[tuple[Address, socket.socket]],
    protocols: Mapping[Address, str],
    now: float,
) -> dict[str, object]:
    """What it does. now: monotonic seconds."""
    total = totals(supervisor, gone)
    return {
        "listeners": listeners(sockets, protocols),
        "workers": workers(supervisor, now),
        "totals": {
            "requests": total.requests,
            "connections": total.connections,
            "bytes_sent": total.bytes_sent,
            "errors": total.errors,
        },
    }
