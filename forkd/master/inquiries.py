"""Questions that take more than the master may do: each goes to a process of its own.

To explain a URL is to do what a worker does, and to look at files as its user and as that of
programs; to list records is to read what others wrote. The master does neither: it is handed what
does, and that runs in a child.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from forkd.errors import ForkdError, OperationError
from forkd.loop.loop import Loop
from forkd.master.control import Reply
from forkd.master.errand import Awaited, Errand, Words
from forkd.master.generation import Generation

PATIENCE_S: Final = 8.0
"""Less than whoever asks has (cli/client.py)."""

_WORDS: Final = Words(
    process="inquirer",
    cannot="cannot answer",
    lost="the process that looks ended and did not say why (see the error log, and dmesg)",
    slow="looking for an answer took longer",
    slow_hint="is one of the files on a file system that hangs?",
)

Answer = dict[str, Any]
"""The shape is the affair of who answers and who asked."""
Inquirer = Callable[[Generation, Mapping[str, object]], Answer]
"""What the child calls, with the generation that serves and the request. It may raise ForkdError.
"""


class Inquiries:
    """Has them answered by name."""

    def __init__(self, loop: Loop, inquirers: Mapping[str, Inquirer]) -> None:
        self._loop = loop
        self._inquirers = inquirers

    def answer(
        self, name: str, generation: Generation, request: Mapping[str, object], reply: Reply
    ) -> None:
        """Reply later, with what was found or with the reasons why there is nothing."""

        def done(found: Answer | ForkdError) -> None:
            reply(refusal(found) if isinstance(found, ForkdError) else {"ok": True, **found})

        self.ask(name, generation, request, done)

    def ask(
        self,
        name: str,
        generation: Generation,
        request: Mapping[str, object],
        done: Callable[[Answer | ForkdError], None],
    ) -> None:
        """`done` is called once, now or later."""
        try:
            errand = Errand(partial(self._inquirers[name], generation, request), _WORDS)
        except OperationError as error:
            done(error)
        else:
            Awaited(self._loop, errand, done, PATIENCE_S)


def refusal(error: ForkdError) -> dict[str, object]:
    """What the control socket says of it."""
    return {"ok": False, "reasons": str(error).splitlines()}
