"""The PID file."""

from __future__ import annotations

from pathlib import Path

import pytest

from forkd.errors import OperationError
from forkd.master.pidfile import remove_pid_file, write_pid_file


def test_it_holds_the_number_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "forkd.pid"
    write_pid_file(path, 4711)
    write_pid_file(path, 4712)
    assert path.read_text() == "4712\n"
    assert list(tmp_path.iterdir()) == [path]


def test_only_our_own_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "forkd.pid"
    write_pid_file(path, 4711)
    remove_pid_file(path, 471)
    assert path.exists()
    remove_pid_file(path, 4711)
    assert not path.exists()
    remove_pid_file(path, 4711)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match=f"make the directory {tmp_path}/none"):
        write_pid_file(tmp_path / "none" / "forkd.pid", 1)
