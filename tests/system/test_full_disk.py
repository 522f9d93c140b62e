"""Reloads on a disk that is full: what needs no room works, and what needs some changes nothing.

The disk is a small one in memory, which only the daemon sees.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
import requests

from tests.system.daemon import Daemon, started, write_config
from tests.system.processes import pids
from tests.system.sites import ROUTES, make_site
from tests.system.tools import need

FULL = "No space left on device"
_ROOT = () if os.geteuid() == 0 else ("--user", "--map-root-user")
MOUNT = 'mount -t tmpfs -o size=64k,nr_inodes=16 tmpfs "$0" && exec "$@"'


class Disk:
    """The small disk as it is for the daemon."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def fill(self) -> None:
        """Until there is room for no byte and for no name."""
        with (
            open(self.root / "filler", "wb", 0) as file,
            pytest.raises(OSError, match=FULL),
        ):
            _take_all(lambda: file.write(bytes(4096)))
        numbers = count()
        with pytest.raises(OSError, match=FULL):
            _take_all(lambda: (self.root / f"empty{next(numbers)}").touch())

    def clear(self) -> None:
        for path in self.root.iterdir():
            if path.name.startswith(("filler", "empty")):
                path.unlink()

    def names(self) -> set[str]:
        return {path.name for path in self.root.iterdir()}


def _take_all(take: Callable[[], object]) -> None:
    for _ in range(100):
        take()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Daemon, Disk]]:
    """A daemon whose logs are on the small disk."""
    small = tmp_path / "small"
    small.mkdir()
    prefix = (need("unshare"), *_ROOT, "--mount", "sh", "-c", MOUNT, str(small))
    tried = subprocess.run([*prefix, "true"], capture_output=True, text=True)
    if tried.returncode != 0 and "CI" not in os.environ:
        pytest.skip(f"no file system of its own: {tried.stderr.strip()}")
    make_site(tmp_path)
    path = write_config(tmp_path, ROUTES)
    path.write_text(path.read_text().replace("file: ", "file: small/"))
    with started(tmp_path, prefix=prefix) as daemon:
        disk = Disk(Path(f"/proc/{daemon.pid}/root{small}"))
        assert disk.names() == {"access.log", "error.log"}
        yield daemon, disk
        assert "Traceback" not in (disk.root / "error.log").read_text()


def ask(daemon: Daemon) -> None:
    for target, text in (("/hello", "hello\n"), ("/cgi-bin/hi.sh", "hi\n")):
        assert requests.get(daemon.url + target, timeout=10).text == text


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("small/access.log", "small/other.log", "cannot open the log file {disk}/other.log"),
        ("small/error.log", "small/other.log", "cannot open the log file {disk}/other.log"),
        (
            "listen: 127.0.0.1:0",
            'listen: ["127.0.0.1:0", "unix:{disk}/other.sock"]',
            "cannot listen on unix:{disk}/other.sock",
        ),
    ],
    ids=["access log", "error log", "listener"],
)
def test_a_reload_that_finds_no_room_says_so_and_leaves_all_as_it_was(
    site: tuple[Daemon, Disk], old: str, new: str, reason: str
) -> None:
    daemon, disk = site
    place = str(daemon.directory / "small")
    good = daemon.config.read_text()
    changed = good.replace(old, new.replace("{disk}", place))
    assert changed != good
    disk.fill()
    before, names = pids(daemon), disk.names()
    daemon.config.write_text(changed)
    result = daemon.command("reload", "--wait")
    assert (result.returncode, result.stdout) == (1, "")
    assert reason.replace("{disk}", place) in result.stderr
    assert FULL in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert pids(daemon) == before
    status = daemon.status()
    assert (status["state"], status["generation"]) == ("running", 1)
    assert FULL in status["last_reload"]["reasons"][0]
    ask(daemon)
    assert disk.names() == names
    disk.clear()
    assert daemon.command("reload", "--wait").returncode == 0, "there is room now"
    assert daemon.status()["generation"] == 2
    ask(daemon)


def test_a_reload_that_needs_no_room_succeeds(site: tuple[Daemon, Disk]) -> None:
    daemon, disk = site
    disk.fill()
    before, names = pids(daemon), disk.names()
    daemon.config.write_text(daemon.config.read_text().replace("hello", "hallo"))
    result = daemon.command("reload", "--wait")
    assert (result.returncode, result.stderr) == (0, "")
    assert not pids(daemon) & before
    for _ in range(100):
        assert requests.get(f"{daemon.url}/hallo", timeout=10).text == "hallo\n"
    assert disk.names() == names
    assert daemon.status()["deaths"] == []
