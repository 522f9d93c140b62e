"""What lies below a static root, whatever links say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from forkd.handlers.files import Found, Refusal, locate, open_checked


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (tmp_path / "rootbeer").mkdir()
    (tmp_path / "rootbeer" / "file").write_text("a neighbour")
    root = tmp_path / "root"
    (root / "dir").mkdir(parents=True)
    (root / "file").write_text("content")
    (root / "dir" / "inner").write_text("inner")
    (root / "link").symlink_to("file")
    (root / "dir" / "up").symlink_to("../file")
    (root / "linked-dir").symlink_to("dir")
    (root / "absolute").symlink_to(root / "file")
    (root / "escape").symlink_to(outside / "secret")
    (root / "escape-dir").symlink_to(outside)
    (root / "neighbour").symlink_to(tmp_path / "rootbeer" / "file")
    (root / "self").symlink_to(root)
    (root / "loop").symlink_to("loop")
    (root / "nowhere").symlink_to("none")
    os.mkfifo(root / "fifo")
    return bytes(root)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (b"/file", "file"),
        (b"/", "directory"),
        (b"/dir", "directory"),
        (b"/dir/", "directory"),
        (b"/dir/inner", "file"),
        (b"/link", "file"),
        (b"/dir/up", "file"),
        (b"/absolute", "file"),
        (b"/linked-dir/inner", "file"),
        (b"/self/file", "file"),
        (b"/self", "directory"),
        (b"/none", Refusal.NOT_FOUND),
        (b"/file/", Refusal.NOT_FOUND),
        (b"/file/x", Refusal.NOT_FOUND),
        (b"/escape", Refusal.NOT_FOUND),
        (b"/escape-dir", Refusal.NOT_FOUND),
        (b"/escape-dir/secret", Refusal.NOT_FOUND),
        (b"/neighbour", Refusal.NOT_FOUND),
        (b"/loop", Refusal.NOT_FOUND),
        (b"/nowhere", Refusal.NOT_FOUND),
        (b"/fifo", Refusal.NOT_FOUND),
        (b"/" + b"x" * 300, Refusal.NOT_FOUND),
    ],
)
def test_only_what_is_below_the_root_is_found(
    root: bytes, path: bytes, found: str | Refusal
) -> None:
    result = locate(root, path)
    if isinstance(found, Refusal):
        assert result is found
    else:
        assert isinstance(result, Found)
        assert result.is_directory == (found == "directory")


@pytest.mark.usefixtures("root")
def test_a_root_that_is_a_link_itself_is_followed(tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("root")
    found = locate(bytes(tmp_path / "current"), b"/link")
    assert isinstance(found, Found)
    assert found.size == len("content")


def test_a_root_that_is_one_file_is_found_with_an_empty_path(root: bytes) -> None:
    found = locate(root + b"/file", b"")
    assert isinstance(found, Found)
    assert not found.is_directory


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_what_was_found_is_opened(root: bytes) -> None:
    for path in (b"/file", b"/link", b"/self/dir/up"):
        found = locate(root, path)
        assert isinstance(found, Found)
        descriptor = open_checked(root, found)
        assert os.read(descriptor, 100) == b"content"
        assert not os.get_inheritable(descriptor)
        os.close(descriptor)


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_a_file_that_was_swapped_for_a_link_out_is_not_opened(root: bytes, tmp_path: Path) -> None:
    found = locate(root, b"/file")
    assert isinstance(found, Found)
    os.unlink(root + b"/file")
    os.symlink(bytes(tmp_path / "outside" / "secret"), root + b"/file")
    with pytest.raises(FileNotFoundError):
        open_checked(root, found)


def test_a_file_that_was_replaced_is_not_what_was_found(root: bytes) -> None:
    found = locate(root, b"/file")
    assert isinstance(found, Found)
    with open(root + b"/new", "wb") as new:
        new.write(b"replaced")
    os.replace(root + b"/new", root + b"/file")
    with pytest.raises(FileNotFoundError):
        open_checked(root, found)
