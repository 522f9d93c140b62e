"""What a thread of this process is doing, as Python shows it in a traceback."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from types import FrameType
from typing import Final

_MOST_FRAMES: Final = 40
_OURS: Final = (
    os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), ""),
    os.path.abspath(threading.__file__),
)
_OUR_LINES: Final = tuple(f'  File "{path}' for path in (*_OURS, "<frozen runpy>"))


def stack_of(ident: int) -> str:
    """The stack of a thread, the most recent call last; empty where there is no such thread.

    What leads from the thread's start to a user's code is left out. ident: as by
    threading.get_ident().
    """
    frame = sys._current_frames().get(ident)
    return "" if frame is None else formatted(frame)


def is_ours(frame: FrameType) -> bool:
    """Whether there is nothing but code of forkd on a stack."""
    return all(one.f_code.co_filename.startswith(_OURS) for one, _ in traceback.walk_stack(frame))


def shortened(dump: str) -> str:
    """A dump of faulthandler's, whose stacks begin with the most recent call, without what leads
    from the start of each thread to a user's code."""
    threads = []
    for thread in dump.strip("\n").split("\n\n"):
        head, *calls = thread.split("\n")
        shown = list(calls)
        while shown and shown[-1].startswith(_OUR_LINES):
            shown.pop()
        threads.append("\n".join([head, *(shown or calls[:1])]))
    return "\n\n".join(threads) + "\n"


def formatted(frame: FrameType) -> str:
    """The lines of a stack, without a newline at the end."""
    # The innermost ones, if there are too many: they say what is going on.
    frames = traceback.StackSummary.extract(traceback.walk_stack(frame), limit=_MOST_FRAMES)
    frames.reverse()
    ours = 0
    while ours < len(frames) and frames[ours].filename.startswith(_OURS):
        ours += 1
    shown = frames[ours:] or frames
    return "".join(traceback.format_list(shown)).rstrip("\n")
