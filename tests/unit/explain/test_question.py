"""What a person types, as a request."""

from __future__ import annotations

import json

import pytest

from forkd.config.load import load_text
from forkd.errors import OperationError
from forkd.explain.question import Question, parse_question, request_head, usual_host


@pytest.mark.parametrize(
    ("url", "authority", "target"),
    [
        ("http://example.org/a?b=c", "example.org", b"/a?b=c"),
        ("HTTPS://example.org:8443/a", "example.org:8443", b"/a"),
        ("http://example.org", "example.org", b"/"),
        ("http://example.org?x", "example.org", b"/?x"),
        ("http://[::1]:80/x", "[::1]:80", b"/x"),
        ("/a/b", None, b"/a/b"),
        (" /a ", None, b"/a"),
        ("//a", None, b"//a"),
        ("/a#part", None, b"/a"),
        ("/a?u=http://x/", None, b"/a?u=http://x/"),
        ("*", None, b"*"),
        ("example.org/a/b", "example.org", b"/a/b"),
        ("example.org", "example.org", b"/"),
        ("/a b", None, b"/a%20b"),
        ("/caf\u00e9", None, b"/caf%C3%A9"),
        ("/%2e%2e/%zz", None, b"/%2e%2e/%zz"),
    ],
)
def test_a_url_becomes_a_host_and_a_target(url: str, authority: str | None, target: bytes) -> None:
    assert parse_question({"url": url}) == Question("GET", authority, target, None)


@pytest.mark.parametrize(
    "request_", [{}, {"url": ""}, {"url": 3}, {"url": "ftp://x/"}, {"url": "/", "method": "A B"}]
)
def test_what_makes_no_sense_is_told(request_: dict[str, object]) -> None:
    with pytest.raises(OperationError):
        parse_question(request_)


def test_nothing_breaks_out_of_the_request() -> None:
    question = parse_question({"url": "h\r\nX: y/a\r\nZ: z"})
    head = request_head(question, question.authority or "")
    assert head.count(b"\r\n") == 3
    assert b" Z" not in head.split(b"\r\n")[0]


@pytest.mark.parametrize(
    ("hosts", "usual"),
    [
        ([["a.org"], None], "localhost"),
        ([["a.org", "b.org"], ["c.org"]], "a.org"),
        ([["*.a.org"]], "www.a.org"),
    ],
)
def test_a_path_alone_means_the_usual_site(hosts: list[list[str] | None], usual: str) -> None:
    routes = {"routes": {"/": {"respond": "x"}}}
    sites = [routes if names is None else routes | {"host": names} for names in hosts]
    settings = load_text(json.dumps({"sites": sites}), "/forkd.yaml", {})
    assert usual_host(settings) == usual
