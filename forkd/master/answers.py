"""What workers are told that ask for what only the master knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from forkd.loop.loop import Loop

_FRESH_S = 0.2
"""Many workers may ask at once, and clients say how often: so an answer serves for a while."""

Topics = Mapping[str, Callable[[], dict[str, object]]]


class Answers:
    """JSON for each topic, made when asked for, and not more often than every 0.2 seconds."""

    def __init__(self, loop: Loop, topics: Topics) -> None:
        self._loop = loop
        self._topics = topics
        self._known: dict[str, tuple[float, bytes]] = {}

    def about(self, topic: str) -> bytes:
        """Raises KeyError for a topic that there is not."""
        made, data = self._known.get(topic, (0.0, b""))
        if not data or self._loop.now >= made + _FRESH_S:
            data = json.dumps(self._topics[topic]()).encode()
            self._known[topic] = (self._loop.now, data)
        return data
