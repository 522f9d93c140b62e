"""Every kind of answer before an examiner of HTTP: nothing in it is against a specification."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.daemon import Daemon, started
from tests.system.sites import ROUTES, make_site
from tests.system.tools import need_module
from tests.system.wire import Wire, request

PAGE = "<!doctype html><html lang=en><title>page</title>\n"

CASES = [
    ("GET", "/page.html", (), 200),
    ("HEAD", "/page.html", (), 200),
    ("GET", "/small.txt", (), 200),
    ("GET", "/big.bin", (), 200),
    ("GET", "/small.txt", ("Connection: close",), 200),
    ("GET", "/small.txt", ("Range: bytes=0-2",), 206),
    ("GET", "/small.txt", ("Range: bytes=90-99",), 416),
    ("GET", "/small.txt", ("If-None-Match: *",), 304),
    ("GET", "/small.txt", ('If-Match: "other"',), 412),
    ("OPTIONS", "/small.txt", (), 200),
    ("OPTIONS", "*", (), 200),
    ("POST", "/small.txt", (), 405),
    ("GET", "/none", (), 404),
    ("HEAD", "/none", (), 404),
    ("FOO", "/", (), 501),
    ("GET", "/%zz", (), 400),
    ("GET", "/", ("Expect: tea",), 417),
    ("GET", "/", (), 200),
    ("GET", "/dir", (), 301),
    ("GET", "/old/path?x=1", (), 301),
    ("GET", "/hello", (), 200),
    ("GET", "/cgi-bin/hi.sh", (), 200),
    ("HEAD", "/cgi-bin/hi.sh", (), 200),
    ("GET", "/cgi-bin/none.sh", (), 404),
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("httplint")
    make_site(directory)
    (directory / "html" / "dir").mkdir()
    Path(directory / "html" / "page.html").write_text(PAGE)
    routes = ROUTES | {
        "/": "{static: html, listing: true}",
        "/old/": "{redirect: /, status: 301}",
    }
    with started(directory, routes, workers="{count: 1}") as running:
        yield running


def faults(received: bytes, method: str, body: bytes) -> list[str]:
    """What httplint calls bad in a head as it came, with its body without the framing."""
    httplint = need_module("httplint")
    line, *lines = received.removesuffix(b"\r\n\r\n").split(b"\r\n")
    pairs = (field.partition(b":") for field in lines)
    linter = httplint.HttpResponseLinter()
    linter.is_head_response = method == "HEAD"
    linter.process_response_topline(*line.split(b" ", 2))
    linter.process_headers([(name, value.strip()) for name, _, value in pairs])
    linter.feed_content(body)
    linter.finish_content(True)
    bad = [note for note in linter.notes if note.level is httplint.levels.BAD]
    return [f"{note.subject}: {note.summary}" for note in bad]


@pytest.mark.parametrize(
    ("method", "target", "headers", "status"), CASES, ids=lambda value: str(value)
)
def test_an_answer_is_as_the_specifications_want_it(
    daemon: Daemon, method: str, target: str, headers: tuple[str, ...], status: int
) -> None:
    with Wire(daemon.port) as wire:
        wire.send(request(target, *headers, method=method))
        answer = wire.answer(method)
        assert answer.status == status
    with Wire(daemon.port) as wire:
        wire.send(request(target, *headers, method=method))
        wire.end()
        head = wire.rest().partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    assert faults(head, method, answer.body) == []


def test_a_fault_would_be_seen() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: x\r\nDate: today\r\n\r\n"
    assert len(faults(head, "GET", b"ab")) >= 2
