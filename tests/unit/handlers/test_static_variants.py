"""Content codings: files beside the original, and what `compress` makes."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from forkd.handlers.base import Response
from forkd.handlers.static_entry import COMPRESSED_FROM, FRESH_S, KEPT_SIZE
from tests.unit.handlers.requests import fields, request
from tests.unit.handlers.test_static import MTIME, body_of, put, static

TEXT = "0123456789" * 100


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path / "a.js", "plain")
    for ending in ("br", "zst", "gz"):
        put(tmp_path / f"a.js.{ending}", f"as {ending}")
    put(tmp_path / "text.txt", TEXT)
    return tmp_path


@pytest.mark.parametrize(
    ("accepted", "coding", "body"),
    [
        ("gzip, deflate, br, zstd", "br", b"as br"),
        ("gzip, zstd", "zstd", b"as zst"),
        ("gzip;q=0.5", "gzip", b"as gz"),
        ("br;q=0, *", "zstd", b"as zst"),
        ("identity", None, b"plain"),
        ("deflate", None, b"plain"),
    ],
)
def test_a_file_beside_the_original_is_sent_to_who_accepts_it(
    root: Path, accepted: str, coding: str | None, body: bytes
) -> None:
    response = static(root).answer(request("/a.js", f"Accept-Encoding: {accepted}"))
    sent = fields(response)
    assert (response.status, body_of(response)) == (200, body)
    assert sent.get("Content-Encoding") == coding
    assert sent["Content-Length"] == str(len(body))
    assert sent["Content-Type"] == "text/javascript; charset=utf-8"
    assert sent["Vary"] == "Accept-Encoding"


def test_each_representation_has_its_own_strong_etag(root: Path) -> None:
    handler = static(root)
    etags = {}
    for accepted in ("identity", "br", "zstd", "gzip"):
        sent = fields(handler.answer(request("/a.js", f"Accept-Encoding: {accepted}")))
        etags[accepted] = sent["ETag"]
    assert len(set(etags.values())) == 4
    assert etags["br"].endswith('-br"')
    for accepted, etag in etags.items():
        headers = (f"Accept-Encoding: {accepted}", f"If-None-Match: {etag}")
        same = handler.answer(request("/a.js", *headers))
        assert same.status == 304
        assert set(fields(same)) == {"Server", "ETag", "Last-Modified", "Vary"}
        assert fields(same)["ETag"] == etag
    other = request("/a.js", "Accept-Encoding: br", f"If-None-Match: {etags['gzip']}")
    assert handler.answer(other).status == 200


def test_without_a_choice_there_is_no_vary(root: Path) -> None:
    assert "Vary" not in fields(static(root).answer(request("/text.txt")))


def test_a_range_is_one_of_the_encoded_bytes(root: Path) -> None:
    response = static(root).answer(request("/a.js", "Accept-Encoding: br", "Range: bytes=3-4"))
    assert (response.status, response.body) == (206, b"br")
    sent = fields(response)
    assert (sent["Content-Encoding"], sent["Content-Range"]) == ("br", "bytes 3-4/5")
    assert sent["Vary"] == "Accept-Encoding"


def test_several_ranges_of_an_encoded_file_are_answered_with_the_whole(root: Path) -> None:
    several = request("/a.js", "Accept-Encoding: br", "Range: bytes=0-0,4-4")
    response = static(root).answer(several)
    assert (response.status, response.body) == (200, b"as br")


def test_a_variant_that_is_older_than_the_original_is_not_sent(root: Path) -> None:
    put(root / "a.js.br", "as br", MTIME - 1)
    response = static(root).answer(request("/a.js", "Accept-Encoding: br, gzip"))
    assert body_of(response) == b"as gz"


def test_what_lies_beside_a_file_is_looked_at_once_a_second(root: Path) -> None:
    handler = static(root)
    asked = request("/text.txt", "Accept-Encoding: gzip", started=100.0)
    assert body_of(handler.answer(asked)) == TEXT.encode()
    put(root / "text.txt.gz", "packed")
    assert body_of(handler.answer(asked)) == TEXT.encode()
    later = request("/text.txt", "Accept-Encoding: gzip", started=100.0 + FRESH_S)
    assert body_of(handler.answer(later)) == b"packed"
    (root / "text.txt.gz").unlink()
    latest = request("/text.txt", "Accept-Encoding: gzip", started=100.0 + 2 * FRESH_S)
    response = handler.answer(latest)
    assert body_of(response) == TEXT.encode()
    assert "Vary" not in fields(response)


def test_a_large_variant_is_looked_at_for_each_request(root: Path) -> None:
    handler = static(root)
    put(root / "a.js.br", "x" * (KEPT_SIZE + 1))
    asked = request("/a.js", "Accept-Encoding: br", started=100.0)
    response = handler.answer(asked)
    assert body_of(response) == b"x" * (KEPT_SIZE + 1)
    part = handler.answer(request("/a.js", "Accept-Encoding: br", "Range: bytes=-2"))
    assert (part.status, body_of(part)) == (206, b"xx")
    put(root / "a.js.br", "small", MTIME + 1)
    with pytest.raises(OSError, match="changed meanwhile"):
        body_of(response)
    assert body_of(handler.answer(asked)) == b"small"


def test_a_variant_that_leads_out_or_is_no_file_is_not_sent(root: Path) -> None:
    put(root.parent / "outside", "secret")
    for ending in ("br", "zst", "gz"):
        (root / f"a.js.{ending}").unlink()
    (root / "a.js.br").symlink_to("../outside")
    (root / "a.js.zst").mkdir()
    os.mkfifo(root / "a.js.gz")
    response = static(root).answer(request("/a.js", "Accept-Encoding: br, zstd, gzip"))
    assert body_of(response) == b"plain"
    assert "Vary" not in fields(response)


def test_a_route_of_one_file_has_variants_too(root: Path) -> None:
    asked = request("/x.js", "Accept-Encoding: br", prefix="/x.js")
    assert body_of(static(root / "a.js").answer(asked)) == b"as br"


def packed(root: Path, path: str, *headers: str) -> Response:
    handler = static(root, compress=True)
    return handler.answer(request(path, "Accept-Encoding: gzip", *headers))


def test_text_is_compressed_once_and_remembered(root: Path) -> None:
    handler = static(root, compress=True)
    asked = request("/text.txt", "Accept-Encoding: gzip")
    response = handler.answer(asked)
    assert gzip.decompress(response.body).decode() == TEXT
    sent = fields(response)
    assert (sent["Content-Encoding"], sent["Vary"]) == ("gzip", "Accept-Encoding")
    assert sent["Content-Length"] == str(len(response.body))
    assert sent["ETag"].endswith('-gzip"')
    assert handler.answer(asked) is response
    plain = handler.answer(request("/text.txt"))
    assert (plain.body.decode(), fields(plain)["Vary"]) == (TEXT, "Accept-Encoding")
    assert "Content-Encoding" not in fields(plain)
    assert fields(plain)["ETag"] != sent["ETag"]
    assert handler._kept == len(response.body) + len(plain.body)


def test_two_workers_compress_to_the_same_bytes(root: Path) -> None:
    assert packed(root, "/text.txt").body == packed(root, "/text.txt").body


@pytest.mark.parametrize(
    ("name", "content", "compressed"),
    [
        ("a.html", TEXT, True),
        ("a.json", TEXT, True),
        ("a.svg", TEXT, True),
        ("a.xml", TEXT, True),
        ("a.webmanifest", TEXT, True),
        ("a.png", TEXT, False),
        ("a.wasm", TEXT, False),
        ("noending", TEXT, False),
        ("short.txt", "x" * (COMPRESSED_FROM - 1), False),
        ("from.txt", "x" * COMPRESSED_FROM, True),
        ("most.txt", "x" * KEPT_SIZE, True),
        ("large.txt", "x" * (KEPT_SIZE + 1), False),
    ],
)
def test_what_is_compressed_is_text_of_some_size(
    tmp_path: Path, name: str, content: str, compressed: bool
) -> None:
    put(tmp_path / name, content)
    assert ("Content-Encoding" in fields(packed(tmp_path, f"/{name}"))) is compressed


def test_what_does_not_get_smaller_is_sent_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "noise.txt").write_bytes(os.urandom(COMPRESSED_FROM))
    response = packed(tmp_path, "/noise.txt")
    assert not {"Content-Encoding", "Vary"} & set(fields(response))


def test_a_file_beside_goes_before_what_could_be_made(root: Path) -> None:
    put(root / "text.txt.gz", "by hand")
    assert packed(root, "/text.txt").body == b"by hand"


def test_what_may_be_given_again_says_until_when(root: Path) -> None:
    handler = static(root)
    whole = handler.answer(request("/a.js", started=100.0))
    encoded = handler.answer(request("/a.js", "Accept-Encoding: br", started=100.0))
    same = handler.answer(request("/a.js", "If-None-Match: *", started=100.0))
    assert {one.fresh_until for one in (whole, encoded, same)} == {100.0 + FRESH_S}
    assert handler.answer(request("/a.js", started=105.0)) is whole
    assert {one.fresh_until for one in (whole, encoded, same)} == {105.0 + FRESH_S}
    assert handler.answer(request("/a.js", "Range: bytes=0-0", started=105.0)).fresh_until == 0.0
    assert handler.answer(request("/none", started=105.0)).fresh_until == 0.0
