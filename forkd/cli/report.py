"""`forkd status` for people: what is cut here is whole in `forkd status --json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

from forkd.cli.words import age, cut, printable, size

_NARROWEST = 80
_MARGIN = " " * 15
_DEATHS_OF_S = 3600.0
_MOST_DEATHS = 5

Answer = dict[str, Any]
"""A parsed JSON object: the shape is the master's affair and is read key by key."""


def describe(answer: Answer, now: float, width: int) -> str:
    """now: seconds since the epoch. No line is longer than width, or 80 where that is less."""
    width = max(width, _NARROWEST)
    lines = [*_head(answer, now), *_failure(answer, width), "", *_workers(answer)]
    if deaths := [*_deaths(answer, now)]:
        lines += ["", *deaths]
    return "\n".join(cut(line.rstrip(), width) for line in lines)


def _head(answer: Answer, now: float) -> Iterator[str]:
    yield (
        f"forkd {answer['version']}  pid {answer['pid']}  {answer['state']}  "
        f"generation {answer['generation']}  up {age(answer['uptime_s'])}"
    )
    yield f"configuration  {printable(answer['config'])}"
    for listener in answer["listeners"]:
        queue = listener["queue"]
        waiting = f"  {queue} waiting" if queue else ""
        yield f"listening      {printable(listener['address'])} ({listener['protocol']}){waiting}"
    total = answer["totals"]
    yield (
        f"answered       {total['requests']} requests on {total['connections']} connections, "
        f"{size(total['bytes_sent'])}, {total['errors']} errors"
    )
    last = answer["last_reload"]
    if last is not None:
        yield f"last reload    {age(now - last['at'])} ago, {'ok' if last['ok'] else 'FAILED:'}"


def _failure(answer: Answer, width: int) -> Iterator[str]:
    """Why the last reload failed, whole: what to do about it stands at the end of each reason."""
    last = answer["last_reload"]
    if last is None or last["ok"]:
        return
    for reason in last["reasons"]:
        yield from wrap(
            printable(reason),
            width,
            initial_indent=_MARGIN,
            subsequent_indent=_MARGIN + "  ",
            break_on_hyphens=False,
        )


def _workers(answer: Answer) -> Iterator[str]:
    yield (
        f"{'SLOT':>4} {'PID':>8} {'GEN':>4} {'STATE':<9} {'REQUESTS':>9} {'CONN':>5} "
        f"{'BUSY':>4} {'WAIT':>4} {'MEMORY':>9}  BUSY WITH"
    )
    for worker in answer["workers"]:
        memory, request = worker["memory_pss"], worker["request"]
        # The age stands first: of a long target the end is cut.
        busy = (
            f"{age(request['since_s'])} {printable(request['method'])} "
            f"{printable(request['target'])}"
            if request
            else ""
        )
        if stalled := worker.get("stalled_s"):
            # What the worker says of itself is as old as that.
            busy = f"stands still for {age(stalled)} {busy}"
        yield (
            f"{worker['slot']:>4} {worker['pid']:>8} {worker['generation']:>4} "
            f"{worker['state']:<9} {worker['requests']:>9} {worker['connections']:>5} "
            f"{worker['threads_busy']:>4} {worker.get('threads_waiting', 0):>4} "
            f"{size(memory) if memory else '-':>9}  {busy}"
        )


def _deaths(answer: Answer, now: float) -> Iterator[str]:
    """Those of the last hour, the newest first."""
    deaths = [d for d in answer.get("deaths", ()) if now - d["at"] <= _DEATHS_OF_S]
    if not deaths:
        return
    deaths.sort(key=lambda death: death["at"], reverse=True)
    yield "DIED IN THE LAST HOUR"
    for death in deaths[:_MOST_DEATHS]:
        yield f"{age(now - death['at']):>6} ago  {obituary(death)}"
    if len(deaths) > _MOST_DEATHS:
        yield f"            and {len(deaths) - _MOST_DEATHS} more (forkd status --json)"


def obituary(death: Mapping[str, Any]) -> str:
    """Who died of what, and what it was doing."""
    request = death.get("request")
    during = (
        f" while it answered {printable(request['method'])} {printable(request['target'])}"
        if request
        else ""
    )
    return (
        f"{death['kind']} {death['slot']} gen {death['generation']} pid {death['pid']} "
        f"{printable(death['reason'])}{during}"
    )
