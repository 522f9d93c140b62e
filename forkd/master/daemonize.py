"""`-D`: the master in the background, detached from the terminal once it is known to serve."""

from __future__ import annotations

import os


class Background:
    """The daemon's end of the pipe on which the person's shell waits.

    The master's standard streams stay until it serves, so that every reason why it cannot is read
    where the command was typed. The pipe ends with the process that fails, after its last word.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    @classmethod
    def enter(cls) -> Background:
        """Fork twice; only the daemon returns. The process that was called exits with 0 when the
        daemon serves, with 1 when it does not come up."""
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        if os.fork() != 0:
            os.close(write_end)
            os._exit(0 if os.read(read_end, 1) else 1)
        os.close(read_end)
        os.setsid()
        # Once more: not being a session leader, it can never get a terminal again.
        if os.fork() != 0:
            os._exit(0)
        # The first children are forked before the master serves. With its streams they would keep
        # whoever reads the output of the command waiting for the end of it.
        os.register_at_fork(after_in_child=_let_go_of_streams)
        return cls(write_end)

    def ready(self) -> None:
        """The daemon serves: let the shell go on, and let go of its terminal."""
        _let_go_of_streams()
        os.write(self._pipe, b"1")
        os.close(self._pipe)


def _let_go_of_streams() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)
