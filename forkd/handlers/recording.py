"""What a CGI request tells whoever keeps records of those that fail."""

from __future__ import annotations

from typing import Final, Protocol

from forkd.handlers.programs import Ended, Program

RECORDED: Final = frozenset({500, 502, 504})
"""Statuses that are the program's fault, and not that of a machine without room."""


class Recorder(Protocol):
    """Of one request. Most requests do not fail: until `failed` it only collects, within bounds.

    All calls come from the loop's thread, and none may raise or block for long. `ended` comes
    last, and once, unless the worker itself ends before.
    """

    def ordered(self, program: Program) -> None:
        """What is about to be started. Not called where a request fails before that is known."""

    def body(self, data: bytes) -> None:
        """A piece of the request's body, as it comes."""

    def stderr(self, data: bytes) -> None:
        """What the program said on stderr, as it comes."""

    def failed(self, status: int, reason: str) -> None:
        """The request fails with 500, 502 or 504; reason as it is in the error log. Once at most.

        The program may run on, and may still say why.
        """

    def ended(self, end: Ended | None) -> None:
        """Nothing more will come. None: the program was never started, or its end is not known."""


class Unrecorded:
    """A recorder that keeps nothing."""

    def ordered(self, program: Program) -> None: ...

    def body(self, data: bytes) -> None: ...

    def stderr(self, data: bytes) -> None: ...

    def failed(self, status: int, reason: str) -> None: ...

    def ended(self, end: Ended | None) -> None: ...
