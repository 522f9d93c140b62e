"""What is asked on the control socket and changes nothing: which generation it is about, and that
it is answered whatever becomes of those who could tell."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from forkd.config.load import load_text
from forkd.config.settings import Settings
from forkd.errors import ForkdError, OperationError
from forkd.master import comparison, inquiries
from forkd.master.control import DESCRIPTORS, Reply
from forkd.master.generation import Generation
from forkd.master.inquiries import Answer
from forkd.master.questions import Questions
from forkd.master.succession import Succession
from forkd.system import messages
from tests.unit.stepped import SteppedLoop

NOT_STARTED = {"ok": False, "reasons": ["forkd has not started yet"]}
RECORD = "ab12"


class Errands:
    """The processes that look for answers: each is done when a test says so."""

    def __init__(self) -> None:
        self.works: list[Callable[[], Any]] = []
        self.refusal: OperationError | None = None
        """Why no process can be had."""
        self._done: list[Callable[[Any], None]] = []

    def begin(self, work: Callable[[], Any], _words: object) -> None:
        """In the place of Errand."""
        if self.refusal is not None:
            raise self.refusal
        self.works.append(work)

    def wait(self, _loop: object, _errand: None, done: Callable[[Any], None], _s: float) -> None:
        """In the place of Awaited."""
        self._done.append(done)

    def read(self, _loop: object, load: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """In the place of AwaitedReading."""
        self.begin(load, None)
        self._done.append(done)

    def look(self) -> None:
        """The one that was begun first has looked."""
        try:
            found = self.works.pop(0)()
        except ForkdError as error:
            found = error
        self._done.pop(0)(found)

    def die(self) -> None:
        """The one that was begun first is gone."""
        self.works.pop(0)
        self._done.pop(0)(OperationError("cannot answer: it ended"))


class Desk:
    """Where questions are asked, of a master without children."""

    def __init__(self, loop: SteppedLoop, directory: Path, errands: Errands) -> None:
        self.directory = directory
        self.errands = errands
        self.succession = Succession()
        self.answers: list[dict[str, object]] = []
        self.reply: Reply = self.answers.append
        self.in_file = self.settings(2)
        inquirers = {"explain": _explain, "records": _no_records, "replay": _order}
        self.questions = Questions(loop, lambda: self.in_file, inquirers, self.succession)

    def settings(self, workers: int) -> Settings:
        text = f"workers: {{count: {workers}}}\nsites: [{{routes: {{/run/: {{cgi: /bin}}}}}}]"
        return load_text(text, str(self.directory / "forkd.yaml"), {})

    def bring_in(self) -> None:
        """What is in the file is on its way in."""
        generation = Generation.open(self.succession.next_number(), self.in_file, None)
        self.succession.bring_in(generation, [], [])

    def serve(self) -> None:
        """What is in the file serves from now on."""
        self.bring_in()
        self.succession.succeed()

    def replay(self, descriptors: Sequence[int]) -> None:
        """Ask for one as a session does: what it hands over is closed when that returns."""
        handed = tuple(messages.copies_of(descriptors))
        self.questions.replay({"id": RECORD, DESCRIPTORS: handed}, self.reply)
        for descriptor in handed:
            os.close(descriptor)

    @property
    def orders(self) -> socket.socket:
        """The spawners' end of where orders are given."""
        assert self.succession.live is not None
        (orders,) = self.succession.live.orders.values()
        return orders.spawners_end


def _explain(generation: Generation, request: Mapping[str, object]) -> Answer:
    return {"generation": generation.number, "url": request["url"]}


def _no_records(_generation: Generation, _request: Mapping[str, object]) -> Answer:
    raise OperationError("there are no records\nset black_box")


def _order(_generation: Generation, request: Mapping[str, object]) -> Answer:
    return {"key": (0, "/run/"), "order": [b"an", b"order"], "record": request["id"]}


@pytest.fixture
def errands(monkeypatch: pytest.MonkeyPatch) -> Errands:
    made = Errands()
    monkeypatch.setattr(inquiries, "Errand", made.begin)
    monkeypatch.setattr(inquiries, "Awaited", made.wait)
    monkeypatch.setattr(comparison, "AwaitedReading", made.read)
    return made


@pytest.fixture
def fresh(
    no_descriptor_leaks: None, loop: SteppedLoop, tmp_path: Path, errands: Errands
) -> Iterator[Desk]:
    """Nothing serves yet."""
    del no_descriptor_leaks
    made = Desk(loop, tmp_path, errands)
    yield made
    made.succession.retire_all()


@pytest.fixture
def desk(fresh: Desk) -> Desk:
    """Generation 1 serves."""
    fresh.serve()
    return fresh


@contextmanager
def four() -> Iterator[list[int]]:
    """What `forkd replay` hands over: a socket, and the ends of three pipes."""
    ends, pipe = socket.socketpair(), os.pipe()
    try:
        yield [ends[0].fileno(), *pipe, pipe[1]]
    finally:
        for end in ends:
            end.close()
        for descriptor in pipe:
            os.close(descriptor)


def test_before_the_first_generation_serves_there_is_nothing_to_ask_about(fresh: Desk) -> None:
    fresh.bring_in()
    fresh.questions.compare(fresh.reply)
    fresh.questions.inquire("explain", {"url": "/"}, fresh.reply)
    fresh.questions.replay({}, fresh.reply)
    assert fresh.answers == [NOT_STARTED] * 3
    assert fresh.errands.works == []


def test_a_question_is_about_the_generation_that_serves_when_it_is_asked(desk: Desk) -> None:
    desk.questions.inquire("explain", {"url": "/1"}, desk.reply)
    desk.bring_in()
    desk.questions.inquire("explain", {"url": "/2"}, desk.reply)
    desk.succession.succeed()
    desk.questions.inquire("explain", {"url": "/3"}, desk.reply)
    assert desk.answers == [], "the master waits for none of them"
    for _ in range(3):
        desk.errands.look()
    told = [(answer["ok"], answer["url"], answer["generation"]) for answer in desk.answers]
    assert told == [(True, "/1", 1), (True, "/2", 1), (True, "/3", 2)]


def test_who_asks_is_answered_also_where_there_is_no_answer(desk: Desk) -> None:
    desk.questions.inquire("records", {}, desk.reply)
    desk.errands.look()
    assert desk.answers == [{"ok": False, "reasons": ["there are no records", "set black_box"]}]


def ask_to_explain(desk: Desk) -> None:
    desk.questions.inquire("explain", {"url": "/"}, desk.reply)


def ask_to_compare(desk: Desk) -> None:
    desk.questions.compare(desk.reply)


def ask_to_replay(desk: Desk) -> None:
    with four() as descriptors:
        desk.replay(descriptors)


@pytest.mark.parametrize("ask", [ask_to_explain, ask_to_compare, ask_to_replay])
def test_who_asks_is_answered_once_where_the_process_that_looks_dies_or_cannot_be_had(
    desk: Desk, ask: Callable[[Desk], None]
) -> None:
    ask(desk)
    desk.errands.die()
    assert desk.answers == [{"ok": False, "reasons": ["cannot answer: it ended"]}]
    desk.answers.clear()
    desk.errands.refusal = OperationError("cannot answer: no process for it")
    ask(desk)
    assert desk.answers == [{"ok": False, "reasons": ["cannot answer: no process for it"]}]


def test_what_a_reload_would_change_is_told_against_what_serves(desk: Desk) -> None:
    def told() -> list[object]:
        desk.questions.compare(desk.reply)
        desk.errands.look()
        answer = desk.answers.pop()
        changes = answer["changes"]
        assert isinstance(changes, list)
        return changes

    assert told() == []
    desk.in_file = desk.settings(3)
    (change,) = told()
    assert "workers.count" in str(change)
    desk.serve()
    assert told() == []


def test_a_replay_is_an_order_with_all_that_was_handed_over(desk: Desk) -> None:
    with four() as descriptors:
        files = [os.fstat(descriptor).st_ino for descriptor in descriptors]
        desk.replay(descriptors)
        assert desk.answers == []
        desk.errands.look()
    assert desk.answers == [{"ok": True, "record": RECORD}]
    order = messages.receive(desk.orders)
    assert order is not None
    assert order.fields == [b"an", b"order"]
    assert [os.fstat(descriptor).st_ino for descriptor in order.descriptors] == files
    for descriptor in order.descriptors:
        os.close(descriptor)


def test_a_replay_whose_spawners_have_left_meanwhile_is_to_be_asked_for_again(desk: Desk) -> None:
    ask_to_replay(desk)
    desk.serve()
    desk.errands.look()
    assert desk.answers == [{"ok": False, "reasons": ["forkd was reloaded meanwhile: ask again"]}]
    with pytest.raises(BlockingIOError):
        messages.receive(desk.orders)


def test_a_replay_without_what_a_program_needs_is_refused_at_once(desk: Desk) -> None:
    desk.questions.replay({"id": RECORD}, desk.reply)
    with four() as descriptors:
        desk.replay(descriptors[:3])
        desk.replay(descriptors[::-1])
    reason = "replay takes 4 descriptors, of which the first is a socket"
    assert desk.answers == [{"ok": False, "reasons": [reason]}] * 3
    assert desk.errands.works == []
