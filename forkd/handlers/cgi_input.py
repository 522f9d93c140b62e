"""The body of a CGI request on its way to the program's stdin."""

from __future__ import annotations

import os
from collections.abc import Callable

from forkd.handlers.spool import Spool
from forkd.loop.loop import Loop
from forkd.loop.pipes import Sink
from forkd.proto.http1.head import Head


class Input:
    """Written into a pipe as it comes; kept in a file first where its size is not known before."""

    __slots__ = ("_sink", "_spool")

    def __init__(self) -> None:
        self._sink: Sink | None = None
        self._spool: Spool | None = None

    def open(
        self, loop: Loop, head: Head, progressed: Callable[[], None]
    ) -> tuple[int | None, int | None] | None:
        """The descriptor that is to be the program's stdin, which is the caller's from then on
        (None: there is nothing to read), and the size in bytes; None where both are known at the
        end of the body only.

        progressed: called when the program has taken something that had to wait. Raises OSError.
        """
        if head.chunked:
            # CONTENT_LENGTH must be true: the size has to be known before the program starts.
            self._spool = Spool()
            return None
        if head.has_body:
            read_end, write_end = os.pipe2(os.O_CLOEXEC)
            self._sink = Sink(loop, write_end, progressed)
            return read_end, head.content_length
        return None, head.content_length if head.has_length else None

    @property
    def queued(self) -> int:
        """Bytes that the program has not taken yet."""
        return self._sink.queued if self._sink is not None else 0

    @property
    def idle(self) -> bool:
        """The program may wait for more of the body, and all that has come was written."""
        return self._sink is not None and self._sink.idle

    def write(self, data: bytes) -> None:
        """Raises OSError where it cannot be kept."""
        if self._spool is not None:
            self._spool.write(data)
        elif self._sink is not None:
            self._sink.write(data)

    def end(self) -> tuple[int, int] | None:
        """The body is whole. What `open` gives, where that had to wait for this. Raises OSError."""
        if self._spool is None:
            self.cut()
            return None
        kept = self._spool.hand_over()
        self._spool = None
        return kept

    @property
    def is_open(self) -> bool:
        """The program waits for more than it has got."""
        return self._sink is not None and self._sink.fd >= 0

    def cut(self) -> None:
        """No more will come: the end of what is there is the end of stdin."""
        if self._sink is not None:
            self._sink.end()

    def drop(self) -> None:
        """No more will come, and the program must not take what it has got for the whole: it sees
        no end as long as this is not closed."""
        if self._sink is not None:
            self._sink.drop()

    def close(self) -> None:
        """What is there is not wanted any more."""
        for end in (self._sink, self._spool):
            if end is not None:
                end.close()
        self._sink = self._spool = None
