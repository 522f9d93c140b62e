"""The command line: the composition root, the only part that knows all the others.

Exit statuses: 0 done, 1 it cannot be done (one clear line on stderr says why), 2 wrong usage, 3
nothing is running there.
"""

from __future__ import annotations

import os
import sys

from forkd.errors import ForkdError

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; gives the exit status. No traceback reaches the person who typed it."""
    _have_standard_descriptors()
    from forkd.cli.commands import run
    from forkd.cli.parser import parse

    try:
        return run(parse(sys.argv[1:] if arguments is None else arguments))
    except ForkdError as error:
        for line in str(error).splitlines():
            print(f"forkd: {line}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has had enough (forkd schema | head). Python must not try again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0


def _have_standard_descriptors() -> None:
    """Started with stdin, stdout or stderr closed, the first sockets would get their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
