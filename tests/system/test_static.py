"""Static files: what is found, as what, and what is never found."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes, urljoin

import pytest

from tests.system.daemon import Daemon, started
from tests.system.pages import Page
from tests.system.wire import Wire, exchange, fetch

TEXT = b"0123456789" * 10

HOSTILE = [
    b"quote'double\".txt",
    b"<script>alert(1)<",
    b"white space.txt",
    b"100%41.txt",
    b"query?x=1",
    b"hash#1",
    b"semi;colon:a",
    b"back\\slash",
    b"&amp;.txt",
    "Grüße 世界.txt".encode(),
    b"latin-\xe4.txt",
    b"line\nbreak\r.txt",
    b"tab\there",
    b"javascript:alert(1)",
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("static")
    (directory / "secret.txt").write_text("secret")
    html = directory / "html"
    for name in ("with-index", "without", "hostile", ".hidden", ".well-known/acme", "a b"):
        (html / name).mkdir(parents=True)
    (html / "plain.txt").write_bytes(TEXT)
    (html / "empty").write_bytes(b"")
    (html / "with-index" / "index.html").write_text("<p>index</p>")
    (html / ".hidden" / "page.html").write_text("hidden")
    (html / ".htpasswd").write_text("hidden")
    (html / "with-index" / ".env").write_text("hidden")
    (html / ".well-known" / "acme" / "token").write_text("token")
    for hostile in HOSTILE:
        Path(os.fsdecode(os.fsencode(html / "hostile") + b"/" + hostile)).write_bytes(hostile)
    for name in ("page.html", "style.css", "app.js", "image.svg", "data.json", "noending"):
        (html / name).write_text("x")
    routes = {
        "/": "{static: html, listing: true}",
        "/closed/": "{static: html}",
        "/one": "{static: html/plain.txt}",
    }
    with started(directory, routes, workers="{count: 1}") as running:
        yield running


def test_the_index_file_answers_for_its_directory(daemon: Daemon) -> None:
    answer = fetch(daemon.port, "/with-index/")
    assert (answer.status, answer.text) == (200, "<p>index</p>")
    assert answer.headers["content-type"] == "text/html"


def test_a_directory_without_its_slash_is_redirected_with_the_query(daemon: Daemon) -> None:
    answer = fetch(daemon.port, "/with-index?a=%20b&c")
    assert (answer.status, answer.headers["location"]) == (301, "/with-index/?a=%20b&c")
    assert fetch(daemon.port, "/a%20b").headers["location"] == "/a%20b/"


def test_a_redirection_never_leads_to_another_host(daemon: Daemon) -> None:
    for target in ("//with-index", "//example.org/..//with-index", "/%2fwith-index"):
        location = fetch(daemon.port, target).headers["location"]
        assert location == "/with-index/", target


def test_one_file_is_served_at_one_path(daemon: Daemon) -> None:
    assert fetch(daemon.port, "/one").body == TEXT
    assert fetch(daemon.port, "/one/").status == 404


def test_a_directory_is_listed_only_where_that_is_wanted(daemon: Daemon) -> None:
    assert fetch(daemon.port, "/without/").status == 200
    assert fetch(daemon.port, "/closed/without/").status == 403


def test_a_listing_leads_to_files_with_hostile_names(daemon: Daemon) -> None:
    answer = fetch(daemon.port, "/hostile/")
    page = Page(answer.body.decode())
    assert page.faults == []
    links = [target for tag, target in page.links if tag == "a" and target.startswith("./")]
    targets = [urljoin("http://test/hostile/", link).removeprefix("http://test") for link in links]
    assert {unquote_to_bytes(target)[len("/hostile/") :] for target in targets} == set(HOSTILE)
    for target in targets:
        found = fetch(daemon.port, target)
        assert (found.status, found.body) == (200, unquote_to_bytes(target)[len("/hostile/") :])


def test_a_listing_hides_what_is_hidden(daemon: Daemon) -> None:
    text = fetch(daemon.port, "/").text
    assert "plain.txt" in text
    assert "hidden" not in text
    assert "htpasswd" not in text


def test_what_has_not_changed_is_not_sent_again(daemon: Daemon) -> None:
    first = fetch(daemon.port, "/plain.txt")
    etag, changed = first.headers["etag"], first.headers["last-modified"]
    assert not etag.startswith("W/")
    for header in (f"If-None-Match: {etag}", 'If-None-Match: "x", ' + etag, "If-None-Match: *"):
        again = fetch(daemon.port, "/plain.txt", header)
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
    assert fetch(daemon.port, "/plain.txt", f"If-Modified-Since: {changed}").status == 304
    old = "If-Modified-Since: Thu, 01 Jan 2015 00:00:00 GMT"
    assert fetch(daemon.port, "/plain.txt", old).status == 200
    # If-None-Match decides alone where both are there (RFC 9110 13.2.2).
    both = (f"If-Modified-Since: {changed}", 'If-None-Match: "x"')
    assert fetch(daemon.port, "/plain.txt", *both).status == 200
    assert fetch(daemon.port, "/plain.txt", 'If-Match: "x"').status == 412


@pytest.mark.parametrize(
    ("wanted", "status", "body", "content_range"),
    [
        ("bytes=0-9", 206, TEXT[:10], "bytes 0-9/100"),
        ("bytes=95-", 206, TEXT[95:], "bytes 95-99/100"),
        ("bytes=-3", 206, TEXT[-3:], "bytes 97-99/100"),
        ("bytes=90-1000", 206, TEXT[90:], "bytes 90-99/100"),
        ("bytes=-1000", 206, TEXT, "bytes 0-99/100"),
        ("bytes=100-", 416, None, "bytes */100"),
        ("bytes=-0", 416, None, "bytes */100"),
        ("bytes=9-1", 200, TEXT, None),
        ("lines=1-2", 200, TEXT, None),
        ("bytes=x", 200, TEXT, None),
    ],
)
def test_a_range_is_answered(
    daemon: Daemon, wanted: str, status: int, body: bytes | None, content_range: str | None
) -> None:
    answer = fetch(daemon.port, "/plain.txt", f"Range: {wanted}")
    assert (answer.status, answer.headers.get("content-range")) == (status, content_range)
    assert body is None or answer.body == body


def test_a_range_of_what_has_changed_is_the_whole_file(daemon: Daemon) -> None:
    etag = fetch(daemon.port, "/plain.txt").headers["etag"]
    same = fetch(daemon.port, "/plain.txt", "Range: bytes=0-4", f"If-Range: {etag}")
    other = fetch(daemon.port, "/plain.txt", "Range: bytes=0-4", 'If-Range: "other"')
    assert (same.status, other.status, other.body) == (206, 200, TEXT)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("page.html", "text/html"),
        ("style.css", "text/css"),
        ("app.js", "text/javascript; charset=utf-8"),
        ("image.svg", "image/svg+xml"),
        ("data.json", "application/json"),
        ("plain.txt", "text/plain; charset=utf-8"),
        ("noending", "application/octet-stream"),
    ],
)
def test_a_file_has_the_type_of_its_name(daemon: Daemon, name: str, kind: str) -> None:
    assert fetch(daemon.port, f"/{name}").headers["content-type"] == kind


def test_an_empty_file_is_an_empty_answer(daemon: Daemon) -> None:
    answer = fetch(daemon.port, "/empty")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")
    assert fetch(daemon.port, "/empty", "Range: bytes=0-0").status == 416


@pytest.mark.parametrize(
    "target",
    ["/.htpasswd", "/%2ehtpasswd", "/.hidden/", "/.hidden/page.html", "/with-index/.env", "/..."],
)
def test_what_begins_with_a_dot_is_not_found(daemon: Daemon, target: str) -> None:
    assert fetch(daemon.port, target).status == 404


def test_well_known_is_for_everybody(daemon: Daemon) -> None:
    assert fetch(daemon.port, "/.well-known/acme/token").text == "token"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/../secret.txt", 404),
        ("/without/../../secret.txt", 404),
        ("/%2e%2e/secret.txt", 404),
        ("/%2E%2e%2fsecret.txt", 404),
        ("/without/%2e%2e/%2e%2e/secret.txt", 404),
        ("/..%2fsecret.txt", 404),
        ("//../secret.txt", 404),
        ("/.//..///secret.txt", 404),
        ("/..%5csecret.txt", 404),
        ("/..\\secret.txt", 404),
        ("/%252e%252e/secret.txt", 404),
        ("/%252e%252e%252fsecret.txt", 404),
        ("/%c0%ae%c0%ae/secret.txt", 404),
        ("/closed/../../secret.txt", 404),
        ("/one/../../secret.txt", 404),
        ("http://test/../secret.txt", 404),
        ("/plain.txt%00", 400),
        ("/%00/../secret.txt", 400),
        ("/%2e%2e/secret.txt%00.html", 400),
        ("/%zz", 400),
        ("/%", 400),
        ("../secret.txt", 400),
        ("secret.txt", 400),
        ("/" + "a" * 5000, 404),
        ("/without/../plain.txt", 200),
        ("/%70lain.txt", 200),
        ("//plain.txt", 200),
        ("/plain.txt/", 404),
        ("/plain.txt/x", 404),
    ],
)
def test_no_path_leads_out_of_the_root(daemon: Daemon, target: str, status: int) -> None:
    answer = fetch(daemon.port, target)
    assert answer.status == status
    assert answer.body != b"secret"


def test_a_raw_nul_is_no_request(daemon: Daemon) -> None:
    sent = exchange(daemon.port, b"GET /plain.txt\0 HTTP/1.1\r\nHost: test\r\n\r\n")
    assert sent.startswith(b"HTTP/1.1 400 ")


def test_special_files_are_not_found_and_block_nobody(daemon: Daemon) -> None:
    html = daemon.directory / "html"
    os.mkfifo(html / "fifo")
    os.symlink("/dev/zero", html / "device")
    with socket.socket(socket.AF_UNIX) as sock:
        # A relative name: the path of a socket is short.
        sock.bind(f"/proc/self/fd/{(directory := os.open(html, os.O_RDONLY))}/socket")
        os.close(directory)
        began = time.monotonic()
        with Wire(daemon.port) as wire:
            for name in ("fifo", "device", "socket"):
                assert wire.get(f"/{name}").status == 404
        assert time.monotonic() - began < 2
    if os.geteuid() == 0:
        os.mknod(html / "null", 0o20666, os.makedev(1, 3))
        assert fetch(daemon.port, "/null").status == 404
