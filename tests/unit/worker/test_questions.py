"""What a worker asks the master, whoever wants to know."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from forkd.channel import Channel, Word, channel_pair
from forkd.worker.questions import Questions
from tests.unit.stepped import SteppedLoop

Ends = tuple[Channel, Channel]


@pytest.fixture
def ends() -> Iterator[Ends]:
    both = channel_pair()
    yield both
    for end in both:
        end.close()


class Waiting:
    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def told(self, answer: bytes) -> None:
        self.heard.append(answer)


def asked(master: Channel) -> int:
    """How many questions have come since the last look."""
    found = 0
    while True:
        try:
            said = master.hear()
        except BlockingIOError:
            return found
        assert said is not None
        assert (said.word, said.fields) == (Word.ASK, ("status",))
        found += 1


def answer(ends: Ends, questions: Questions, data: bytes, topic: str = "status") -> None:
    assert ends[0].tell(topic, data)
    said = ends[1].hear()
    assert said is not None
    questions.hear(said)


def test_one_question_is_for_all_who_wait(loop: SteppedLoop, ends: Ends) -> None:
    questions = Questions(loop, ends[1], "status")
    many = [Waiting() for _ in range(50)]
    for one in many:
        questions.ask(one)
    assert asked(ends[0]) == 1
    answer(ends, questions, b"x" * 500_000)
    assert [one.heard for one in many] == [[b"x" * 500_000]] * 50


def test_an_answer_serves_for_a_moment_and_no_longer(loop: SteppedLoop, ends: Ends) -> None:
    questions = Questions(loop, ends[1], "status")
    questions.ask(Waiting())
    answer(ends, questions, b"1")
    asked(ends[0])
    soon, late = Waiting(), Waiting()
    loop.now += 0.19
    questions.ask(soon)
    assert (soon.heard, asked(ends[0])) == ([b"1"], 0)
    loop.now += 0.02
    questions.ask(late)
    assert (late.heard, asked(ends[0])) == ([], 1)


def test_a_question_without_an_answer_is_asked_again_after_two_seconds(
    loop: SteppedLoop, ends: Ends
) -> None:
    questions = Questions(loop, ends[1], "status")
    questions.ask(Waiting())
    loop.now += 1.9
    questions.ask(Waiting())
    assert asked(ends[0]) == 1
    loop.now += 0.2
    questions.ask(Waiting())
    assert asked(ends[0]) == 1


def test_who_has_left_is_told_nothing(loop: SteppedLoop, ends: Ends) -> None:
    questions = Questions(loop, ends[1], "status")
    gone, here = Waiting(), Waiting()
    questions.ask(gone)
    questions.ask(here)
    questions.forget(gone)
    questions.forget(gone)
    answer(ends, questions, b"1")
    assert (gone.heard, here.heard) == ([], [b"1"])


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_an_answer_about_something_else_is_thrown_away(loop: SteppedLoop, ends: Ends) -> None:
    questions = Questions(loop, ends[1], "status")
    here = Waiting()
    questions.ask(here)
    answer(ends, questions, b"other", topic="weather")
    assert here.heard == []
    answer(ends, questions, b"1")
    assert here.heard == [b"1"]


def test_where_nothing_may_be_older_than_elsewhere_each_one_asks(
    loop: SteppedLoop, ends: Ends
) -> None:
    questions = Questions(loop, ends[1], "status", fresh_s=0.0)
    for data in (b"1", b"2"):
        one = Waiting()
        questions.ask(one)
        assert asked(ends[0]) == 1
        answer(ends, questions, data)
        assert one.heard == [data]
