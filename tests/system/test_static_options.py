"""Options of static routes, as a client meets them."""

from __future__ import annotations

import gzip
from pathlib import Path

from tests.system.daemon import started
from tests.system.wire import Wire, fetch

TEXT = "abc " * 500


def test_a_fallback_answers_and_the_connection_goes_on(tmp_path: Path) -> None:
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "index.html").write_text("home")
    routes = {
        "/": "{static: html, fallback: /index.html}",
        "/lost/": "{static: html, fallback: /lost/none}",
    }
    with started(tmp_path, routes, workers="{count: 1}") as daemon, Wire(daemon.port) as wire:
        assert wire.get("/none?x").text == "home"
        head = wire.get("/none", method="HEAD")
        assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "4")
        assert wire.get("/lost/x").status == 404
        assert wire.get("/none", method="POST").status == 405


def test_text_is_compressed_and_ranges_come_in_parts(tmp_path: Path) -> None:
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "text.txt").write_text(TEXT)
    routes = {"/": "{static: html, compress: true, cache_control: max-age=5}"}
    with started(tmp_path, routes, workers="{count: 1}") as daemon:
        packed = fetch(daemon.port, "/text.txt", "Accept-Encoding: gzip")
        assert gzip.decompress(packed.body).decode() == TEXT
        assert packed.headers["cache-control"] == "max-age=5"
        parts = fetch(daemon.port, "/text.txt", "Range: bytes=0-1,9-10")
        assert (parts.status, parts.body.count(b"Content-Range: ")) == (206, 2)
        assert int(parts.headers["content-length"]) == len(parts.body)
