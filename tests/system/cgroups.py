"""A delegated cgroup for a daemon of the tests, and what is in it.

Root makes one wherever a cgroup v2 is mounted that can be written: the mark of systemd is put on
it, and it is removed afterwards with all that is left.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.daemon import eventually

needs_cgroups = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a cgroup")


class Delegated:
    """Start a daemon in it by its prefix."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def prefix(self) -> Sequence[str]:
        return ("sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "sh")

    def members(self) -> dict[str, set[int]]:
        """Who is in which cgroup: by its path below this one."""
        found: dict[str, set[int]] = {}
        for directory in self.directories():
            try:
                pids = {int(pid) for pid in (directory / "cgroup.procs").read_text().split()}
            except OSError:
                continue  # removed meanwhile
            if pids:
                found[str(directory.relative_to(self.path))] = pids
        return found

    def directories(self) -> list[Path]:
        """All cgroups of it, those inside after those outside."""
        return [self.path, *sorted(Path(name) for name, _, _ in os.walk(self.path))[1:]]

    def where(self, pid: int) -> str:
        """The cgroup of a process, by its path below this one."""
        for path, pids in self.members().items():
            if pid in pids:
                return path
        return "elsewhere"

    def remove(self) -> None:
        """End all that is left, and remove all."""
        (self.path / "cgroup.kill").write_text("1")
        eventually(lambda: not self.members(), "all cgroups are empty")
        for directory in reversed(self.directories()):
            directory.rmdir()


@contextmanager
def delegated(name: str) -> Iterator[Delegated]:
    """A cgroup that the daemon takes for delegated."""
    path = _mount() / f"forkd-{name}-{os.getpid()}"
    path.mkdir()
    given = Delegated(path)
    try:
        os.setxattr(path, "user.delegate", b"1")
        yield given
    finally:
        given.remove()


def _mount() -> Path:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = Path(before.split()[4])
        if after.startswith("cgroup2 ") and os.access(point, os.W_OK):
            return point
    if os.environ.get("CI"):
        pytest.fail("no cgroup v2 is mounted that can be written; CI must have one")
    pytest.skip("no cgroup v2 is mounted that can be written")
