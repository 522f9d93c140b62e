"""Files that X-Sendfile names: which may be sent, and how they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from forkd.errors import ProtocolError
from forkd.handlers.base import Request
from forkd.handlers.sent_file import SentFile, find_file
from forkd.proto.cgi import CgiHead
from forkd.proto.http1.dates import http_date
from tests.unit.handlers.programs import FakeExchange
from tests.unit.handlers.requests import request
from tests.unit.stepped import SteppedLoop

MODIFIED = 1_600_000_000
CONTENT = b"0123456789"
KIND = (b"Content-Type", b"a/b")

pytestmark = pytest.mark.usefixtures("no_descriptor_leaks")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("files", "files/sub", "other", "files-too"):
        (tmp_path / name).mkdir()
    for name in (
        "files/one",
        "files/.hidden",
        "files/50%25",
        "files/a b",
        "other/x",
        "files-too/x",
    ):
        (tmp_path / name).write_bytes(CONTENT)
        os.utime(tmp_path / name, (MODIFIED, MODIFIED))
    (tmp_path / "files/inside").symlink_to("one")
    (tmp_path / "files/outside").symlink_to("../other/x")
    (tmp_path / "files/loop").symlink_to("loop")
    (tmp_path / "link").symlink_to("files")
    os.mkfifo(tmp_path / "files/fifo")
    return tmp_path


def find(tree: Path, name: str, *allowed: str) -> bytes:
    """The path of what is found. `@` stands for the tree."""
    directories = tuple(bytes(tree / one) for one in allowed or ("files",))
    absolute = name.replace("@", str(tree)).encode()
    found = find_file(absolute, bytes(tree / "files"), directories)
    return os.path.relpath(found.found.path, bytes(tree))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("@/files/one", b"files/one"),
        ("@/files/.hidden", b"files/.hidden"),
        ("@/files/sub/../one", b"files/one"),
        ("@/files//./one", b"files/one"),
        ("@/files/inside", b"files/one"),
        ("@/link/one", b"files/one"),
        ("one", b"files/one"),
        ("sub/../one", b"files/one"),
        ("@/files/50%25", b"files/50%25"),
        ("@/files/a%20b", b"files/a b"),
        ("@/files/a b", b"files/a b"),
    ],
)
def test_a_file_below_a_directory_is_found(tree: Path, name: str, file: bytes) -> None:
    assert find(tree, name) == file


def test_the_directories_may_be_links_and_several(tree: Path) -> None:
    assert find(tree, "@/files/one", "other", "link") == b"files/one"
    assert find(tree, "@/other/x", "link", "other") == b"other/x"
    assert find(tree, "@/files/one", "/") == b"files/one"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("@/other/x", "which is not below @/files"),
        ("@/files-too/x", "which is not below @/files"),
        ("@/files/../other/x", "which is not below @/files"),
        ("@/files/%2e%2e/other/x", "which does not exist"),
        ("@/files/outside", "which is not below @/files"),
        ("../other/x", "which is not below @/files"),
        ("/etc/passwd", "which is not below @/files"),
        ("/", "which is not below @/files"),
        ("@/files", "which is not below @/files"),
        ("@/files/sub", "which is a directory"),
        ("@/files/missing", "which does not exist"),
        ("@/files/one/x", "which does not exist"),
        ("@/files/one%00", "which does not exist"),
        ("@/files/fifo", "which is no file that can be sent"),
        ("@/files/loop", "which is no file that can be sent"),
        ("@/files/\x9b", r"\x9b, which does not exist"),
    ],
)
def test_nothing_else_is(tree: Path, name: str, reason: str) -> None:
    with pytest.raises(ProtocolError) as error:
        find(tree, name)
    assert error.value.status == 502
    assert error.value.reason.startswith("X-Sendfile names ")
    assert error.value.reason.endswith(reason.replace("@", str(tree)))


def give(
    loop: SteppedLoop, tree: Path, asked: Request, *headers: tuple[bytes, bytes], status: int = 200
) -> FakeExchange:
    head = CgiHead(status, b"", (KIND, *headers), None, None, b"one")
    found = find_file(b"one", bytes(tree / "files"), (bytes(tree / "files"),))
    exchange = FakeExchange(loop, asked)
    SentFile(head, found, asked).give(exchange)
    return exchange


def tag(tree: Path) -> str:
    mtime = (tree / "files/one").stat().st_mtime_ns
    return f'"{mtime:x}-{len(CONTENT):x}"'


def test_the_whole_file_has_the_program_s_headers_and_validators(
    loop: SteppedLoop, tree: Path
) -> None:
    exchange = give(loop, tree, request("/x"), (b"X-A", b"b"), (b"Content-Range", b"bytes 0-1/2"))
    assert exchange.calls == ["begin 200", "send file", "finish"]
    assert (exchange.body, exchange.length) == (CONTENT, 10)
    assert exchange.headers == [
        KIND,
        (b"X-A", b"b"),
        (b"ETag", tag(tree).encode()),
        (b"Last-Modified", http_date(MODIFIED)),
        (b"Accept-Ranges", b"bytes"),
    ]


@pytest.mark.parametrize(
    ("wanted", "calls", "body"),
    [
        ("bytes=2-4", ["begin 206", "send file", "finish"], b"234"),
        ("bytes=-3", ["begin 206", "send file", "finish"], b"789"),
        ("bytes=8-", ["begin 206", "send file", "finish"], b"89"),
        ("bytes=0-1,8-", ["begin 200", "send file", "finish"], CONTENT),
        ("lines=1-2", ["begin 200", "send file", "finish"], CONTENT),
        ("bytes=10-", ["answer 416"], b""),
    ],
)
def test_a_range_is_heeded(
    loop: SteppedLoop, tree: Path, wanted: str, calls: list[str], body: bytes
) -> None:
    exchange = give(loop, tree, request("/x", f"Range: {wanted}"))
    assert (exchange.calls, exchange.body) == (calls, body)
    if calls[0] == "begin 206":
        start = CONTENT.index(body)
        wanted_range = b"bytes %d-%d/10" % (start, start + len(body) - 1)
        assert (b"Content-Range", wanted_range) in exchange.headers
        assert exchange.length == len(body)
    if calls[0] == "answer 416":
        assert b"Content-Range: bytes */10\r\n" in exchange.response.prefix


@pytest.mark.parametrize("method", ["POST", "HEAD"])
def test_a_range_is_for_get_only(loop: SteppedLoop, tree: Path, method: str) -> None:
    exchange = give(loop, tree, request("/x", "Range: bytes=2-4", method=method))
    assert exchange.calls[0] == "begin 200"
    assert exchange.length == 10


@pytest.mark.parametrize(
    ("method", "condition", "first"),
    [
        ("GET", "If-None-Match: {tag}", "begin 304"),
        ("HEAD", "If-None-Match: {tag}", "begin 304"),
        ("POST", "If-None-Match: {tag}", "begin 200"),
        ("GET", 'If-None-Match: "x"', "begin 200"),
        ("GET", "If-Modified-Since: {date}", "begin 304"),
        ("GET", 'If-Match: "x"', "fail 412"),
        ("GET", 'If-Range: "x"\r\nRange: bytes=0-1', "begin 200"),
        ("GET", "If-Range: {tag}\r\nRange: bytes=0-1", "begin 206"),
    ],
)
def test_preconditions_are_heeded(
    loop: SteppedLoop, tree: Path, method: str, condition: str, first: str
) -> None:
    header = condition.format(tag=tag(tree), date=http_date(MODIFIED).decode())
    exchange = give(loop, tree, request("/x", header, method=method), (b"Set-Cookie", b"a"))
    assert exchange.calls[0] == first
    if first == "begin 304":
        assert [name for name, _ in exchange.headers] == [b"Set-Cookie", b"ETag", b"Last-Modified"]
        assert exchange.calls == ["begin 304", "finish"]


def test_validators_of_the_program_take_the_place_of_the_file_s(
    loop: SteppedLoop, tree: Path
) -> None:
    own = ((b"etag", b'"mine"'), (b"last-modified", http_date(MODIFIED + 5)))
    exchange = give(loop, tree, request("/x"), *own)
    assert exchange.headers[1:3] == list(own)
    assert len(exchange.headers) == 4
    assert give(loop, tree, request("/x", 'If-None-Match: "mine"'), *own).calls[0] == "begin 304"
    since = f"If-Modified-Since: {http_date(MODIFIED + 4).decode()}"
    assert give(loop, tree, request("/x", since), *own).calls[0] == "begin 200"


@pytest.mark.parametrize(("status", "begun"), [(404, "begin 404"), (206, "begin 206")])
def test_another_status_is_the_program_s(
    loop: SteppedLoop, tree: Path, status: int, begun: str
) -> None:
    exchange = give(loop, tree, request("/x", "Range: bytes=2-4"), status=status)
    assert exchange.calls[0] == begun
    assert exchange.body == (CONTENT if status == 404 else b"234")


def test_an_empty_file_is_an_empty_body(loop: SteppedLoop, tree: Path) -> None:
    (tree / "files/one").write_bytes(b"")
    exchange = give(loop, tree, request("/x"))
    assert (exchange.calls, exchange.length) == (["begin 200", "finish"], 0)


def test_a_file_that_is_replaced_meanwhile_is_not_sent(tree: Path) -> None:
    found = find_file(b"one", bytes(tree / "files"), (bytes(tree / "files"),))
    (tree / "files/new").symlink_to("/etc/passwd")
    (tree / "files/new").replace(tree / "files/one")
    head = CgiHead(200, b"", (KIND,), None, None, b"one")
    with pytest.raises(ProtocolError, match="which cannot be opened"):
        SentFile(head, found, request("/x"))
