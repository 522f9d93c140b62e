"""The formats of access logs that tell more than a request's own bytes: JSON, and templates.

Here each line is made anew, which takes some microseconds. `access.py` has the formats of which
most is the same from line to line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from forkd.config.access_template import split_template
from forkd.proto.http1.head import Head, log_escape

_END: Final = frozenset({"cgi_exit", "cgi_cpu", "cgi_memory"})
"""Known only when a program has ended."""


@dataclass(frozen=True, slots=True)
class Run:
    """A program that was run for a request; None where a figure is not known (any more)."""

    pid: int | None
    exit: int | str | None
    """Its exit status, or the name of the signal that ended it."""
    cpu_ms: float | None
    memory: int | None
    """Bytes that it took at most."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is told of one answer. No head: there was no request."""

    at: float
    """When it was given: seconds since the epoch."""
    log_time: bytes
    """The same as the common format has it."""
    client: str
    head: Head | None
    id: str | None
    route: str | None
    """The pattern; None where no route has answered."""
    status: int
    size: int
    """Bytes of the body that the client took."""
    duration_ms: float
    queue_ms: float | None = None
    """How long its connection had waited to be accepted, where that was looked at and it is the
    first request of it."""


Value = str | int | float | None
_Tell = Callable[[Answer], Value]


def _iso_time(answer: Answer) -> str:
    return datetime.fromtimestamp(answer.at).astimezone().isoformat(timespec="milliseconds")


def _of_head(tell: Callable[[Head], Value]) -> _Tell:
    return lambda answer: None if answer.head is None else tell(answer.head)


def _header(name: bytes) -> _Tell:
    def tell(head: Head) -> str | None:
        value = head.get(name)
        return None if value is None else value.decode("utf-8", "backslashreplace")

    return _of_head(tell)


def _unknown(_answer: Answer) -> None:
    """What this version knows nothing of."""


_FIELDS: Mapping[str, _Tell] = MappingProxyType(
    {
        "time": _iso_time,
        "time_local": lambda answer: answer.log_time.decode(),
        "id": lambda answer: answer.id,
        "client": lambda answer: answer.client,
        "user": _unknown,
        "method": _of_head(lambda head: head.method),
        "target": _of_head(lambda head: head.target.decode("latin-1")),
        "protocol": _of_head(lambda head: f"HTTP/1.{head.version - 10}"),
        "host": _of_head(lambda head: head.host or None),
        "status": lambda answer: answer.status,
        "bytes": lambda answer: answer.size,
        "duration_ms": lambda answer: round(answer.duration_ms, 3),
        "queue_ms": lambda answer: answer.queue_ms,
        "route": lambda answer: answer.route,
        "referer": _header(b"referer"),
        "user_agent": _header(b"user-agent"),
        "tls": _unknown,
    }
)
_OF_RUNS: Mapping[str, Callable[[Run], Value]] = MappingProxyType(
    {
        "cgi_pid": lambda run: run.pid,
        "cgi_exit": lambda run: run.exit,
        "cgi_cpu": lambda run: run.cpu_ms,
        "cgi_memory": lambda run: run.memory,
    }
)
_JSON: Final = (
    *("time", "id", "client", "user", "method", "target", "protocol", "host", "status", "bytes"),
    *("duration_ms", "queue_ms", "route", "worker", "referer", "user_agent", "tls"),
)


class Json:
    """An object on a line, with a null for what is not known."""

    tells_end = True
    """Also of how a request's program ended, so it is worth a wait."""
    tells_queue = True
    """Also of how long a connection had waited, so it is worth a look."""

    def __init__(self, worker: int) -> None:
        """worker: the number of its slot."""
        self._worker = worker

    def line(self, answer: Answer, run: Run | None) -> bytes:
        """run: None where no program was run."""
        told: dict[str, Value] = {
            name: self._worker if name == "worker" else _FIELDS[name](answer) for name in _JSON
        }
        if run is not None:
            told |= {"cgi_pid": run.pid, "cgi_exit": run.exit, "cgi_cpu_ms": run.cpu_ms}
        return json.dumps(told, separators=(",", ":")).encode() + b"\n"


class Template:
    """Text with fields, `-` for what is not known. What comes of clients is escaped as in the
    common format: it has no line end, quote or backslash of its own."""

    def __init__(self, text: str, worker: int) -> None:
        """text: as config/access_template.py has it."""
        self._worker = worker
        self._pieces = [(before.encode(), name) for before, name in split_template(text)]
        names = [name for _, name in self._pieces]
        self.tells_end = any(name in _END for name in names)
        self.tells_queue = "queue_ms" in names

    def line(self, answer: Answer, run: Run | None) -> bytes:
        """run: None where no program was run."""
        parts = []
        for before, name in self._pieces:
            parts += [before, self._told(name, answer, run) if name else b""]
        return b"".join(parts) + b"\n"

    def _told(self, name: str, answer: Answer, run: Run | None) -> bytes:
        value: Value
        if name == "worker":
            value = self._worker
        elif (of_run := _OF_RUNS.get(name)) is not None:
            value = None if run is None else of_run(run)
        elif name == "request":
            return answer.head.log_line if answer.head else b"-"
        else:
            value = _FIELDS[name](answer)
        return b"-" if value is None else log_escape(str(value).encode("utf-8", "replace"))


Format = Json | Template
"""Makes lines."""
