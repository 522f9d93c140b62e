"""Children are counted as long as the kernel tells all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from forkd.spawner.census import Census


def test_children_are_counted() -> None:
    census = Census()
    before = next(number for number in range(1000) if census.counts(number))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert census.counts(before + 1)
        assert not census.counts(before)
        process.communicate(b"\n")
    assert census.counts(before)
    census.close()


def test_more_than_the_kernel_tells_at_once_are_not_counted(tmp_path: Path) -> None:
    """A page of numbers is told, whole ones: there may be more."""
    census = Census()
    listing = tmp_path / "children"
    listing.write_text("123456 " * 585)
    assert 4096 - 7 <= listing.stat().st_size <= 4096
    real = os.dup(census._children)
    with listing.open("rb") as file:
        os.dup2(file.fileno(), census._children)
    assert not census.counts(585)
    os.dup2(real, census._children)
    os.close(real)
    census.close()
