"""Answers that are given again for the same head without asking the handler."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from forkd.config.networks import parse_network
from forkd.config.settings import StaticRoute
from forkd.handlers.base import Request, Response, make_response
from forkd.handlers.clients import Clients
from forkd.handlers.media_types import MediaTypes
from forkd.handlers.open_files import OpenFiles
from forkd.handlers.static import Static
from forkd.loop.stream import FileRange, SharedFile
from forkd.loop.timers import Wheel
from forkd.proto.http1.response import make_prefix
from tests.unit.server.conftest import MakeScene
from tests.unit.server.scene import head, parse
from tests.unit.written import written


class Counting:
    """Gives a numbered answer that stays fresh for a second."""

    methods = frozenset({"GET", "HEAD", "POST"})

    def __init__(self, fresh_s: float, size: int = 0, status: int = 200) -> None:
        self._fresh_s = fresh_s
        self._size = size
        self._status = status
        self.asked = 0

    def answer(self, request: Request) -> Response:
        self.asked += 1
        response = make_response(self._status, [], b"%d" % self.asked + bytes(self._size))
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


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("connection", ["keep-alive", "Keep-Alive, x", "x"])
@pytest.mark.parametrize("status", [200, 404, 500])
def test_however_often_it_is_given_it_is_the_same_answer(
    scene: MakeScene, version: str, method: str, connection: str, status: int
) -> None:
    """The first comes from the handler, the second is found by the head, the others by the bytes
    alone; a client cannot tell which is which, and neither can who reads the log."""
    one = scene({"/": Counting(60.0, status=status)})
    closes = version == "1.0" and connection == "x"
    replies = []
    for _ in range(1 if closes else 4):
        one.ask("/", f"Connection: {connection}", method=method, version=version)
        replies.append(one.reply(head_only=method == "HEAD"))
    for reply in replies:
        reply.headers.pop("Date")
    assert replies[1:] == replies[:-1]
    assert one.ended == closes
    lines = one.lines()
    assert lines == [lines[0]] * len(replies)
    assert one.server.tally.requests == len(lines)
    assert one.server.tally.bytes_sent == len(lines) * (0 if method == "HEAD" else 1)
    assert one.server.tally.errors == (len(lines) if status == 500 else 0)


def test_its_date_is_that_of_the_moment(scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    wall = 1e9
    monkeypatch.setattr("time.time", lambda: wall)
    one = scene({"/": Counting(60.0)})
    dates = []
    for _ in range(3):
        one.loop.pass_time(1.0)
        wall += 1.0
        dates.append({one.ask().reply().headers["Date"][-6:-4] for _ in range(4)})
    assert dates == [{"41"}, {"42"}, {"43"}]
    assert len(set(one.lines())) == 1


def test_the_last_request_of_a_connection_is_the_last_though_its_answer_is_known(
    scene: MakeScene,
) -> None:
    one = scene({"/": Counting(60.0)}, keepalive_requests=4)
    for _ in range(3):
        assert "Connection" not in one.ask().reply().headers
    assert one.ask().reply().headers["Connection"] == "close"
    assert one.ended


def test_requests_in_one_piece_and_in_many_find_it_as_well(scene: MakeScene) -> None:
    handler = Counting(60.0)
    one = scene({"/": handler})
    for _ in range(3):
        one.ask().read()
    one.send(head() * 3)
    data, bodies = one.read(), []
    while data:
        reply = parse(data)
        bodies.append(reply.body)
        data = reply.rest
    assert bodies == [b"1"] * 3
    for byte in head():
        one.send(bytes([byte]))
    assert one.reply().body == b"1"
    one.ask()
    assert one.reply().body == b"1"
    assert handler.asked == 1
    assert len(one.lines()) == 8


def test_a_client_that_takes_it_slowly_gets_it_all_and_then_the_next(scene: MakeScene) -> None:
    one = scene({"/": Counting(60.0, size=1 << 20)})
    for _ in range(4):
        assert len(one.ask().reply().body or b"") == 1 + (1 << 20)
    one.ask()
    assert len(one.lines()) == 4, "an answer is logged when it has been taken"
    one.ask()
    data = one.read()
    first = parse(data)
    assert len(parse(first.rest).body or b"") == len(first.body or b"") == 1 + (1 << 20)
    assert len(one.lines()) == 6


def test_a_large_file_is_repeated_until_it_changes(scene: MakeScene, tmp_path: Path) -> None:
    """Not even the first request after a change may get the old length, or the old file."""
    path = tmp_path / "f"
    path.write_bytes(b"a" * 100_000)
    files = OpenFiles(Wheel())
    handler = Static(written(StaticRoute, static=tmp_path), MediaTypes(), files)
    one = scene({"/": handler})
    for content in (b"b" * 70_000, b"c" * 100_000, b"d" * 65_537, b"d" * 100_000):
        for _ in range(4):
            before = path.read_bytes()
            reply = one.ask("/f").reply()
            assert (reply.body, reply.headers["Content-Length"]) == (before, str(len(before)))
        new = tmp_path / "new"
        new.write_bytes(content)
        os.replace(new, path)
    path.write_bytes(b"e" * 80_000)
    assert one.ask("/f").reply().body == b"e" * 80_000
    for _ in range(3):
        one.ask("/f", method="HEAD")
        assert one.reply(head_only=True).headers["Content-Length"] == "80000"
    path.unlink()
    assert one.ask("/f").reply().status == 404
    assert len(one.lines()) == 21
    files.close()


@pytest.mark.parametrize(("failures", "status"), [(0, 200), (2, 200), (3, 404)])
def test_a_file_that_is_replaced_in_that_very_moment_is_looked_at_again(
    scene: MakeScene, tmp_path: Path, failures: int, status: int
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"whole")
    opened: list[str] = []

    class Racing:
        methods = frozenset({"GET"})

        def answer(self, request: Request) -> Response:  # noqa: ARG002
            prefix = make_prefix(200, [(b"Content-Length", b"5")])
            return Response(200, prefix, open_file=open_it, length=5)

    def open_it() -> FileRange:
        opened.append("opened")
        if len(opened) <= failures:
            raise FileNotFoundError(2, "changed meanwhile")
        return FileRange(SharedFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC)), 0, 5)

    reply = scene({"/": Racing()}).ask().reply()
    assert reply.status == status
    assert reply.body == b"whole" or status == 404


def test_an_idle_connection_is_closed_as_long_after_it_as_after_any_answer(
    scene: MakeScene,
) -> None:
    one = scene({"/": Counting(60.0)}, keepalive_timeout=5, header_timeout=20)
    for _ in range(4):
        one.ask().read()
        one.loop.pass_time(4.8)
        assert not one.ended
    one.loop.pass_time(0.4)
    assert one.ended


def test_an_answer_that_not_everybody_gets_is_not_remembered(scene: MakeScene) -> None:
    handler = Counting(60.0)
    one = scene({"/": handler})
    match = one.server.router.find("example.org", "/")
    assert match is not None
    match.route.clients = Clients([parse_network("192.0.2.9")], [])
    assert [one.ask().reply().body for _ in range(3)] == [b"1", b"2", b"3"]
    assert one.server.ready == {}
    match.route.clients = Clients([], [parse_network("192.0.2.9")])
    assert one.ask().reply().status == 403
    assert one.ask(method="OPTIONS").reply().status == 403
    assert one.send(head("/", "Content-Length: 3", method="POST") + b"abc").reply().status == 403
    assert handler.asked == 3
    assert not one.ended


def test_a_server_that_is_back_in_service_keeps_connections(scene: MakeScene) -> None:
    one = scene({"/": Counting(60.0)}, keepalive_requests=4)
    one.ask().read()
    one.server.drain(10.0)
    one.server.serve_on()
    replies = []
    for _ in range(3):
        replies.append(one.ask().reply())
        one.loop.pass_time(20)
    assert [reply.headers.get("Connection") for reply in replies] == [None, None, "close"]
