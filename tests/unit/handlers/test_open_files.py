"""Files that stay open while they are in demand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest

from forkd.handlers.open_files import KEPT_S, MOST_KEPT, OpenFiles
from forkd.loop.timers import NEVER, Wheel


class Kept:
    """OpenFiles of a directory, and how often each file was opened."""

    def __init__(self, directory: Path) -> None:
        self.wheel = Wheel()
        self.files = OpenFiles(self.wheel)
        self.opened: list[int] = []
        self._directory = directory
        self._looks = 0

    def take(self, number: int) -> int:
        """Ask for a file as one response does; its descriptor."""

        def open_it() -> int:
            self.opened.append(number)
            return os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC)

        file = self.files.take((0, number), open_it)
        try:
            return file.fd
        finally:
            file.release()

    def look(self) -> None:
        self._looks += 1
        self.wheel.fire(monotonic() + self._looks * (KEPT_S + 0.2))


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def is_open(fd: int) -> bool:
    return os.path.exists(f"/proc/self/fd/{fd}")


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_a_file_in_demand_is_opened_once_and_one_that_is_not_is_closed(kept: Kept) -> None:
    wanted, other = kept.take(1), kept.take(2)
    for _ in range(5):
        kept.look()
        assert kept.take(1) == wanted
    assert kept.opened == [1, 2]
    assert not is_open(other)
    kept.look()
    kept.look()
    assert not is_open(wanted)
    assert kept.wheel.next_due == NEVER, "nothing is kept, so that nothing has to be looked at"
    kept.take(1)
    assert kept.opened == [1, 2, 1]
    kept.files.close()


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_who_still_sends_a_file_keeps_it(kept: Kept, tmp_path: Path) -> None:
    file = kept.files.take((0, 1), lambda: os.open(tmp_path, os.O_RDONLY | os.O_CLOEXEC))
    kept.files.close()
    assert is_open(file.fd)
    file.release()


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_only_so_many_are_kept(kept: Kept) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(MOST_KEPT * 2 + 1):
        kept.take(number)
        assert len(os.listdir("/proc/self/fd")) - before <= MOST_KEPT
    kept.files.close()


@pytest.mark.usefixtures("no_descriptor_leaks")
@pytest.mark.parametrize("error", [FileNotFoundError, PermissionError])
def test_what_cannot_be_opened_is_not_kept(kept: Kept, error: type[OSError]) -> None:
    def refuse() -> int:
        raise error

    opens: Callable[[], int] = refuse
    with pytest.raises(error):
        kept.files.take((0, 1), opens)
    kept.take(1)
    kept.files.close()
