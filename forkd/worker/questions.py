"""What requests ask of the master, by way of the worker's channel."""

from __future__ import annotations

from forkd.channel import Channel, Said, Word, told
from forkd.handlers.asking import Listener
from forkd.loop.loop import Loop

FRESH_S = 0.2
"""So long an answer serves those who ask after it has come, unless another time is given."""
_ASK_AGAIN_S = 2.0
"""A question that has not been answered by then is taken for lost."""
_NEVER_ASKED = -1e9


class Questions:
    """One question at a time, whoever asks: its answer is for all who wait."""

    def __init__(self, loop: Loop, channel: Channel, topic: str, fresh_s: float = FRESH_S) -> None:
        """fresh_s: 0 where an answer must not be older than one that another worker has given."""
        self._fresh_s = fresh_s
        self._loop = loop
        self._channel = channel
        self._topic = topic
        self._waiting: dict[Listener, None] = {}
        self._asked_at = _NEVER_ASKED
        """When the question was asked that is not answered yet."""
        self._answer = b""
        self._fresh_until = 0.0

    def ask(self, listener: Listener) -> None:
        """Have the listener told, at once where the answer is known."""
        now = self._loop.now
        if now < self._fresh_until:
            listener.told(self._answer)
            return
        self._waiting[listener] = None
        if now >= self._asked_at + _ASK_AGAIN_S:
            self._asked_at = now
            self._channel.say(Word.ASK, [self._topic])

    def forget(self, listener: Listener) -> None:
        """It does not wait any more."""
        self._waiting.pop(listener, None)

    def hear(self, said: Said) -> None:
        """The master has told something."""
        answer = told(said)
        if said.fields != (self._topic,):
            return
        self._answer = answer
        self._fresh_until = self._loop.now + self._fresh_s
        self._asked_at = _NEVER_ASKED
        waiting, self._waiting = self._waiting, {}
        for listener in waiting:
            listener.told(answer)
