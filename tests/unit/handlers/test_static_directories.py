"""Directories: index files, listings, refusals."""

from __future__ import annotations

from pathlib import Path

from forkd.handlers.static import KEPT_TOTAL
from forkd.handlers.static_entry import KEPT_SIZE
from tests.unit.handlers.requests import fields, request
from tests.unit.handlers.test_static import body_of, put, static


def test_the_first_index_file_that_is_there_answers(tmp_path: Path) -> None:
    put(tmp_path / "b.html", "b")
    handler = static(tmp_path, index=["a.html", "b.html"])
    assert body_of(handler.answer(request("/", started=100.0))) == b"b"
    put(tmp_path / "a.html", "a")
    assert body_of(handler.answer(request("/", started=102.0))) == b"a"


def test_an_unchanged_index_file_is_not_read_again(tmp_path: Path) -> None:
    put(tmp_path / "index.html", "x")
    handler = static(tmp_path)
    first = handler.answer(request("/", started=100.0))
    assert handler.answer(request("/", started=105.0)) is first
    assert handler.answer(request("/", started=105.5)) is first


def test_an_index_file_that_goes_leaves_its_directory(tmp_path: Path) -> None:
    put(tmp_path / "index.html", "x")
    handler = static(tmp_path, listing=True)
    handler.answer(request("/", started=100.0))
    (tmp_path / "index.html").unlink()
    assert b"Index of /" in body_of(handler.answer(request("/", started=102.0)))
    put(tmp_path / "index.html", "new")
    assert body_of(handler.answer(request("/", started=102.1))) == b"new"


def test_a_directory_without_its_slash_is_redirected(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    response = static(tmp_path).answer(request("/x/a%20b?q=1", prefix="/x"))
    assert response.status == 301
    assert fields(response)["Location"] == "/x/a%20b/?q=1"


def test_a_file_that_becomes_a_directory_is_one(tmp_path: Path) -> None:
    put(tmp_path / "x", "file")
    handler = static(tmp_path)
    assert handler.answer(request("/x", started=100.0)).status == 200
    (tmp_path / "x").unlink()
    (tmp_path / "x").mkdir()
    assert handler.answer(request("/x", started=102.0)).status == 301
    (tmp_path / "x").rmdir()
    put(tmp_path / "x", "file again")
    assert body_of(handler.answer(request("/x", started=104.0))) == b"file again"


def test_a_directory_is_listed_where_the_route_says_so(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", "x")
    response = static(tmp_path, listing=True).answer(request("/"))
    assert response.status == 200
    assert b"./a.txt" in response.body
    assert fields(response)["Cache-Control"] == "no-cache"
    assert static(tmp_path).answer(request("/")).status == 403


def test_a_link_that_leads_out_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    put(tmp_path / "secret", "secret")
    (tmp_path / "root" / "link").symlink_to("../secret")
    handler = static(tmp_path / "root", listing=True)
    assert handler.answer(request("/link")).status == 404


def test_a_link_that_is_turned_outward_is_not_followed_any_more(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    put(tmp_path / "secret", "secret")
    put(tmp_path / "root" / "file", "public")
    (tmp_path / "root" / "link").symlink_to("file")
    handler = static(tmp_path / "root")
    assert handler.answer(request("/link", started=100.0)).status == 200
    (tmp_path / "root" / "link").unlink()
    (tmp_path / "root" / "link").symlink_to("../secret")
    assert handler.answer(request("/link", started=102.0)).status == 404


def test_header_rules_hold_for_every_answer_of_the_route(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", "0123456789")
    handler = static(tmp_path, headers={"set": {"Cache-Control": "max-age=60"}})
    etag = fields(handler.answer(request("/a.txt")))["ETag"]
    for asked, status in (
        (request("/a.txt"), 200),
        (request("/a.txt", f"If-None-Match: {etag}"), 304),
        (request("/a.txt", "Range: bytes=0-1"), 206),
        (request("/a.txt", "Range: bytes=99-"), 416),
        (request("/none"), 404),
    ):
        response = handler.answer(asked)
        assert response.status == status
        assert fields(response)["Cache-Control"] == "max-age=60"


def test_what_is_kept_in_memory_is_bounded(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", "x" * KEPT_SIZE)
    handler = static(tmp_path)
    for number in range(1, KEPT_TOTAL // KEPT_SIZE + 10):
        assert handler.answer(request("/a.txt", rest="/" * number + "a.txt")).status == 200
        assert handler._kept == sum(one.kept for one in handler._entries.values())
        assert handler._kept <= KEPT_TOTAL
