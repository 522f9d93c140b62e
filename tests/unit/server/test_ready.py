"""Answers that are given again for the same head without asking the handler."""

from __future__ import annotations

from forkd.handlers.base import Request, Response, make_response
from tests.unit.server.conftest import MakeScene


class Counting:
    """Gives a numbered answer that stays fresh for a second."""

    methods = frozenset({"GET", "HEAD", "POST"})

    def __init__(self, fresh_s: float) -> None:
        self._fresh_s = fresh_s
        self.asked = 0

    def answer(self, request: Request) -> Response:
        self.asked += 1
        response = make_response(200, [], b"%d" % self.asked)
        if self._fresh_s:
            response.fresh_until = request.started + self._fresh_s
        return response


def test_a_fresh_answer_is_given_again_until_it_is_stale(scene: MakeScene) -> None:
    handler = Counting(1.0)
    one = scene({"/": handler})
    assert [one.ask().reply().body for _ in range(3)] == [b"1"] * 3
    one.loop.pass_time(1.1)
    assert [one.ask().reply().body for _ in range(2)] == [b"2"] * 2


def test_it_is_the_answer_to_that_very_head_alone(scene: MakeScene) -> None:
    one = scene({"/": Counting(60.0)})
    assert one.ask("/a").reply().body == b"1"
    assert one.ask("/a", "X-Other: 1").reply().body == b"2"
    assert one.ask("/b").reply().body == b"3"
    assert one.ask("/a").reply().body == b"1"


def test_an_answer_that_does_not_say_so_is_never_given_again(scene: MakeScene) -> None:
    one = scene({"/": Counting(0.0)})
    assert [one.ask().reply().body for _ in range(2)] == [b"1", b"2"]


def test_a_draining_connection_closes_after_a_remembered_answer_too(scene: MakeScene) -> None:
    one = scene({"/": Counting(60.0)})
    one.ask().read()
    one.server.drain(10.0)
    reply = one.ask().reply()
    assert (reply.body, reply.headers["Connection"]) == (b"1", "close")
    assert one.ended
