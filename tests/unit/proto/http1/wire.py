"""Plays bytes into a RequestReader and writes down what comes of them, pieces of bodies joined."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from forkd.errors import ProtocolError
from forkd.proto.http1.head import Head
from forkd.proto.http1.limits import HeadLimits
from forkd.proto.http1.reader import END_OF_BODY, HeadMemo, RequestReader


@dataclass(frozen=True, slots=True)
class Transcript:
    """Heads, bodies (bytes) and ends of bodies in order, and the state that is left.

    `state` is "error STATUS", "partial" (within a head), "open" (within a body) or "idle".
    """

    events: tuple[Head | bytes | str, ...]
    state: str

    def signature(self) -> tuple[object, ...]:
        """The same with heads as values, to compare two transcripts."""
        heads = [
            (
                event.method,
                event.target,
                event.version,
                event.headers,
                event.content_length,
                event.chunked,
                event.keep_alive,
                event.host,
                event.path,
                event.query,
            )
            if isinstance(event, Head)
            else event
            for event in self.events
        ]
        return (*heads, self.state)


def play(
    pieces: Iterable[bytes],
    limits: HeadLimits | None = None,
    max_body: int | None = None,
    memo: HeadMemo | None = None,
) -> Transcript:
    """Feed the pieces one after the other and take all events after each."""
    reader = RequestReader(limits or HeadLimits(), HeadMemo() if memo is None else memo)
    events: list[Head | bytes | str] = []
    try:
        for piece in pieces:
            reader.receive(piece)
            _drain(reader, events, max_body)
    except ProtocolError as error:
        return Transcript(tuple(events), f"error {error.status}")
    within_body = any(
        isinstance(event, Head) and event.has_body for event in events
    ) and not _last_body_ended(events)
    state = "open" if within_body else "partial" if reader.partial else "idle"
    return Transcript(tuple(events), state)


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """The data in pieces that end at these places; some may be empty."""
    edges = [0, *sorted(places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def _drain(reader: RequestReader, events: list[Head | bytes | str], max_body: int | None) -> None:
    while (event := reader.next_event()) is not None:
        if event is END_OF_BODY:
            events.append("end")
        elif isinstance(event, Head):
            events.append(event)
            if max_body is not None and event.has_body:
                reader.limit_body(max_body)
        elif events and isinstance(events[-1], bytes):
            events[-1] += event
        else:
            assert isinstance(event, bytes)
            assert event, "a piece of a body is never empty"
            events.append(event)


def _last_body_ended(events: list[Head | bytes | str]) -> bool:
    for event in reversed(events):
        if event == "end":
            return True
        if isinstance(event, Head):
            return not event.has_body
    return True
