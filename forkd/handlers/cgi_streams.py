"""What a CGI program writes, on its way here: its stdout and its stderr."""

from __future__ import annotations

import os
from collections.abc import Callable

from forkd.handlers.programs import Standard
from forkd.loop.loop import Loop
from forkd.loop.pipes import Source

_STDERR_AT_ONCE = 4096
"""Each line of it is a write to the error log: a flood must not keep the loop from the others."""

Data = Callable[[bytes], None]
Ended = Callable[[], None]


class Theirs:
    """The ends that are to be the program's; they are closed with the context, whatever happens."""

    __slots__ = ("stderr", "stdin", "stdout")

    def __init__(self, stdin: int | None) -> None:
        self.stdin = stdin
        self.stdout = self.stderr = -1

    def __enter__(self) -> Standard:
        return self.stdin, self.stdout, self.stderr

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for end in (self.stdin, self.stdout, self.stderr):
            if end is not None and end >= 0:
                os.close(end)


class Streams:
    """Two pipes. Output is read as it comes; what is said on stderr with the program's end, or as
    it comes once the program lasts (`watch_errors`): for most programs that is a wake-up saved.

    Before `given`, and after their end, there is nothing in them.
    """

    __slots__ = ("_stderr", "_stdout")

    def __init__(self) -> None:
        self._stdout: Source | None = None
        self._stderr: Source | None = None

    def given(
        self, loop: Loop, stdin: int | None, output: tuple[Data, Ended], errors: tuple[Data, Ended]
    ) -> Theirs:
        """The program's ends, for as long as it takes to give them to somebody.

        output, errors: what is called with what comes, and at the end. Raises OSError.
        """
        theirs = Theirs(stdin)
        try:
            mine, theirs.stdout = os.pipe2(os.O_CLOEXEC)
            self._stdout = Source(loop, mine, *output)
            mine, theirs.stderr = os.pipe2(os.O_CLOEXEC)
            self._stderr = Source(loop, mine, *errors, _STDERR_AT_ONCE, watched=False)
        except OSError:
            theirs.close()
            raise
        return theirs

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
        """What has come by now of the output, without waiting for more."""
        if self._stdout is not None:
            self._stdout.read_rest()

    def read_rest_of_errors(self) -> None:
        """The same of stderr."""
        if self._stderr is not None:
            self._stderr.read_rest()

    def close(self) -> None:
        self.close_output()
        if self._stderr is not None:
            self._stderr.close()
