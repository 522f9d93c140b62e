"""In which directories the names of a path are looked up."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from forkd.system.resolution import is_below, searched

LINKS = {
    "/srv/current": "releases/2",
    "/srv/releases/2/up": "../..",
    "/var/run": "/run",
    "/loop": "loop",
    "/a": "/srv/current/./cgi",
}


def steps(path: str, links: Mapping[str, str] = LINKS) -> list[str]:
    def readlink(entry: str) -> str:
        if entry not in links:
            raise OSError(errno.EINVAL, "")
        return links[entry]

    return list(searched(path, readlink))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", []),
        ("/srv", ["/"]),
        ("//srv/./cgi/", ["/", "/srv"]),
        ("/srv/cgi/../x", ["/", "/srv", "/srv"]),
        ("/../srv", ["/"]),
        ("/srv/current", ["/", "/srv", "/srv", "/srv/releases"]),
        ("/srv/current/cgi", ["/", "/srv", "/srv", "/srv/releases", "/srv/releases/2"]),
        ("/var/run/x", ["/", "/var", "/", "/run"]),
        ("/a", ["/", "/", "/srv", "/srv", "/srv/releases", "/srv/releases/2"]),
    ],
)
def test_each_directory_is_named_with_those_of_links(path: str, expected: list[str]) -> None:
    assert steps(path) == expected


def test_links_that_lead_to_themselves_come_to_an_end() -> None:
    assert set(steps("/loop/x")) == {"/"}


def test_it_ends_where_the_kernel_does(tmp_path: Path) -> None:
    real = tmp_path.resolve()
    (real / "d" / "e").mkdir(parents=True)
    (real / "link").symlink_to("d/../d")
    *_, last = searched(str(real / "link" / "e"))
    assert last == os.path.dirname(os.path.realpath(real / "link" / "e"))


@pytest.mark.parametrize(
    ("path", "directory", "expected"),
    [
        *(("/srv", "/srv", True), ("/srv/x", "/srv", True), ("/srvx", "/srv", False)),
        *(("/", "/srv", False), ("/srv", "/", True), ("/", "/", True)),
    ],
)
def test_what_is_below_is_told_by_whole_names(path: str, directory: str, expected: bool) -> None:
    assert is_below(path, directory) is expected
