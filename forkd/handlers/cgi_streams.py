"""What a CGI program writes, on its way here: its stdout and its stderr."""

from __future__ import annotations

import os
from collections.abc import Callable

from forkd.loop.loop import Loop
from forkd.loop.pipes import Source

_STDERR_AT_ONCE = 4096
"""Each line of it is a write to the error log: a flood must not keep the loop from the others."""

Data = Callable[[bytes], None]
Ended = Callable[[], None]


class Streams:
    """Two pipes. Output is read as it comes; what is said on stderr with the program's end, or as
    it comes once the program lasts (`watch_errors`): for most programs that is a wake-up saved.

    Before `open`, and after their end, there is nothing in them.
    """

    __slots__ = ("_stderr", "_stdout")

    def __init__(self) -> None:
        self._stdout: Source | None = None
        self._stderr: Source | None = None

    def open(
        self, loop: Loop, output: tuple[Data, Ended], errors: tuple[Data, Ended]
    ) -> tuple[int, int]:
        """The ends that are to be the program's stdout and stderr, which are the caller's.

        output, errors: what is called with what comes, and at the end. Raises OSError, and then
        leaves none of the program's ends open.
        """
        theirs: list[int] = []
        try:
            mine, end = os.pipe2(os.O_CLOEXEC)
            theirs.append(end)
            self._stdout = Source(loop, mine, *output)
            mine, end = os.pipe2(os.O_CLOEXEC)
            theirs.append(end)
            self._stderr = Source(loop, mine, *errors, _STDERR_AT_ONCE, watched=False)
        except OSError:
            for end in theirs:
                os.close(end)
            raise
        stdout, stderr = theirs
        return stdout, stderr

    @property
    def output_closed(self) -> bool:
        return self._stdout is None or self._stdout.closed

    @property
    def output_paused(self) -> bool:
        return self._stdout is not None and self._stdout.paused

    def watch_errors(self) -> None:
        if self._stderr is not None:
            try:
                self._stderr.watch()
            except OSError:
                pass  # it is read with the program's end

    def pause_output(self) -> None:
        if self._stdout is not None:
            self._stdout.pause()

    def resume_output(self) -> None:
        if self._stdout is not None:
            self._stdout.resume()

    def close_output(self) -> None:
        """What the program still writes is wanted by nobody."""
        if self._stdout is not None:
            self._stdout.close()

    def read_rest(self) -> None:
        """What has come by now of both, without waiting for more."""
        self.read_rest_of_errors()
        if self._stdout is not None:
            self._stdout.read_rest()

    def read_rest_of_errors(self) -> None:
        if self._stderr is not None:
            self._stderr.read_rest()

    def close(self) -> None:
        self.close_output()
        if self._stderr is not None:
            self._stderr.close()
