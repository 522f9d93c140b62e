"""Static files that are links, that may not be read, or that change while they are served."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.system.daemon import Daemon, eventually, started
from tests.system.wire import Wire, fetch, request

LARGE = 32 << 20


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    (tmp_path / "html").mkdir()
    (tmp_path / "secret").write_text("secret")
    with started(tmp_path, {"/": "{static: html}"}, workers="{count: 1}") as running:
        yield running


def test_links_are_followed_as_long_as_they_stay_inside(daemon: Daemon) -> None:
    html = daemon.directory / "html"
    (html / "dir").mkdir()
    (html / "dir" / "file").write_text("inside")
    links = {
        "relative": ("dir/file", 200),
        "absolute": (str(html / "dir" / "file"), 200),
        "outside": ("../secret", 404),
        "absolute-outside": (str(daemon.directory / "secret"), 404),
        "dangling": ("nothing", 404),
        "loop": ("loop", 404),
        "through": ("relative", 200),
    }
    for name, (target, _) in links.items():
        (html / name).symlink_to(target)
    (html / "up").symlink_to("..")
    found = {name: fetch(daemon.port, f"/{name}") for name in links}
    assert {name: answer.status for name, answer in found.items()} == {
        name: status for name, (_, status) in links.items()
    }
    assert all(answer.text == "inside" for answer in found.values() if answer.status == 200)
    assert fetch(daemon.port, "/up/secret").status == 404
    assert fetch(daemon.port, "/up/").status == 404
    # A sibling whose name begins like the root's is not below it.
    (daemon.directory / "html-private").write_text("secret")
    (html / "sibling").symlink_to("../html-private")
    assert fetch(daemon.port, "/sibling").status == 404


def test_a_link_that_is_bent_outwards_is_no_longer_served(daemon: Daemon) -> None:
    html = daemon.directory / "html"
    (html / "file").write_text("inside")
    (html / "link").symlink_to("file")
    assert fetch(daemon.port, "/link").text == "inside"
    (html / "new").symlink_to("../secret")
    (html / "new").rename(html / "link")
    eventually(lambda: fetch(daemon.port, "/link").status == 404, "the link is refused", 3)


def test_a_deploy_that_switches_the_root_is_seen_within_a_second(tmp_path: Path) -> None:
    for release in ("1", "2"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "index.html").write_text(f"release {release}")
    (tmp_path / "current").symlink_to("1")
    with started(tmp_path, {"/": "{static: current}"}, workers="{count: 1}") as daemon:
        assert fetch(daemon.port, "/").text == "release 1"
        (tmp_path / "next").symlink_to("2")
        (tmp_path / "next").rename(tmp_path / "current")
        eventually(lambda: fetch(daemon.port, "/").text == "release 2", "the new release", 3)
        shutil.rmtree(tmp_path / "1")
        assert fetch(daemon.port, "/index.html").text == "release 2"


def test_a_file_that_changes_is_served_anew_within_a_second(daemon: Daemon) -> None:
    file = daemon.directory / "html" / "file"
    file.write_text("first")
    before = fetch(daemon.port, "/file")
    assert before.text == "first"
    changes: list[tuple[str, Callable[[], object]]] = [
        ("replaced", lambda: _replace(file, "another text")),
        ("truncated", lambda: os.truncate(file, 3)),
        ("as long as before, written in place", lambda: file.write_text("ANO")),
    ]
    for what, change in changes:
        change()
        wanted = file.read_bytes()
        eventually(partial(_is_served, daemon, wanted), what, 3)
    assert fetch(daemon.port, "/file").headers["etag"] != before.headers["etag"]
    file.unlink()
    eventually(lambda: fetch(daemon.port, "/file").status == 404, "the file is gone", 3)
    file.write_text("back")
    eventually(lambda: fetch(daemon.port, "/file").status == 200, "the file is back", 3)


def _is_served(daemon: Daemon, wanted: bytes) -> bool:
    return fetch(daemon.port, "/file").body == wanted


def _replace(file: Path, text: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(text)
    new.rename(file)


def test_a_large_file_that_is_replaced_while_it_is_sent_arrives_as_it_was(daemon: Daemon) -> None:
    file = daemon.directory / "html" / "large"
    file.write_bytes(b"a" * LARGE)
    with Wire(daemon.port, receive_buffer=4096) as wire:
        wire.send(request("/large"))
        wire.head()
        new = file.with_suffix(".new")
        new.write_bytes(b"b" * LARGE)
        new.rename(file)
        assert fetch(daemon.port, "/large").body == b"b" * LARGE
        assert wire.exactly(LARGE) == b"a" * LARGE


def test_a_file_that_shrinks_while_it_is_sent_breaks_the_connection(daemon: Daemon) -> None:
    file = daemon.directory / "html" / "large"
    file.write_bytes(b"a" * LARGE)
    with Wire(daemon.port, receive_buffer=4096) as wire:
        wire.send(request("/large"))
        assert int(wire.head().headers["content-length"]) == LARGE
        os.truncate(file, 1000)
        with pytest.raises(ConnectionError):
            wire.exactly(LARGE)
    assert fetch(daemon.port, "/large").body == b"a" * 1000


@contextmanager
def public_directory() -> Iterator[Path]:
    """A directory that every user may read, which those of pytest are not."""
    path = Path(tempfile.mkdtemp(prefix="forkd-test-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def test_what_the_worker_may_not_read_is_forbidden() -> None:
    top = "user: www-data" if os.geteuid() == 0 else ""
    with public_directory() as directory:
        html = directory / "html"
        (html / "closed").mkdir(parents=True)
        (html / "file").write_text("text")
        (html / "closed" / "file").write_text("text")
        routes = {"/": "{static: html, listing: true}"}
        with started(directory, routes, workers="{count: 1}", top=top) as daemon:
            assert fetch(daemon.port, "/file").status == 200
            (html / "file").chmod(0)
            (html / "closed").chmod(0)
            try:
                eventually(lambda: fetch(daemon.port, "/file").status == 403, "forbidden", 3)
                assert fetch(daemon.port, "/closed/file").status == 403
                assert fetch(daemon.port, "/closed/").status == 403
            finally:
                (html / "closed").chmod(0o755)
