"""What is asked on the control socket and changes nothing here: each question is passed on to what
finds the answer, or refused where there is no generation yet to ask about."""

from __future__ import annotations

from collections.abc import Mapping

from forkd.loop.loop import Loop
from forkd.master.comparison import compare
from forkd.master.control import Reply
from forkd.master.inquiries import Inquirer, Inquiries
from forkd.master.reading import Load
from forkd.master.replays import Replays
from forkd.master.succession import Succession

_NOT_STARTED = "forkd has not started yet"


class Questions:
    """About the generation that serves."""

    def __init__(
        self,
        loop: Loop,
        load: Load,
        inquirers: Mapping[str, Inquirer],
        succession: Succession,
    ) -> None:
        self._loop = loop
        self._load = load
        self._succession = succession
        self._inquiries = Inquiries(loop, inquirers)
        self._replays = Replays(self._inquiries)

    def compare(self, reply: Reply) -> None:
        """Say what a reload would change."""
        if (live := self._succession.live) is None:
            _refuse(reply)
        else:
            compare(self._loop, self._load, live.settings, reply)

    def inquire(self, name: str, request: dict[str, object], reply: Reply) -> None:
        """Have a question answered by a process of its own."""
        if (live := self._succession.live) is None:
            _refuse(reply)
        else:
            self._inquiries.answer(name, live, request, reply)

    def replay(self, request: dict[str, object], reply: Reply) -> None:
        """Run a recorded request again, for whoever asks."""
        if (live := self._succession.live) is None:
            _refuse(reply)
        else:
            self._replays.begin(live, request, reply)


def _refuse(reply: Reply) -> None:
    reply({"ok": False, "reasons": [_NOT_STARTED]})
