"""Scenes that are cleaned up after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from forkd.handlers.base import Handler
from tests.unit.server.scene import Scene
from tests.unit.stepped import SteppedLoop

MakeScene = Callable[..., Scene]


@pytest.fixture
def scene(loop: SteppedLoop) -> Iterator[MakeScene]:
    """Makes scenes: scene(routes, **limits)."""
    made: list[Scene] = []

    def make(
        routes: Mapping[str, Handler],
        max_body: int = 1 << 20,
        style: str = "combined",
        **limits: object,
    ) -> Scene:
        made.append(Scene(loop, routes, max_body, style, **limits))
        return made[-1]

    yield make
    for one in made:
        one.close()
        assert one.server.connections == set()
        assert one.server.under_way == {}
    assert loop.watched == set()
