"""The handlers that need nothing but the configuration, and the tables beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from forkd.config.settings import HeaderChanges, RedirectRoute, RespondRoute
from forkd.handlers.base import apply_rules
from forkd.handlers.listing import Entry, human_size, read_entries, render
from forkd.handlers.media_types import MediaTypes
from forkd.handlers.quoting import quote_path
from forkd.handlers.respond import Redirect, Respond
from tests.unit.handlers.requests import fields, request
from tests.unit.written import written


def test_respond_gives_its_text_with_its_type_status_and_headers() -> None:
    settings = written(
        RespondRoute,
        respond="Hällo\n",
        status=201,
        content_type="text/plain",
        headers={"add": {"X-One": "1"}},
    )
    response = Respond(settings).answer(request())
    assert (response.status, response.body) == (201, "Hällo\n".encode())
    assert response.prefix.startswith(b"HTTP/1.1 201 Created\r\n")
    assert fields(response) == {
        "Server": "forkd",
        "Content-Type": "text/plain",
        "Content-Length": "7",
        "X-One": "1",
    }


@pytest.mark.parametrize(
    ("target", "prefix", "asked", "location"),
    [
        ("/new/", "/old", "/old/", "/new/"),
        ("/new/", "/old", "/old/a/b", "/new/a/b"),
        ("/new", "/old", "/old/a", "/new/a"),
        ("/new/", "/old", "/old/a?x=1&y", "/new/a?x=1&y"),
        ("/new?z", "/old", "/old/?x", "/new?z&x"),
        ("https://example.org/", "/old", "/old/a%20b", "https://example.org/a%20b"),
        ("/new/", "/old", "/old/%0d%0aSet-Cookie:%20x", "/new/%0D%0ASet-Cookie:%20x"),
        ("/new/", "/old", "/old/%3Fq", "/new/%3Fq"),
        ("/new/", "/old", "/old/%ff", "/new/%FF"),
        ("/new/", "/exact", "/exact", "/new/"),
    ],
)
def test_redirect_keeps_the_rest_of_the_path_and_the_query(
    target: str, prefix: str, asked: str, location: str
) -> None:
    handler = Redirect(written(RedirectRoute, redirect=target, status=301))
    response = handler.answer(request(asked, prefix=prefix))
    assert response.status == 301
    assert fields(response)["Location"] == location
    assert location.encode() in response.body


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [(b"A", b"1"), (b"B", b"2")]),
        ({"remove": ["a"]}, [(b"B", b"2")]),
        ({"set": {"b": "3"}}, [(b"A", b"1"), (b"b", b"3")]),
        ({"add": {"A": "3"}}, [(b"A", b"1"), (b"B", b"2"), (b"A", b"3")]),
        ({"remove": ["A"], "set": {"A": "x"}}, [(b"B", b"2"), (b"A", b"x")]),
    ],
)
def test_headers_are_removed_then_set_then_added(
    changes: dict[str, object], expected: list[tuple[bytes, bytes]]
) -> None:
    rules = written(HeaderChanges, **changes)
    assert apply_rules([(b"A", b"1"), (b"B", b"2")], rules) == expected


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("index.html", b"text/html"),
        ("INDEX.HTML", b"text/html"),
        ("a.css", b"text/css"),
        ("a.js", b"text/javascript; charset=utf-8"),
        ("a.txt", b"text/plain; charset=utf-8"),
        ("notes.md", b"text/markdown; charset=utf-8"),
        ("a.json", b"application/json"),
        ("a.svg", b"image/svg+xml"),
        ("a.png", b"image/png"),
        ("a.webp", b"image/webp"),
        ("a.woff2", b"font/woff2"),
        ("a.wasm", b"application/wasm"),
        ("a.pdf", b"application/pdf"),
        ("a.tar.gz", b"application/gzip"),
        ("a.tgz", b"application/octet-stream"),
        ("a.html.zst", b"application/zstd"),
        ("README", b"application/octet-stream"),
        ("a.nonesuch", b"application/octet-stream"),
        ("data:text/html,x", b"application/octet-stream"),
    ],
)
def test_the_media_type_goes_by_the_ending(name: str, kind: bytes) -> None:
    assert MediaTypes().of(name) == kind


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (10 * 1024, "10 KiB"),
        (20 << 20, "20 MiB"),
        (5 << 30, "5.0 GiB"),
        (3 << 50, "3072 TiB"),
    ],
)
def test_sizes_are_shown_for_people(size: int, shown: str) -> None:
    assert human_size(size) == shown


@pytest.mark.parametrize(
    ("path", "quoted"),
    [
        ("/a b", b"/a%20b"),
        ("/ü?#%", b"/%C3%BC%3F%23%25"),
        ("/\udcff", b"/%FF"),
        ("/~a:@", b"/~a:@"),
    ],
)
def test_a_path_is_quoted_as_a_url_needs_it(path: str, quoted: bytes) -> None:
    assert quote_path(path) == quoted


def test_a_directory_is_read_directories_first_without_hidden_and_special_files(
    tmp_path: Path,
) -> None:
    for name in ("b.txt", "A.txt", ".hidden"):
        (tmp_path / name).write_text("xy")
    (tmp_path / "zoo").mkdir()
    (tmp_path / "nowhere").symlink_to("none")
    (tmp_path / "linked").symlink_to("b.txt")
    entries = read_entries(bytes(tmp_path))
    assert [entry.name for entry in entries] == ["zoo", "A.txt", "b.txt", "linked"]
    assert [(e.is_directory, e.size) for e in entries[1:]] == [(False, 2)] * 3
    assert entries[0].is_directory


def test_a_listing_shows_every_name_safely() -> None:
    entries = [
        Entry("dir", True, 4096, 0.0),
        Entry('<script>"&', False, 1536, 0.0),
        Entry("a:b", False, 0, 0.0),
        Entry("\udcff", False, 0, 0.0),
    ]
    page = render("/x<y>/", entries).decode()
    assert "<script>" not in page
    assert "<title>Index of /x&lt;y&gt;/</title>" in page
    assert '<a href="../">' in page
    assert '<a href="./dir/">dir/</a>' in page
    assert '<a href="./%3Cscript%3E%22&amp;">&lt;script&gt;&quot;&amp;</a>' in page
    assert '<a href="./a:b">a:b</a>' in page
    assert '<a href="./%FF">\ufffd</a>' in page
    assert "1.5 KiB" in page
    assert "1970-01-01 00:00" in page


def test_the_listing_of_the_root_has_no_way_up() -> None:
    assert '"../"' not in render("/", []).decode()
