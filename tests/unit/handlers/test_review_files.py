"""Static files that change, or cannot be opened, at the worst moment."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from forkd.handlers.files import Found, Refusal, locate, open_checked


def found(root: Path, name: str) -> Found:
    result = locate(os.fsencode(root), name.encode())
    assert isinstance(result, Found)
    return result


def test_a_change_of_rights_is_a_change(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("hello")
    before = found(tmp_path, "/page.html")
    assert before.is_same(os.stat(path))
    path.chmod(0o600)
    assert not before.is_same(os.stat(path))


def test_a_fifo_in_the_place_of_the_file_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    os.mkfifo(path)
    status = os.stat(path)
    old = Found(os.fsencode(path), False, 5, 0, 0, status.st_dev, status.st_ino)
    with pytest.raises(FileNotFoundError):
        open_checked(os.fsencode(tmp_path), old)


def test_without_descriptors_a_file_is_not_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("hello")
    lowest = os.dup(0)
    os.close(lowest)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        refused = locate(os.fsencode(tmp_path), b"/page.html")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert refused is Refusal.UNAVAILABLE
