"""A process's figures in shared memory: written by it, read by the master.

Words of eight bytes, each written by one store, as in scoreboard.py. Places are given in order and
never change their meaning, so that a reader needs no lock: it reads how many places are taken, then
what they are for, then what is in them.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from forkd.figures.histogram import BUCKETS, Histogram
from forkd.figures.kinds import Kind
from forkd.figures.programs import Programs

MOST_KINDS: Final = 1024
"""Kinds of requests that a process counts apart, among them the one for all others."""
MOST_ROUTES: Final = 255
"""Routes whose times it counts apart, among them the one for all others."""

_KINDS_TAKEN, _ROUTES_TAKEN, _QUEUE = 0, 1, 2
_HISTOGRAM_WORDS = BUCKETS + 1
"""The counts, and the seconds."""
_ROUTES = _QUEUE + _HISTOGRAM_WORDS
"""For each: its number, its histogram, and what its programs have used."""
_PROGRAMS = 1 + _HISTOGRAM_WORDS
_ROUTE_WORDS = _PROGRAMS + 3
_KINDS = _ROUTES + MOST_ROUTES * _ROUTE_WORDS
"""For each: what it is, and how many."""
_KIND_WORDS = 2
_WORDS = _KINDS + MOST_KINDS * _KIND_WORDS

SIZE: Final = 8 * _WORDS
"""Bytes of a table."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a table holds at one moment."""

    requests: Mapping[Kind, int]
    durations: Mapping[int, Histogram]
    """By number of the route."""
    queue: Histogram
    """How long connections had waited when they were accepted."""
    programs: Mapping[int, Programs]
    """By number of the route, where one has ended."""


class Table:
    """The table at a place in shared memory."""

    def __init__(self, memory: mmap.mmap, offset: int) -> None:
        words = memoryview(memory)[offset : offset + SIZE]
        self._numbers = words.cast("Q")
        self._times = words.cast("d")

    def clear(self) -> None:
        """Make it as new. Pages that were not used stay unused."""
        numbers = self._numbers
        kinds, routes = numbers[_KINDS_TAKEN], numbers[_ROUTES_TAKEN]
        for start, end in (
            (0, _ROUTES + routes * _ROUTE_WORDS),
            (_KINDS, _KINDS + kinds * _KIND_WORDS),
        ):
            for word in range(start, end):
                numbers[word] = 0

    def take_kind(self, place: int, kind: Kind) -> None:
        """From now on this place, which is the next one, is for that kind."""
        packed = kind.route << 32 | kind.method << 16 | kind.status
        self._numbers[_KINDS + place * _KIND_WORDS] = packed
        self._numbers[_KINDS_TAKEN] = place + 1

    def write_requests(self, place: int, number: int) -> None:
        self._numbers[_KINDS + place * _KIND_WORDS + 1] = number

    def take_route(self, place: int, route: int) -> None:
        """From now on this place, which is the next one, is for the times of that route."""
        self._numbers[_ROUTES + place * _ROUTE_WORDS] = route
        self._numbers[_ROUTES_TAKEN] = place + 1

    def write_durations(self, place: int, durations: Histogram) -> None:
        self._write_histogram(_ROUTES + place * _ROUTE_WORDS + 1, durations)

    def write_programs(self, place: int, programs: Programs) -> None:
        at = _ROUTES + place * _ROUTE_WORDS + _PROGRAMS
        self._numbers[at] = programs.ended
        self._times[at + 1] = programs.cpu_s
        self._numbers[at + 2] = programs.peak_memory

    def write_queue(self, waits: Histogram) -> None:
        self._write_histogram(_QUEUE, waits)

    def _write_histogram(self, at: int, histogram: Histogram) -> None:
        numbers = self._numbers
        for word, count in enumerate(histogram.counts, at):
            numbers[word] = count
        self._times[at + BUCKETS] = histogram.seconds

    def read(self) -> Snapshot:
        numbers = self._numbers
        kinds = min(numbers[_KINDS_TAKEN], MOST_KINDS)
        words = numbers[_KINDS : _KINDS + kinds * _KIND_WORDS].tolist()
        requests = {
            Kind(packed >> 32, packed >> 16 & 0xFFFF, packed & 0xFFFF): number
            for packed, number in zip(words[::2], words[1::2], strict=True)
        }
        places = range(_ROUTES, _ROUTES + numbers[_ROUTES_TAKEN] * _ROUTE_WORDS, _ROUTE_WORDS)
        durations = {numbers[at]: self._read_histogram(at + 1) for at in places}
        programs = {
            numbers[at]: self._read_programs(at + _PROGRAMS)
            for at in places
            if numbers[at + _PROGRAMS]
        }
        return Snapshot(requests, durations, self._read_histogram(_QUEUE), programs)

    def _read_programs(self, at: int) -> Programs:
        return Programs(self._numbers[at], self._times[at + 1], self._numbers[at + 2])

    def _read_histogram(self, at: int) -> Histogram:
        return Histogram(self._numbers[at : at + BUCKETS].tolist(), self._times[at + BUCKETS])
