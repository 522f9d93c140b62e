"""`forkd stack`: when what a worker has written is the answer."""

from __future__ import annotations

import pytest

from forkd.master.lifecycle import State
from forkd.master.stacks import ANSWERS_WITHIN_S, Question, Step, Way, judge
from tests.unit.master.test_lifecycle import child

WAIT, SIGNAL, GIVE, REFUSE = Step.WAIT, Step.SIGNAL, Step.GIVE, Step.REFUSE


@pytest.mark.parametrize(
    ("way", "looks", "expected"),
    [
        (Way.WORD, [(0.05, 0), (0.1, 900), (0.15, 900)], [WAIT, WAIT, GIVE]),
        (Way.WORD, [(0.1, 400), (0.2, 900), (0.3, 900)], [WAIT, WAIT, GIVE]),
        (Way.WORD, [(0.25, 0), (0.31, 0)], [WAIT, SIGNAL]),
        (Way.SIGNAL, [(0.3, 0), (0.4, 9), (0.5, 9), (0.6, 9)], [WAIT, WAIT, WAIT, GIVE]),
        (Way.SIGNAL, [(0.9, 0), (ANSWERS_WITHIN_S, 0)], [WAIT, REFUSE]),
        (Way.SIGNAL, [(0.9, 5), (ANSWERS_WITHIN_S, 9)], [WAIT, GIVE]),
        (Way.WORD, [(ANSWERS_WITHIN_S, 0)], [REFUSE]),
    ],
)
def test_what_has_come_to_rest_is_the_answer(
    way: Way, looks: list[tuple[float, int]], expected: list[Step]
) -> None:
    question = Question(child(3, State.READY), 100.0, way)
    assert [judge(question, size, 100.0 + at) for at, size in looks] == expected
