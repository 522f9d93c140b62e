"""Static files, with the time that the request says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from forkd.config.settings import StaticRoute
from forkd.handlers.base import Request, Response
from forkd.handlers.media_types import MediaTypes
from forkd.handlers.open_files import OpenFiles
from forkd.handlers.static import Static
from forkd.handlers.static_entry import KEPT_SIZE
from forkd.loop.timers import Wheel
from tests.unit.handlers.requests import fields, request
from tests.unit.written import written

MTIME = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Sun, 06 Nov 1994 08:49:38 GMT"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path / "a.txt", "0123456789")
    put(tmp_path / "large.bin", "x" * (KEPT_SIZE + 1))
    return tmp_path


def put(path: Path, content: str, mtime: float = MTIME) -> None:
    path.write_text(content)
    os.utime(path, (mtime, mtime))


class AtOnce(Static):
    """Whose answers are all at hand."""

    def answer(self, request: Request) -> Response:
        answer = super().answer(request)
        assert isinstance(answer, Response)
        return answer


def static(root: Path, **options: object) -> AtOnce:
    files = OpenFiles(Wheel())
    return AtOnce(written(StaticRoute, static=root, **options), MediaTypes(), files)


def body_of(response: Response) -> bytes:
    if response.open_file is None:
        return response.body
    part = response.open_file()
    try:
        return os.pread(part.fd, part.count, part.offset)
    finally:
        part.close()


def test_a_file_is_sent_with_its_validators(root: Path) -> None:
    response = static(root).answer(request("/a.txt"))
    assert (response.status, body_of(response), response.length) == (200, b"0123456789", 10)
    sent = fields(response)
    assert sent["Content-Type"] == "text/plain; charset=utf-8"
    assert sent["Content-Length"] == "10"
    assert sent["Last-Modified"] == DATE
    assert sent["Accept-Ranges"] == "bytes"
    assert sent["ETag"].startswith('"')


def test_a_large_file_is_kept_open_not_in_memory(root: Path) -> None:
    handler = static(root)
    for _ in range(2):
        response = handler.answer(request("/large.bin"))
        assert response.open_file is not None
        assert (response.body, response.length) == (b"", KEPT_SIZE + 1)
        assert body_of(response) == b"x" * (KEPT_SIZE + 1)


def test_a_file_is_looked_at_once_a_second(root: Path) -> None:
    handler = static(root)
    first = handler.answer(request("/a.txt", started=100.0))
    put(root / "a.txt", "changed", MTIME + 5)
    assert handler.answer(request("/a.txt", started=100.9)) is first
    second = handler.answer(request("/a.txt", started=101.0))
    assert body_of(second) == b"changed"
    assert fields(second)["ETag"] != fields(first)["ETag"]
    assert handler.answer(request("/a.txt", started=103.0)) is second, "unchanged: nothing is read"
    os.unlink(root / "a.txt")
    assert handler.answer(request("/a.txt", started=103.5)) is second
    assert handler.answer(request("/a.txt", started=104.1)).status == 404


def test_a_file_that_comes_into_being_is_found_at_once(root: Path) -> None:
    handler = static(root)
    assert handler.answer(request("/new.txt")).status == 404
    put(root / "new.txt", "new")
    assert handler.answer(request("/new.txt")).status == 200


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("If-None-Match: ETAG", 304),
        ("If-None-Match: *", 304),
        ('If-None-Match: "other"', 200),
        (f"If-Modified-Since: {DATE}", 304),
        ("If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT", 200),
        ("If-Match: ETAG", 200),
        ('If-Match: "other"', 412),
        ("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT", 412),
        (f"If-Unmodified-Since: {DATE}", 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions_are_heeded(root: Path, header: str, status: int, method: str) -> None:
    handler = static(root)
    etag = fields(handler.answer(request("/a.txt")))["ETag"]
    asked = request("/a.txt", header.replace("ETAG", etag), method=method)
    response = handler.answer(asked)
    assert response.status == status
    if status == 304:
        assert response.body == b""
        assert set(fields(response)) == {"Server", "ETag", "Last-Modified"}


@pytest.mark.parametrize(
    ("wanted", "status", "content_range", "body"),
    [
        ("bytes=0-3", 206, "bytes 0-3/10", b"0123"),
        ("bytes=7-", 206, "bytes 7-9/10", b"789"),
        ("bytes=-2", 206, "bytes 8-9/10", b"89"),
        ("bytes=5-100", 206, "bytes 5-9/10", b"56789"),
        ("bytes=10-", 416, "bytes */10", None),
        ("lines=1-2", 200, None, b"0123456789"),
        ("bytes=x", 200, None, b"0123456789"),
    ],
)
def test_a_range_is_a_part_of_the_file(
    root: Path, wanted: str, status: int, content_range: str | None, body: bytes | None
) -> None:
    response = static(root).answer(request("/a.txt", f"Range: {wanted}"))
    assert response.status == status
    assert fields(response).get("Content-Range") == content_range
    if body is not None:
        assert body_of(response) == body
        assert fields(response)["Content-Length"] == str(len(body))
        assert response.length == len(body)


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_a_range_of_a_large_file_is_sent_from_the_file(root: Path) -> None:
    put(root / "large.bin", "".join(chr(65 + n % 26) for n in range(100_000)))
    response = static(root).answer(request("/large.bin", "Range: bytes=99998-"))
    assert (response.status, response.length) == (206, 2)
    assert body_of(response) == (root / "large.bin").read_bytes()[-2:]


def test_head_ignores_range_and_a_stale_if_range_gets_the_whole(root: Path) -> None:
    handler = static(root)
    assert handler.answer(request("/a.txt", "Range: bytes=0-1", method="HEAD")).status == 200
    stale = request("/a.txt", "Range: bytes=0-1", f"If-Range: {LATER}")
    assert handler.answer(stale).status == 200
    fresh = request("/a.txt", "Range: bytes=0-1", f"If-Range: {DATE}")
    assert handler.answer(fresh).status == 206


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/none", 404),
        ("/a.txt/", 404),
        ("/a.txt/x", 404),
        ("/.git/config", 404),
        ("/dir/.htaccess", 404),
        ("/.well-known/acme", 200),
        ("/.well-known/.hidden", 404),
        ("/x/.well-known/acme", 404),
    ],
)
def test_hidden_files_are_not_there_but_well_known_ones_are(
    root: Path, path: str, status: int
) -> None:
    for directory in (".git", "dir", ".well-known", "x/.well-known"):
        (root / directory).mkdir(parents=True)
    for name in (".git/config", "dir/.htaccess", ".well-known/acme", ".well-known/.hidden"):
        put(root / name, "x")
    put(root / "x" / ".well-known" / "acme", "x")
    assert static(root).answer(request(path)).status == status


def test_a_route_may_be_one_file(root: Path) -> None:
    handler = static(root / "a.txt")
    asked = request("/robots.txt", prefix="/robots.txt")
    assert body_of(handler.answer(asked)) == b"0123456789"
