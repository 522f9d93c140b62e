"""Sources that are looked at while somebody works on them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from forkd.worker.watch import LOOK_EVERY_S, SourceWatch, imported_sources
from tests.unit.stepped import SteppedLoop


def touch(path: Path, mtime: int) -> str:
    path.touch()
    os.utime(path, (mtime, mtime))
    return str(path)


def test_each_change_is_told_once(tmp_path: Path, loop: SteppedLoop) -> None:
    one, other = touch(tmp_path / "a.py", 1), touch(tmp_path / "b.py", 1)
    sources, told = [one, other], list[str]()
    SourceWatch(loop, told.append, lambda: sources)
    changes: list[tuple[Callable[[], object], list[str]]] = [
        (lambda: None, []),
        (lambda: touch(tmp_path / "a.py", 2), [one]),
        (lambda: (tmp_path / "b.py").unlink(), [other]),
        (lambda: touch(tmp_path / "b.py", 3), [other]),
        (lambda: sources.append(touch(tmp_path / "c.py", 1)), []),
        (lambda: touch(tmp_path / "c.py", 2), [str(tmp_path / "c.py")]),
        (sources.clear, []),
        (lambda: touch(tmp_path / "a.py", 9), [one]),
    ]
    for change, expected in changes:
        change()
        for _ in range(3):
            loop.pass_time(LOOK_EVERY_S + 0.1)
        assert told == expected
        told.clear()


def test_what_is_installed_is_not_looked_at() -> None:
    sources = imported_sources()
    assert __file__ in sources
    assert os.__file__ not in sources
    assert not [path for path in sources if "site-packages" in path]
