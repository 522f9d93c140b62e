"""A session of the control socket: a line of JSON in, a line of JSON out."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from forkd.master.control import DESCRIPTORS, Command, Reply, _Session
from tests.unit.stepped import SteppedLoop

Pair = tuple[socket.socket, socket.socket]


class Office:
    """A session with two commands: one answers at once, one when the test says so."""

    def __init__(self, loop: SteppedLoop, pair: Pair) -> None:
        self.loop = loop
        self.client = pair[1]
        self.replies: list[Reply] = []
        self.asked: list[dict[str, object]] = []
        self.over: list[_Session] = []
        self.given: list[bytes] = []
        commands: dict[str, Command] = {"now": self._now, "later": self._later, "take": self._take}
        self.session = _Session(loop, pair[0], commands, self.over.append)

    def _now(self, request: dict[str, object], reply: Reply) -> None:
        self.asked.append(request)
        reply({"ok": True, "n": len(self.asked)})

    def _later(self, _request: dict[str, object], reply: Reply) -> None:
        self.replies.append(reply)

    def _take(self, request: dict[str, object], reply: Reply) -> None:
        handed = request.get(DESCRIPTORS, ())
        assert isinstance(handed, tuple)
        self.given += [os.pread(descriptor, 100, 0) for descriptor in handed]
        reply({"ok": True, "n": len(handed)})

    def send(self, data: bytes) -> None:
        self.client.sendall(data)
        self.loop.settle()

    def answers(self) -> list[dict[str, object]]:
        self.loop.settle()
        try:
            data = self.client.recv(1 << 20)
        except BlockingIOError:
            return []
        assert data.endswith(b"\n")
        return [json.loads(line) for line in data.splitlines()]


@pytest.fixture
def office(loop: SteppedLoop, pair: Pair) -> Iterator[Office]:
    office = Office(loop, pair)
    yield office
    office.session.finish()


def test_a_command_is_given_its_request_and_answered(office: Office) -> None:
    office.send(b'{"command": "now", "wait": true}\n')
    assert office.asked == [{"command": "now", "wait": True}]
    assert office.answers() == [{"ok": True, "n": 1}]


def test_a_line_may_come_in_pieces_and_lines_may_come_together(office: Office) -> None:
    office.send(b'{"comm')
    assert office.answers() == []
    office.send(b'and": "now"}\n{"command": "now"}\n{"command"')
    assert [one["n"] for one in office.answers()] == [1, 2]
    office.send(b': "now"}\n')
    assert [one["n"] for one in office.answers()] == [3]


def test_an_answer_may_come_later_also_to_a_client_that_has_half_closed(office: Office) -> None:
    office.send(b'{"command": "later"}\n')
    office.client.shutdown(socket.SHUT_WR)
    assert office.answers() == []
    office.replies[0]({"ok": False, "reasons": ["why"]})
    assert office.answers() == [{"ok": False, "reasons": ["why"]}]


def test_an_answer_to_a_client_that_is_gone_goes_nowhere(office: Office) -> None:
    office.send(b'{"command": "later"}\n')
    office.client.close()
    office.loop.settle()
    assert office.over == [office.session]
    office.replies[0]({"ok": True})


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello",
        b"{}",
        b"[]",
        b"1",
        b'"now"',
        b"null",
        b'{"command": "none"}',
        b'{"command": []}',
        b'{"command": null}',
        b"\xff\xfe",
        b"[" * 50_000,
    ],
)
def test_what_is_no_command_is_told_what_there_is_and_the_session_goes_on(
    office: Office, line: bytes
) -> None:
    office.send(line + b"\n")
    (answer,) = office.answers()
    assert answer == {"ok": False, "reasons": ["not a command; there are: later, now, take"]}
    office.send(b'{"command": "now"}\n')
    assert office.answers() == [{"ok": True, "n": 1}]


def test_a_line_without_end_closes_the_session(office: Office) -> None:
    office.send(b"x" * 70_000)
    assert office.client.recv(1) == b""
    assert office.over == [office.session]


def hand_over(office: Office, line: bytes, *paths: Path) -> None:
    descriptors = [os.open(path, os.O_RDONLY) for path in paths]
    try:
        socket.send_fds(office.client, [line], descriptors)
        office.loop.settle()
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def test_descriptors_come_with_the_request_and_are_closed_after_it(
    office: Office, tmp_path: Path
) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    before = os.listdir("/proc/self/fd")
    hand_over(office, b'{"command": "take"}\n', tmp_path / "a", tmp_path / "b")
    assert office.given == [b"a", b"b"]
    assert office.answers() == [{"ok": True, "n": 2}]
    assert os.listdir("/proc/self/fd") == before
    office.send(b'{"command": "take"}\n')
    assert office.answers() == [{"ok": True, "n": 0}]


def test_nobody_can_name_descriptors_that_did_not_come(office: Office) -> None:
    office.send(b'{"command": "take", "descriptors": [0, 1]}\n')
    assert office.answers() == [{"ok": True, "n": 0}]


def test_descriptors_that_nobody_takes_are_closed_with_the_session(
    office: Office, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("a")
    before = os.listdir("/proc/self/fd")
    hand_over(office, b'{"comm', tmp_path / "a")
    assert len(os.listdir("/proc/self/fd")) == len(before) + 1
    office.session.finish()
    assert len(os.listdir("/proc/self/fd")) == len(before) - 1
