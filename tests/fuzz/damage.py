"""The state of a daemon before and after: processes, descriptors, memory, idleness, its log."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.system.daemon import Daemon
from tests.system.processes import descendants, open_files, pids

PSS_GROWTH_MOST_BYTES = 15 << 20
PSS_GROWTH_FREE_BYTES = 3 << 20
PSS_GROWTH_EACH_BYTES = 250
"""Of one worker from the end of the warm-up: so much, and so much for each conversation of all, but
never more than the most. What is remembered of heads, paths and files fills up with what mutations
make: 1 MiB after 3,000 conversations, 6 MiB after 40,000. Heads are most of it, up to 12 MiB."""

IDLE_SHARE = 0.05
"""Of one CPU, for all processes together, when nobody asks for anything. The kernel counts in ticks
of 10 ms; a loop that spins takes all of a CPU."""

IDLE_WINDOW_S = 1.0

SETTLE_S = 15.0
"""How long programs and connections may take to end: a TERM, 5 s, and a KILL fit in."""


@dataclass(frozen=True, slots=True)
class State:
    """Of the whole family. Descriptors are counted by kind for each process."""

    workers: frozenset[int]
    family: frozenset[int]
    descriptors: dict[int, list[str]]
    pss: dict[int, int]


def pss(pid: int) -> int:
    """Bytes of memory, where a shared page counts for its share."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Pss")


def observe(daemon: Daemon) -> State:
    workers = frozenset(pids(daemon))
    family = frozenset({daemon.pid, *descendants(daemon.pid)})
    kinds = {pid: sorted(link.partition(":[")[0] for link in open_files(pid)) for pid in family}
    return State(workers, family, kinds, {pid: pss(pid) for pid in workers})


def _settled(daemon: Daemon, start: State) -> State:
    """The state when it is that of the start again, or after SETTLE_S."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        now = observe(daemon)
        alike = (now.family, now.descriptors) == (start.family, start.descriptors)
        if alike or time.monotonic() > deadline:
            return now
        time.sleep(0.05)


def _cpu_s(family: frozenset[int]) -> float:
    ticks = 0
    for pid in family:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def may_grow(conversations: int) -> int:
    """Bytes of PSS that a worker may have more."""
    growth = PSS_GROWTH_FREE_BYTES + PSS_GROWTH_EACH_BYTES * conversations
    return min(growth, PSS_GROWTH_MOST_BYTES)


def assess(
    daemon: Daemon, start: State, warm: State, conversations: int, report: Callable[[str], object]
) -> list[str]:
    """A line for each damage; `start` is before the first request, `warm` after the warm-up."""
    now = _settled(daemon, start)
    found = []
    if now.workers != start.workers:
        found.append(f"workers were {sorted(start.workers)}, are {sorted(now.workers)}")
    if left := now.family - start.family:
        found.append(f"processes that were not there before: {sorted(left)}")
    if gone := start.family - now.family:
        found.append(f"processes that are gone: {sorted(gone)}")
    found += [
        f"descriptors of {pid} were {start.descriptors[pid]}, are {now.descriptors[pid]}"
        for pid in start.family & now.family
        if now.descriptors[pid] != start.descriptors[pid]
    ]
    for pid in start.workers & now.workers:
        growth = now.pss[pid] - warm.pss[pid]
        report(f"worker {pid}: PSS {now.pss[pid] >> 10} KiB, {growth >> 10:+d} KiB")
        if growth > may_grow(conversations):
            found.append(f"worker {pid} has grown by {growth} bytes")
    alive = start.family & now.family
    before = _cpu_s(alive)
    time.sleep(IDLE_WINDOW_S)
    used = _cpu_s(alive) - before
    report(f"idle CPU: {used / IDLE_WINDOW_S:.1%}")
    if used > IDLE_SHARE * IDLE_WINDOW_S:
        found.append(f"{used:.2f} s of CPU in {IDLE_WINDOW_S:g} s without a client")
    with open(daemon.directory / "error.log", errors="replace") as log:
        lines = [line.strip() for line in log if "Traceback" in line or " CRITICAL " in line]
    found += lines[:3]
    return found
