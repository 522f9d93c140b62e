"""Lines of the access log that tell how a program ended."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import pytest

from forkd.config.settings import CgiRoute
from forkd.handlers.base import Job, Request, Response, make_response
from forkd.handlers.cgi_job import CgiJob
from forkd.handlers.programs import Ended, Program
from tests.unit.handlers.programs import FakeProgram
from tests.unit.server.conftest import MakeScene
from tests.unit.server.scene import Fixed, Scene, head, text
from tests.unit.stepped import SteppedLoop
from tests.unit.written import written

SIGKILLED = Ended(9, 0.25, 4096)


class Programs:
    """A handler of which each answer is that of a program that the test plays."""

    methods: frozenset[str] | None = None

    def __init__(self) -> None:
        self.made: list[FakeProgram] = []

    def answer(self, request: Request) -> Response | Job:  # noqa: ARG002 what every handler is given
        self.made.append(FakeProgram())
        settings = written(CgiRoute, cgi="/srv", timeout="10s")
        program = Program((b"/srv/x",), {}, b"/srv")
        return CgiJob(settings, "/srv/x", self.made[-1], lambda _size: program)


class Waits:
    """A connection whose access log has a format that tells all, and a program."""

    def __init__(self, loop: SteppedLoop, style: str) -> None:
        self.programs = Programs()
        self.scene = Scene(loop, {"/": self.programs, "/text": text("x")}, style=style)

    def ask(self, output: bytes = b"Content-Type: a/b\n\nhello") -> FakeProgram:
        """A program that has given its whole answer, and has not ended."""
        self.scene.ask()
        program = self.programs.made[-1]
        program.watcher.started(4711)
        program.say(output)
        program.shut(1)
        self.scene.loop.settle()
        return program

    def end(self, program: FakeProgram, end: Ended | None = SIGKILLED) -> None:
        program.watcher.ended(end)
        program.shut()
        self.scene.loop.settle()

    def lines(self) -> list[str]:
        return self.scene.whole_lines()


@pytest.fixture
def waits(loop: SteppedLoop) -> Iterator[Waits]:
    made = Waits(
        loop, "%{status} %{bytes} %{route} %{cgi_pid} %{cgi_exit} %{cgi_cpu} %{cgi_memory}"
    )
    yield made
    made.scene.close()
    for program in made.programs.made:
        program.shut()


def test_the_line_waits_for_the_end_of_the_program_and_the_answer_does_not(waits: Waits) -> None:
    program = waits.ask()
    assert waits.scene.reply().body == b"hello"
    assert waits.lines() == []
    waits.end(program)
    assert waits.lines() == ["200 5 / 4711 SIGKILL 250.0 4096"]


def test_it_waits_for_a_second_at_most(waits: Waits) -> None:
    program = waits.ask()
    waits.scene.loop.pass_time(0.8)
    assert waits.lines() == []
    waits.scene.loop.pass_time(0.4)
    assert waits.lines() == ["200 5 / 4711 - - -"]
    waits.end(program)
    assert len(waits.lines()) == 1


def test_other_requests_do_not_wait(waits: Waits) -> None:
    program = waits.ask()
    waits.scene.ask("/text").read()
    assert waits.lines() == ["200 1 /text - - - -"]
    waits.end(program)
    assert waits.lines()[1] == "200 5 / 4711 SIGKILL 250.0 4096"


def test_an_end_that_is_known_already_is_told_at_once(waits: Waits) -> None:
    waits.scene.ask()
    (program,) = waits.programs.made
    program.watcher.started(4711)
    waits.end(program, Ended(3 << 8, 0.001, 0))
    assert waits.lines()[0].startswith("502 ")
    assert waits.lines()[0].endswith(" / 4711 3 1.0 0")


def test_a_client_that_goes_is_told_of_with_the_end_of_its_program(waits: Waits) -> None:
    waits.scene.ask()
    (program,) = waits.programs.made
    program.watcher.started(4711)
    waits.scene.client.close()
    waits.scene.loop.settle()
    assert waits.lines() == []
    waits.end(program, Ended(15, 0.0, 0))
    assert waits.lines() == ["499 0 / 4711 SIGTERM 0.0 0"]


def test_a_redirect_inside_is_told_of_with_its_program(waits: Waits) -> None:
    waits.end(waits.ask(b"Location: /text\n\n"))
    assert waits.lines() == ["200 1 /text 4711 SIGKILL 250.0 4096"]


def test_who_leaves_writes_what_waits(waits: Waits) -> None:
    waits.ask()
    waits.scene.server.abandon()
    assert waits.lines() == ["200 5 / 4711 - - -"]


def test_a_program_that_was_never_started_has_no_figures(waits: Waits) -> None:
    waits.scene.ask()
    waits.programs.made[-1].watcher.not_started(500, "x")
    assert waits.lines()[0].endswith(" / - - - -")


def test_each_answer_has_its_line_whatever_gave_it(scene: MakeScene) -> None:
    one = scene({"/a": text("hello")}, style="json")
    for target in ("/a", "/a", "/missing"):
        one.ask(target).read()
    one.send(b"bad\r\n\r\n").read()
    found = [json.loads(line) for line in one.whole_lines()]
    assert [told["status"] for told in found] == [200, 200, 404, 400]
    assert [told["route"] for told in found] == ["/a", "/a", None, None]
    assert [told["target"] for told in found] == ["/a", "/a", "/missing", None]
    assert len({told["id"] for told in found}) == 4
    assert all(told["worker"] == 3 for told in found)
    assert "cgi_pid" not in found[0]


def test_answers_that_are_remembered_have_their_lines(scene: MakeScene) -> None:
    remembered = make_response(200, [], b"hello")
    remembered.fresh_until = math.inf
    handler = Fixed(remembered)
    one = scene({"/a": handler}, style="%{status} %{method} %{target} %{route} %{id}")
    for version in ("1.1", "1.0"):
        for _ in range(4):
            one.ask("/a", "Connection: keep-alive", version=version).read()
    assert len(handler.asked) == 2, "it is remembered"
    told, ids = zip(*(line.rsplit(" ", 1) for line in one.whole_lines()), strict=True)
    assert told == ("200 GET /a /a",) * 8
    assert len(set(ids)) == 8, "each request has an id of its own"
    assert {len(id_) for id_ in ids} == {16}


def test_a_remembered_answer_that_is_taken_slowly_has_its_whole_line(scene: MakeScene) -> None:
    remembered = make_response(200, [], bytes(3_000_000))
    remembered.fresh_until = math.inf
    handler = Fixed(remembered)
    one = scene({"/a": handler, "/b": text("b")}, style="%{status} %{bytes} %{route}")
    one.ask("/a").read()
    one.send(head("/a") + head("/b"))
    assert len(one.whole_lines()) == 1, "an answer is logged when it has been taken"
    one.read()
    assert len(handler.asked) == 1, "it is remembered"
    assert one.whole_lines() == ["200 3000000 /a"] * 2 + ["200 1 /b"]
