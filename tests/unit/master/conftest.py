"""What the tests of the master share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from forkd.channel import Channel
from forkd.child import Assignment, Pool
from forkd.master.supervisor import Supervisor
from forkd.scoreboard import Slot
from tests.unit.master.assembled import Assembled, assembled
from tests.unit.stepped import SteppedLoop


def never(_number: int, _pool: Pool, _slot: Slot, _channel: Channel) -> Assignment:
    raise AssertionError("nothing is started here")


@pytest.fixture
def supervisor(loop: SteppedLoop) -> Supervisor:
    return Supervisor(
        loop,
        {},
        never,
        lambda _number: 15.0,
        lambda _death: None,
        lambda _child: None,
        lambda _child, _path: None,
        lambda: None,
        lambda _pid, _status: None,
        lambda _topic: b"",
    )


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Assembled]:
    """Two workers serve, in slots 0 and 1."""
    with assembled(tmp_path) as made:
        made.serve()
        yield made
