"""Both sides of an application's call, where they meet at a bad moment."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from forkd.handlers.application import ApplicationCall, ClientGone
from forkd.handlers.base import PAUSE_ABOVE, Exchange
from forkd.handlers.request_body import IN_MEMORY, RequestBody
from forkd.loop.crew import Crew, Pace, Stage
from tests.unit.handlers.requests import request
from tests.unit.stepped import SteppedLoop

DEADLINE_S = 20.0


class Deferring:
    """The stage of a call in a thread apart: what is to be done in the loop is done later."""

    def __init__(self) -> None:
        self.acts: list[Callable[[], None]] = []

    def do(self, act: Callable[[], None]) -> None:
        self.acts.append(act)

    def let_go(self) -> None:
        """It holds nothing."""


class Told:
    """An exchange that remembers what was asked of it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_arguments: self.calls.append(name)


class Early(ApplicationCall):
    """Answers without having read the body."""

    def answer(self) -> None:
        self.finish()


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_a_body_may_still_come_when_the_answer_is_on_its_way_to_the_loop(
    loop: SteppedLoop,
) -> None:
    head = request("/", "Content-Length: 9000000", method="POST")
    call, exchange, stage = Early(Crew(loop, 4), Pace(), head), Told(), Deferring()
    call.start(cast(Exchange, exchange))
    call.body(bytes(IN_MEMORY + 1))
    call.run(cast(Stage, stage))
    call.body(bytes(10))
    for act in stage.acts:
        act()
    assert exchange.calls == ["resume_body", "finish"], "no fault of ours ends it"


class AtOnce:
    """The stage of a call in a thread apart, of which the test says that the loop waits for it."""

    def do(self, act: Callable[[], None]) -> None:
        act()

    def let_go(self) -> None:
        """It holds nothing."""


class Full(Told):
    """Its client takes nothing."""

    begun = True
    queued = 1 << 30


class Writer(ApplicationCall):
    """Answers with more than its client takes, without having read the body."""

    ended: str = ""

    def answer(self) -> None:
        try:
            for _ in range(100):
                self.write(bytes(PAUSE_ABOVE))
        except ClientGone as gone:
            self.ended = str(gone)


def test_who_waits_for_room_does_so_no_more_when_the_body_cannot_be_kept(
    loop: SteppedLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_body: RequestBody, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    head = request("/", "Content-Length: 9000000", method="POST")
    call, exchange = Writer(Crew(loop, 4), Pace(), head), Full()
    call.start(cast(Exchange, exchange))
    thread = threading.Thread(target=call.run, args=[AtOnce()], daemon=True)
    thread.start()
    until = time.monotonic() + DEADLINE_S
    while not call.waits_for_client:
        assert time.monotonic() < until, "it never waits"
        time.sleep(0.001)
    monkeypatch.setattr(RequestBody, "feed", fail)
    call.body(b"x")
    thread.join(DEADLINE_S)
    assert not thread.is_alive(), "nobody will ever wake it"
    assert call.ended == "the client is gone"
    assert exchange.calls[-1] == "fail"
    assert "the body of a request cannot be kept: [Errno 28]" in caplog.text


@pytest.fixture
def spooled() -> Iterator[RequestBody]:
    body = RequestBody()
    body.feed(bytes(IN_MEMORY + 1))
    yield body
    body.close()


def test_who_keeps_the_input_beyond_the_request_does_not_read_another_file(
    spooled: RequestBody,
) -> None:
    source: Any = spooled.open(lambda: None)
    assert source.read(10) == bytes(10)
    spooled.close()
    with pytest.raises(ValueError, match="closed"):
        source.read()
