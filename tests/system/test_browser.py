"""The demo site in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.system.chromium import screenshot, visit
from tests.system.daemon import REPOSITORY, Daemon, eventually, started
from tests.system.pages import Page

ROUTES = {
    "/": f"{{static: {REPOSITORY}/html, listing: true}}",
    "/hello": '{respond: "hello\\n"}',
    "/cgi-bin/": f"{{cgi: {REPOSITORY}/cgi-bin}}",
}

BROKEN = "<!doctype html><title>broken</title><script>oh()</script>"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("browser")
    (directory / "broken").mkdir()
    (directory / "broken" / "index.html").write_text(BROKEN)
    with started(directory, ROUTES | {"/broken/": "{static: broken}"}) as running:
        yield running


def test_the_start_page_opens_without_a_complaint(daemon: Daemon, tmp_path: Path) -> None:
    found = visit(f"{daemon.url}/", tmp_path)
    page = Page("<!doctype html>" + found.document.removeprefix("<!DOCTYPE html>"))
    assert page.title == "forkd is running"
    assert "The server answers.<br>The rest is yours." in found.document
    assert found.console == []
    # The browser fetched its parts too. What it does not find is not in its console.
    parts = [f'"GET {part} HTTP/1.1" 200 ' for part in ("/style.css", "/logo.svg")]
    eventually(lambda: all(part in daemon.access_log for part in parts), "the parts are fetched")
    assert '" 404 ' not in daemon.access_log


def test_the_listing_opens_without_a_complaint(daemon: Daemon, tmp_path: Path) -> None:
    found = visit(f"{daemon.url}/files/", tmp_path)
    assert found.console == []
    url = f"{daemon.url}/files/"
    links = {urljoin(url, target) for _, target in Page(found.document).links}
    for path in (
        "files/offsets.txt",
        "files/more/",
        "files/Gr%C3%BC%C3%9Fe,%20%E4%B8%96%E7%95%8C.txt",
    ):
        assert f"{daemon.url}/{path}" in links
    assert "Grüße, 世界.txt" in found.document


def test_a_program_and_a_text_open_without_a_complaint(daemon: Daemon, tmp_path: Path) -> None:
    for path, text in (("/cgi-bin/env.sh?x=1", "QUERY_STRING"), ("/hello", "hello")):
        found = visit(daemon.url + path, tmp_path)
        assert text in found.document
        assert found.console == []


def test_a_complaint_of_the_browser_would_be_seen(daemon: Daemon, tmp_path: Path) -> None:
    [line] = visit(f"{daemon.url}/broken/", tmp_path).console
    assert "oh is not defined" in line


def test_pages_have_something_to_look_at(daemon: Daemon, tmp_path: Path) -> None:
    blank = screenshot("about:blank", tmp_path / "profile", tmp_path / "blank.png")
    for number, path in enumerate(("/", "/files/")):
        picture = tmp_path / f"page-{number}.png"
        shot = screenshot(daemon.url + path, tmp_path / "profile", picture)
        assert shot.startswith(b"\x89PNG")
        assert len(shot) > 4 * len(blank)
