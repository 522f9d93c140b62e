"""What the threads of a worker are doing, for `forkd stack`: with names and requests."""

from __future__ import annotations

import sys
import threading

from forkd.handlers.application import ApplicationCall
from forkd.loop.crew import Call, Crew
from forkd.system.frames import formatted, is_ours


def describe_threads(crew: Crew, now: float) -> bytes:
    """The stacks of all threads, those that answer requests first. For the loop's thread."""
    frames = sys._current_frames()
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    busy = {ident: call for call, ident in dict(crew.threads).items()}
    here = threading.get_ident()
    main = threading.main_thread().ident
    parts: list[str] = []
    own: list[str] = []
    """Threads of forkd's: nobody wants to read what they wait in."""
    for ident in sorted(frames, key=lambda one: (one not in busy, one == here, one)):
        # One that C code has started and that Python knows no name of may run Python, too.
        name = names.get(ident) or f"thread {ident}"
        call = busy.get(ident)
        if call is not None:
            parts.append(f"{name}: {_request(call, now)}\n{formatted(frames[ident])}")
        elif ident == here:
            own.append(f"{name} runs the loop, which turns")
        elif ident == main:
            own.append(f"{name} waits for signals")
        elif is_ours(frames[ident]):
            own.append(f"{name} waits for work")
        else:
            parts.append(f"{name}\n{formatted(frames[ident])}")
    parts.append("\n".join(own))
    if crew.waiting:
        parts.append(f"{crew.waiting} calls wait for a thread")
    return ("\n\n".join(parts) + "\n").encode("utf-8", "backslashreplace")


def _request(call: Call, now: float) -> str:
    if not isinstance(call, ApplicationCall):
        return "a connection or datagram of a listener with a handler"
    request, head = call.request, call.request.head
    return (
        f"{now - request.started:.1f} s {head.method} {head.target.decode('latin-1')} "
        f"client={request.peer.address or 'unix:'} route={request.match.route.pattern} "
        f"id={request.id}"
    )
