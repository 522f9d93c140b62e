"""The daemon comes up, answers, and goes."""

from __future__ import annotations

from pathlib import Path

import requests

from tests.system.daemon import started


def test_a_file_a_text_and_a_listing_are_served(tmp_path: Path) -> None:
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "page.html").write_text("<p>hello</p>")
    routes = {"/": "{static: html, listing: true}", "/hello": '{respond: "hi\\n"}'}
    with started(tmp_path, routes) as daemon:
        assert requests.get(f"{daemon.url}/page.html", timeout=10).text == "<p>hello</p>"
        assert requests.get(f"{daemon.url}/hello", timeout=10).text == "hi\n"
        assert "page.html" in requests.get(f"{daemon.url}/", timeout=10).text
        assert daemon.stop() == 0
    assert daemon.access_log.count('" 200 ') == 3
