"""What lies below a static root, whatever links say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from forkd.handlers.files import Follow, Found, Refusal, locate, open_checked


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


@pytest.mark.usefixtures("no_descriptor_leaks")
@pytest.mark.parametrize(
    ("path", "of_all", "of_none"),
    [
        (b"/file", True, True),
        (b"/", True, True),
        (b"/dir/", True, True),
        (b"/dir/inner", True, True),
        (b"/link", True, False),
        (b"/linked-dir/inner", True, False),
        (b"/self/file", True, False),
        (b"/escape", True, False),
        (b"/escape-dir/secret", True, False),
        (b"/nowhere", False, False),
        (b"/loop", False, False),
        (b"/fifo", False, False),
        (b"/file/", False, False),
        (b"/file/x", False, False),
    ],
)
def test_all_links_are_followed_or_none(
    root: bytes, path: bytes, of_all: bool, of_none: bool
) -> None:
    for follow, there in (
        (Follow.ALL, of_all),
        (Follow.OWNER, of_all),  # everything here belongs to one owner
        (Follow.NONE, of_none),
    ):
        result = locate(root, path, follow)
        assert isinstance(result, Found) is there, follow
        if isinstance(result, Found) and not result.is_directory:
            os.close(open_checked(root, result, follow))


@pytest.mark.skipif(os.geteuid() != 0, reason="files of two owners need root")
@pytest.mark.usefixtures("no_descriptor_leaks")
def test_a_link_is_followed_where_its_owner_owns_what_it_leads_to(root: bytes) -> None:
    outside = os.path.dirname(root) + b"/outside"
    os.chown(outside + b"/secret", 1234, -1)
    assert locate(root, b"/escape", Follow.OWNER) is Refusal.NOT_FOUND
    os.chown(root + b"/escape", 1234, -1, follow_symlinks=False)
    found = locate(root, b"/escape", Follow.OWNER)
    assert isinstance(found, Found)
    os.close(open_checked(root, found, Follow.OWNER))
    os.chown(root + b"/escape", 1235, -1, follow_symlinks=False)
    with pytest.raises(FileNotFoundError):
        open_checked(root, found, Follow.OWNER)
    # The link to the directory counts, whoever owns the file in it.
    assert isinstance(locate(root, b"/escape-dir/secret", Follow.OWNER), Found)
    os.chown(outside, 1234, -1)
    assert locate(root, b"/escape-dir/secret", Follow.OWNER) is Refusal.NOT_FOUND


@pytest.mark.parametrize("follow", list(Follow))
def test_a_root_may_be_a_link_whatever_is_followed_below(
    root: bytes, tmp_path: Path, follow: Follow
) -> None:
    assert root.endswith(b"root")
    (tmp_path / "now").symlink_to("root")
    assert isinstance(locate(bytes(tmp_path / "now"), b"/dir/inner", follow), Found)


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
