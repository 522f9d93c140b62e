"""What a person is shown of a program that is run again, and what forkd would make of it."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from forkd.cli.rerun import Ends, Rerun
from forkd.handlers.programs import Ended
from forkd.spawner.orders import TERMINATE, Fate, NotStarted, Started, encode_fate
from forkd.system import messages

WELL = Ended(0, 0.01, 4096)


class Program:
    """Stands on the other side of the pipes, and of the socket that the spawner tells fates on."""

    def __init__(self, ends: Ends) -> None:
        reply, self.stdin, self.stdout, self.stderr = map(os.dup, ends.of_the_program)
        self.reply = socket.socket(fileno=reply)

    def tell(self, *fates: Fate) -> None:
        for fate in fates:
            messages.send(self.reply, encode_fate(fate))

    def say(self, output: bytes, errors: bytes = b"") -> None:
        os.write(self.stdout, output)
        os.write(self.stderr, errors)

    def close(self) -> None:
        self.reply.close()
        for descriptor in (self.stdin, self.stdout, self.stderr):
            if descriptor >= 0:
                os.close(descriptor)
        self.stdin = self.stdout = self.stderr = -1


@pytest.fixture
def ends() -> Iterator[Ends]:
    before = os.listdir("/proc/self/fd")
    with Ends.open() as ends:
        yield ends
    assert os.listdir("/proc/self/fd") == before


@pytest.fixture
def program(ends: Ends) -> Iterator[Program]:
    program = Program(ends)
    yield program
    program.close()


class Shown:
    def __init__(self, ends: Ends, body: bytes = b"", script: str = "/x.sh") -> None:
        self.lines: list[tuple[str, bytes]] = []
        self.rerun = Rerun(ends, body, 0.2, script, self._show, 0.2)

    def _show(self, mark: str, line: bytes) -> None:
        self.lines.append((mark, line))

    def run(self) -> str:
        self.rerun.run()
        return self.rerun.verdict()


@pytest.mark.parametrize(
    ("output", "end", "verdict"),
    [
        (b"Content-Type: a/b\n\nbody", WELL, "200"),
        (b"Status: 404 Not Found\n\n", WELL, "404 Not Found"),
        (b"Location: http://x/\n\n", WELL, "302"),
        (b"Location: /other\n\n", WELL, "what is at /other (a local Location)"),
        (
            b"Content-Type: a/b\nX-Sendfile: /srv/big\n\n",
            WELL,
            "the file /srv/big that X-Sendfile names, which is not looked at here",
        ),
        (b"", Ended(3 << 8, 0, 0), "502: the script ended without a header (exit status 3)"),
        (b"Content-Type: a", WELL, "502: the script ended within its header (exit status 0)"),
        (b"<html>\n", WELL, "502: the script wrote a line without a colon where its "),
    ],
)
def test_the_output_is_judged_as_a_worker_would(
    ends: Ends, program: Program, output: bytes, end: Ended, verdict: str
) -> None:
    program.say(output)
    program.tell(Started(41), end)
    program.close()
    shown = Shown(ends)
    assert shown.run().startswith(verdict)
    assert shown.rerun.end == end


def test_what_nph_scripts_write_is_not_judged(ends: Ends, program: Program) -> None:
    program.say(b"HTTP/1.1 200 OK\r\n\r\n")
    program.tell(Started(41), WELL)
    program.close()
    assert Shown(ends, script="/srv/nph-x").run() == "what it wrote, as it is (nph-)"


@pytest.mark.parametrize(
    ("output", "verdict"),
    [
        (b"", "502: the script wrote no response (exit status 0)"),
        (b"HTTP/1.1 200 OK\r\n", "502: the script wrote half the head of a response: "),
        (b"Content-Type: a/b\n\n", "502: the script wrote what is no response of HTTP/1: "),
    ],
)
def test_what_nph_scripts_write_must_be_a_response(
    ends: Ends, program: Program, output: bytes, verdict: str
) -> None:
    program.say(output)
    program.tell(Started(41), WELL)
    program.close()
    assert Shown(ends, script="/srv/nph-x").run().startswith(verdict)


def test_lines_are_shown_as_they_are_whole_and_the_rest_at_the_end(
    ends: Ends, program: Program
) -> None:
    program.say(b"Content-Type: a/b\n\nno end", b"one\ntwo")
    program.tell(Started(41), WELL)
    program.close()
    shown = Shown(ends)
    shown.run()
    assert [line for mark, line in shown.lines if mark == "out"] == [
        b"Content-Type: a/b",
        b"",
        b"no end",
    ]
    assert [line for mark, line in shown.lines if mark == "err"] == [b"one", b"two"]


def test_the_body_is_given_and_then_its_end(ends: Ends, program: Program) -> None:
    program.tell(Started(41), WELL)
    os.close(program.stdout)
    program.stdout = -1
    shown = Shown(ends, body=b"some body")
    shown.run()  # although somebody holds its stderr
    assert os.read(program.stdin, 100) == b"some body"
    assert os.read(program.stdin, 100) == b""


def test_a_program_that_reads_nothing_does_not_hold_anything_up(
    ends: Ends, program: Program
) -> None:
    os.close(program.stdin)
    program.stdin = -1
    program.say(b"Content-Type: a/b\n\n")
    program.tell(Started(41), WELL)
    program.close()
    assert Shown(ends, body=b"x" * 65536).run() == "200"


def test_what_is_not_started_is_told_with_its_reason(ends: Ends, program: Program) -> None:
    program.tell(NotStarted(500, "it is empty"))
    shown = Shown(ends)
    assert shown.run() == "500: it is empty"
    assert shown.rerun.end is None


def test_without_progress_it_is_terminated(ends: Ends, program: Program) -> None:
    program.tell(Started(41), Ended(signal.SIGTERM, 0, 0))
    shown = Shown(ends)
    # Its output stays open, as that of a program that left somebody behind.
    verdict = shown.run()
    assert verdict == "504: no progress for 0.2 s: terminated"
    message = messages.receive(program.reply)
    assert message is not None
    assert message.fields == [TERMINATE]


def test_an_order_that_is_given_up_before_it_was_begun_is_no_death_of_the_spawner(
    ends: Ends, program: Program
) -> None:
    refusal = NotStarted(503, "given up before it was started")

    def refuse() -> None:
        """Hang up with the word TERMINATE unread."""
        select.select([program.reply], [], [], 20)
        program.tell(refusal)
        program.close()

    spawner = threading.Thread(target=refuse)
    spawner.start()
    shown = Shown(ends)
    shown.run()
    spawner.join()
    assert shown.rerun.not_started == refusal


def test_a_spawner_that_dies_leaves_the_end_unknown(ends: Ends, program: Program) -> None:
    program.tell(Started(41))
    program.close()
    shown = Shown(ends)
    shown.run()
    assert shown.rerun.end is None
    assert shown.rerun.not_started is None
