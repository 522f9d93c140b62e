"""Several parts of a file in one answer."""

from __future__ import annotations

import email
from email.message import Message
from pathlib import Path

import pytest

from forkd.handlers.base import Response
from forkd.handlers.byteranges import MOST_IN_PARTS
from forkd.handlers.static_entry import KEPT_SIZE
from tests.unit.handlers.requests import fields, request
from tests.unit.handlers.test_static import body_of, put, static


def parts_of(response: Response) -> list[tuple[str, str, bytes]]:
    """Type, range and content of each part, as a parser of MIME reads them."""
    head = f"Content-Type: {fields(response)['Content-Type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + response.body)
    found = []
    for part in message.get_payload():
        assert isinstance(part, Message)
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        found.append((str(part["Content-Type"]), str(part["Content-Range"]), content))
    return found


def test_each_part_has_its_type_and_its_range(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", "0123456789")
    response = static(tmp_path).answer(request("/a.txt", "Range: bytes=8-8,0-1"))
    assert response.status == 206
    sent = fields(response)
    assert sent["Content-Type"].startswith("multipart/byteranges; boundary=")
    assert sent["Content-Length"] == str(len(response.body)) == str(response.length)
    assert "Content-Range" not in sent
    assert {"ETag", "Last-Modified"} <= set(sent)
    kind = "text/plain; charset=utf-8"
    assert parts_of(response) == [
        (kind, "bytes 8-8/10", b"8"),
        (kind, "bytes 0-1/10", b"01"),
    ]
    assert response.body.startswith(b"--")


def test_ranges_that_come_to_one_are_one_part(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", "0123456789")
    response = static(tmp_path).answer(request("/a.txt", "Range: bytes=0-3,2-5"))
    assert (response.status, response.body) == (206, b"012345")
    assert fields(response)["Content-Range"] == "bytes 0-5/10"


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_small_parts_of_a_large_file_are_read_from_it(tmp_path: Path) -> None:
    put(tmp_path / "large.bin", "".join(chr(65 + n % 26) for n in range(KEPT_SIZE * 2)))
    response = static(tmp_path).answer(request("/large.bin", "Range: bytes=0-2,-2"))
    content = (tmp_path / "large.bin").read_bytes()
    assert response.status == 206
    assert [part for _, _, part in parts_of(response)] == [content[:3], content[-2:]]


@pytest.mark.usefixtures("no_descriptor_leaks")
@pytest.mark.parametrize(("more", "status"), [(0, 206), (1, 200)])
def test_large_parts_of_a_large_file_are_not_gathered_in_memory(
    tmp_path: Path, more: int, status: int
) -> None:
    put(tmp_path / "large.bin", "x" * (MOST_IN_PARTS + 100))
    wanted = f"Range: bytes=0-{MOST_IN_PARTS - 2 + more},{MOST_IN_PARTS + 50}-{MOST_IN_PARTS + 50}"
    response = static(tmp_path).answer(request("/large.bin", wanted))
    assert response.status == status
    if status == 200:
        assert body_of(response) == b"x" * (MOST_IN_PARTS + 100)


def test_several_ranges_heed_if_range(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", "0123456789")
    stale = request("/a.txt", "Range: bytes=0-0,9-9", 'If-Range: "other"')
    assert static(tmp_path).answer(stale).status == 200


def test_several_ranges_behind_the_end_are_416(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", "0123456789")
    response = static(tmp_path).answer(request("/a.txt", "Range: bytes=10-,20-"))
    assert (response.status, fields(response)["Content-Range"]) == (416, "bytes */10")
