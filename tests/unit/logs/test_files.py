"""Log files keep their descriptors' numbers, whatever becomes of the files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from forkd.errors import OperationError
from forkd.logs.files import LogFiles, write_whole


@pytest.fixture
def files() -> Iterator[LogFiles]:
    opened = LogFiles()
    yield opened
    opened.keep_only(set())


def test_the_standard_streams_are_taken_as_they_are(files: LogFiles) -> None:
    assert (files.open("stdout"), files.open("stderr")) == (1, 2)
    assert files.descriptors == set()
    assert files.reopen() == {}


def test_a_path_is_opened_once_for_appending(files: LogFiles, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("before\n")
    number = files.open(path)
    assert files.open(str(path)) == number
    assert files.descriptors == {number}
    assert not os.get_inheritable(number)
    write_whole(number, b"after\n")
    assert path.read_text() == "before\nafter\n"


def test_others_cannot_read_a_log(files: LogFiles, tmp_path: Path) -> None:
    files.open(tmp_path / "a.log")
    assert stat.S_IMODE(os.stat(tmp_path / "a.log").st_mode) & 0o007 == 0


def test_reopening_after_a_rotation_keeps_the_number(files: LogFiles, tmp_path: Path) -> None:
    path, old = tmp_path / "a.log", tmp_path / "a.log.1"
    number = files.open(path)
    other = files.open(tmp_path / "b.log")
    write_whole(number, b"old\n")
    path.rename(old)
    write_whole(number, b"still old\n")
    assert files.reopen() == {str(path): number, str(tmp_path / "b.log"): other}
    write_whole(number, b"new\n")
    assert old.read_text() == "old\nstill old\n"
    assert path.read_text() == "new\n"
    assert not os.get_inheritable(number)


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_reopening_leaks_nothing(tmp_path: Path) -> None:
    files = LogFiles()
    files.open(tmp_path / "a.log")
    for _ in range(5):
        files.reopen()
    files.keep_only(set())


def test_where_reopening_fails_the_old_file_is_written_on(files: LogFiles, tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    number = files.open(directory / "a.log")
    directory.rename(tmp_path / "moved")
    with pytest.raises(OperationError, match=r"a\.log.*make the directory"):
        files.reopen()
    write_whole(number, b"kept\n")
    assert (tmp_path / "moved" / "a.log").read_text() == "kept\n"


def test_a_descriptor_from_the_master_takes_the_old_one_s_place(
    files: LogFiles, tmp_path: Path
) -> None:
    number = files.open(tmp_path / "a.log")
    files.replace(str(tmp_path / "a.log"), os.open(tmp_path / "new", os.O_WRONLY | os.O_CREAT))
    write_whole(number, b"x")
    assert (tmp_path / "new").read_bytes() == b"x"
    assert not os.get_inheritable(number)


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_a_descriptor_for_a_file_that_is_not_ours_is_closed(tmp_path: Path) -> None:
    LogFiles().replace("/not/ours", os.open(tmp_path / "new", os.O_WRONLY | os.O_CREAT))


def test_files_that_are_named_no_more_are_closed(files: LogFiles, tmp_path: Path) -> None:
    gone, kept = files.open(tmp_path / "gone.log"), files.open(tmp_path / "kept.log")
    files.keep_only({str(tmp_path / "kept.log"), "stderr"})
    assert files.descriptors == {kept}
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(gone)


def test_a_directory_that_is_missing_is_named(files: LogFiles, tmp_path: Path) -> None:
    with pytest.raises(OperationError) as caught:
        files.open(tmp_path / "none" / "a.log")
    assert str(tmp_path / "none" / "a.log") in str(caught.value)
    assert f"make the directory {tmp_path / 'none'}" in str(caught.value)


def test_write_whole_goes_on_until_all_is_written() -> None:
    read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        write_whole(write_end, bytes(1 << 20))
    assert len(os.read(read_end, 1 << 20)) == 65536
    os.close(read_end)
    os.close(write_end)
