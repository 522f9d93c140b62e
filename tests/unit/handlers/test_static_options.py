"""`cache_control`, `fallback` and `follow_symlinks` of a static route."""

from __future__ import annotations

from pathlib import Path

import pytest

from forkd.config.settings import StaticRoute
from forkd.handlers.base import Response
from forkd.handlers.media_types import MediaTypes
from forkd.handlers.open_files import OpenFiles
from forkd.handlers.static import PassedOn, Static
from forkd.loop.timers import Wheel
from tests.unit.handlers.requests import fields, request
from tests.unit.handlers.test_static import put, static
from tests.unit.written import written


def test_cache_control_is_said_of_files_and_not_of_errors(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", "0123456789")
    handler = static(tmp_path, cache_control="public, max-age=60")
    for headers, status, there in (
        ((), 200, True),
        (("Range: bytes=0-1",), 206, True),
        (("Range: bytes=0-1,8-9",), 206, True),
        (("If-None-Match: *",), 304, True),
        (('If-Match: "x"',), 412, False),
        (("Range: bytes=99-",), 416, False),
    ):
        response = handler.answer(request("/a.txt", *headers))
        assert response.status == status
        found = fields(response).get("Cache-Control")
        assert found == ("public, max-age=60" if there else None)
    assert "Cache-Control" not in fields(handler.answer(request("/none")))


def with_fallback(root: Path, fallback: str, **options: object) -> Static:
    settings = {"static": root, "fallback": fallback, **options}
    return Static(written(StaticRoute, **settings), MediaTypes(), OpenFiles(Wheel()))


@pytest.mark.parametrize(
    ("fallback", "target", "leads_to"),
    [
        ("/index.php", "/none", b"/index.php"),
        ("/index.php", "/none?a=%20b&c", b"/index.php?a=%20b&c"),
        ("/index.php?x=1", "/none", b"/index.php?x=1"),
        ("/index.php?x=1", "/none?y", b"/index.php?x=1&y"),
        ("/a%20b", "/no/such/directory/", b"/a%20b"),
    ],
)
def test_where_nothing_is_another_path_of_the_site_answers(
    tmp_path: Path, fallback: str, target: str, leads_to: bytes
) -> None:
    answer = with_fallback(tmp_path, fallback).answer(request(target))
    assert isinstance(answer, PassedOn)
    assert answer.target == leads_to


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/a.txt", 200),
        ("/dir/", 403),
        ("/dir", 301),
        ("/.env", 404),
        ("/a%20b", 404),
        ("//x/../a%20b?q", 404),
    ],
)
def test_what_is_there_hidden_or_the_fallback_itself_does_not_fall_back(
    tmp_path: Path, target: str, status: int
) -> None:
    put(tmp_path / "a.txt", "x")
    (tmp_path / "dir").mkdir()
    answer = with_fallback(tmp_path, "/a%20b").answer(request(target))
    assert isinstance(answer, Response)
    assert answer.status == status


@pytest.mark.parametrize(
    ("method", "target", "status", "allow"),
    [
        ("POST", "/a.txt", 405, "GET, HEAD, OPTIONS"),
        ("DELETE", "/dir/", 405, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/a.txt", 200, "GET, HEAD, OPTIONS"),
        ("BREW", "/a.txt", 501, None),
        ("POST", "/.env", 404, None),
        ("POST", "/x", 404, None),
        ("POST", "/none", None, None),
        ("BREW", "/none?q", None, None),
        ("OPTIONS", "/none", None, None),
    ],
)
def test_other_methods_reach_the_fallback_where_no_file_is(
    tmp_path: Path, method: str, target: str, status: int | None, allow: str | None
) -> None:
    put(tmp_path / "a.txt", "x")
    (tmp_path / "dir").mkdir()
    answer = with_fallback(tmp_path, "/x").answer(request(target, method=method))
    if status is None:
        assert isinstance(answer, PassedOn)
        return
    assert isinstance(answer, Response)
    assert (answer.status, fields(answer).get("Allow")) == (status, allow)


@pytest.mark.parametrize(
    ("target", "leads_to"), [("/", b"/index.cgi"), ("/d/?a", b"/d/index.cgi?a")]
)
def test_an_index_that_another_route_claims_is_left_to_it(
    tmp_path: Path, target: str, leads_to: bytes
) -> None:
    (tmp_path / "d").mkdir()
    put(tmp_path / "index.cgi", "the source")
    put(tmp_path / "d" / "index.cgi", "the source")
    settings = written(StaticRoute, static=tmp_path, index=["index.cgi"])
    handler = Static(settings, MediaTypes(), OpenFiles(Wheel()))
    handler.is_program = lambda path: path.endswith(".cgi")
    answer = handler.answer(request(target))
    assert isinstance(answer, PassedOn)
    assert answer.target == leads_to
    handler.is_program = lambda _path: False
    answer = handler.answer(request(target))
    assert isinstance(answer, Response)
    assert answer.body == b"the source"


def test_a_file_that_goes_leaves_its_place_to_the_fallback(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", "x")
    handler = with_fallback(tmp_path, "/x")
    assert isinstance(handler.answer(request("/a.txt", started=100.0)), Response)
    (tmp_path / "a.txt").unlink()
    assert isinstance(handler.answer(request("/a.txt", started=102.0)), PassedOn)


@pytest.mark.parametrize(
    ("follow", "inside", "outside"),
    [("within", 200, 404), ("owner", 200, 200), ("all", 200, 200), ("none", 404, 404)],
)
def test_links_are_followed_as_the_route_says(
    tmp_path: Path, follow: str, inside: int, outside: int
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    put(tmp_path / "neighbour", "x")
    put(root / "file", "x")
    (root / "inside").symlink_to("file")
    (root / "outside").symlink_to("../neighbour")
    handler = static(root, follow_symlinks=follow)
    assert handler.answer(request("/file")).status == 200
    assert handler.answer(request("/inside")).status == inside
    assert handler.answer(request("/outside")).status == outside
