"""The scoreboard: shared memory with a slot for every child, written by it and read by all.

Anonymous memory, mapped before the first fork. Each child writes its own slot only; the master
clears a slot before it gives it away, and writes the header, which is for all. A reader may see
counters of two moments side by side, which harms nobody; the request text is read again where its
length changed meanwhile. Behind a slot's own words there is its table of what was answered by which
route (figures/table.py).
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from enum import IntEnum

from forkd.figures.table import SIZE as _TABLE_SIZE
from forkd.figures.table import Table

SLOTS = 1024
_HEADER_SIZE = mmap.PAGESIZE
_OWN_SIZE = 520
_SLOT_SIZE = -(-(_OWN_SIZE + _TABLE_SIZE) // mmap.PAGESIZE) * mmap.PAGESIZE
"""Whole pages, so that a child that counts little touches two of them."""

# Words of eight bytes, each written by one store: a reader may see two moments side by side, but
# never half a number. (struct.pack_into would clear the words first, and a reader that meets a tick
# of 0 takes a busy worker for one that hangs.)
_TICK, _REQUESTS, _CONNECTIONS, _BYTES_SENT, _ERRORS, _OPEN, _BUSY, _SINCE, _MEMORY = range(9)
_WAITING, _CPU, _CPU_AT, _PROGRAMS, _CPU_SHARE = 9, 10, 11, 12, 13
_WORDS = 14

_REQUEST_OFFSET = 8 * _WORDS
_REQUEST_LENGTH = struct.Struct("=H")
_REQUEST_ROOM = _OWN_SIZE - _REQUEST_OFFSET - _REQUEST_LENGTH.size


class Service(IntEnum):
    """Whether this host is in service: what the master says in the header, for all to read."""

    IN = 0
    LEAVING = 1
    """Requests are answered, but whoever asks for the health is told to go elsewhere."""
    OUT = 2
    """Nothing is accepted any more."""


@dataclass(frozen=True, slots=True)
class Counters:
    """Figures of one child. `tick` and `request_since` are monotonic seconds."""

    tick: float = 0.0
    requests: int = 0
    connections: int = 0
    bytes_sent: int = 0
    errors: int = 0
    open_connections: int = 0
    threads_busy: int = 0
    request_since: float = 0.0


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A request that a child is answering. `since` is monotonic seconds."""

    id: str
    client: str
    method: str
    target: str
    route: str
    since: float


class Slot:
    """One child's part of the scoreboard."""

    __slots__ = ("_memory", "_numbers", "_offset", "_request", "_times", "number")

    def __init__(self, memory: mmap.mmap, number: int) -> None:
        self._memory = memory
        self._offset = _HEADER_SIZE + number * _SLOT_SIZE
        words = memoryview(memory)[self._offset : self._offset + 8 * _WORDS]
        self._numbers = words.cast("Q")
        self._times = words.cast("d")
        self._request = b""
        self.number = number

    def other(self, number: int) -> Slot:
        """Another child's slot in the same memory."""
        return Slot(self._memory, number)

    @property
    def service(self) -> Service:
        """What the header says, which is the same for every slot."""
        return Service(self._memory[0])

    def clear(self) -> None:
        self._memory[self._offset : self._offset + _OWN_SIZE] = bytes(_OWN_SIZE)
        self.table().clear()

    def table(self) -> Table:
        """What the child counts of requests."""
        return Table(self._memory, self._offset + _OWN_SIZE)

    def write(
        self,
        tick: float,
        requests: int,
        connections: int,
        bytes_sent: int,
        errors: int,
        open_connections: int,
        threads_busy: int,
        request_since: float,
    ) -> None:
        """Positional for speed: this runs each time a busy loop comes to rest."""
        times, numbers = self._times, self._numbers
        times[_TICK] = tick
        numbers[_REQUESTS] = requests
        numbers[_CONNECTIONS] = connections
        numbers[_BYTES_SENT] = bytes_sent
        numbers[_ERRORS] = errors
        numbers[_OPEN] = open_connections
        numbers[_BUSY] = threads_busy
        times[_SINCE] = request_since

    def write_request(self, text: bytes) -> None:
        """Say which request has been under way for longest; b"" for none.

        text: the first five fields of UnderWay, joined by NUL.
        """
        if text == self._request:
            return
        self._request = text
        text = text[:_REQUEST_ROOM]
        start = self._offset + _REQUEST_OFFSET
        _REQUEST_LENGTH.pack_into(self._memory, start, 0)
        self._memory[start + 2 : start + 2 + len(text)] = text
        _REQUEST_LENGTH.pack_into(self._memory, start, len(text))

    def write_memory(self, pss: int) -> None:
        """The child's proportional set size in bytes, as it sees itself: a master that has given up
        CAP_SYS_PTRACE cannot read it."""
        self._numbers[_MEMORY] = pss

    def write_cpu(self, seconds: float, at: float) -> None:
        """The CPU time that the child has used so far, and the monotonic time of that figure."""
        times = self._times
        used, since = times[_CPU], times[_CPU_AT]
        if since and at > since:
            # Worked out here: a reader might meet a new figure beside an old one.
            times[_CPU_SHARE] = (seconds - used) / (at - since)
        times[_CPU] = seconds
        times[_CPU_AT] = at

    def read_cpu(self) -> tuple[float, float]:
        """What `write_cpu` was given last."""
        return self._times[_CPU], self._times[_CPU_AT]

    def read_cpu_share(self) -> float | None:
        """Which part of a CPU the child used between its last two figures; more than 1 where its
        threads had several. None where there are no two yet: to write one takes some time."""
        return self._times[_CPU_SHARE] or None

    def write_waiting(self, requests: int) -> None:
        """How many requests wait for a thread."""
        self._numbers[_WAITING] = requests

    def read_waiting(self) -> int:
        return self._numbers[_WAITING]

    def write_programs(self, running: int) -> None:
        """How many programs run for it."""
        self._numbers[_PROGRAMS] = running

    def read_programs(self) -> int:
        return self._numbers[_PROGRAMS]

    def read_memory(self) -> int | None:
        return self._numbers[_MEMORY] or None

    def read(self) -> Counters:
        times, numbers = self._times, self._numbers
        return Counters(
            tick=times[_TICK],
            requests=numbers[_REQUESTS],
            connections=numbers[_CONNECTIONS],
            bytes_sent=numbers[_BYTES_SENT],
            errors=numbers[_ERRORS],
            open_connections=numbers[_OPEN],
            threads_busy=numbers[_BUSY],
            request_since=times[_SINCE],
        )

    def read_under_way(self) -> UnderWay | None:
        """The request that has been under way for longest."""
        fields = self.read_request().split(b"\0")
        if len(fields) != 5:
            return None
        request, client, method, target, route = (one.decode("utf-8", "replace") for one in fields)
        return UnderWay(request, client, method, target, route, self._times[_SINCE])

    def read_request(self) -> bytes:
        start = self._offset + _REQUEST_OFFSET
        (length,) = _REQUEST_LENGTH.unpack_from(self._memory, start)
        length = min(length, _REQUEST_ROOM)
        return self._memory[start + 2 : start + 2 + length]


class Scoreboard:
    """All slots. Pages that no child has written cost nothing."""

    def __init__(self, slots: int = SLOTS) -> None:
        self._memory = mmap.mmap(-1, _HEADER_SIZE + slots * _SLOT_SIZE)
        self.slots = tuple(Slot(self._memory, number) for number in range(slots))

    def write_service(self, service: Service) -> None:
        """Every child sees it at its next look."""
        self._memory[0] = service
