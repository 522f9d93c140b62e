"""How long a program is waited for."""

from __future__ import annotations

from forkd.handlers.patience import Patience
from tests.unit.stepped import SteppedLoop


class Waiting:
    """A patience of ten seconds, and what it has said."""

    def __init__(self, loop: SteppedLoop) -> None:
        self.said: list[str] = []
        self.patience = Patience(
            loop, 10, lambda: self.said.append("slow"), lambda: self.said.append("over")
        )


def test_half_of_the_time_is_told_once_and_the_whole_ends_it(loop: SteppedLoop) -> None:
    waiting = Waiting(loop)
    waiting.patience.renew(held_back=False)
    loop.pass_time(4.5)
    assert waiting.said == []
    loop.pass_time(1)
    assert waiting.said == ["slow"]
    waiting.patience.renew(held_back=False)
    loop.pass_time(9.5)
    assert waiting.said == ["slow"]
    loop.pass_time(1)
    assert waiting.said == ["slow", "over"]


def test_time_in_which_it_is_held_back_does_not_count(loop: SteppedLoop) -> None:
    waiting = Waiting(loop)
    waiting.patience.renew(held_back=False)
    waiting.patience.renew(held_back=True)
    loop.pass_time(100)
    assert waiting.said == []
    waiting.patience.renew(held_back=False)
    loop.pass_time(11)
    assert waiting.said == ["slow", "over"]


def test_a_limit_of_its_own_says_nothing_before(loop: SteppedLoop) -> None:
    waiting = Waiting(loop)
    waiting.patience.renew(held_back=False)
    waiting.patience.limit(2)
    loop.pass_time(1.5)
    assert waiting.said == []
    loop.pass_time(1)
    assert waiting.said == ["over"]


def test_nothing_is_said_after_the_end(loop: SteppedLoop) -> None:
    waiting = Waiting(loop)
    waiting.patience.renew(held_back=False)
    waiting.patience.end()
    loop.pass_time(20)
    assert waiting.said == []
