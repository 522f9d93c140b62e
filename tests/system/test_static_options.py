"""Options of static routes, as a client meets them."""

from __future__ import annotations

import gzip
from pathlib import Path

from tests.system.daemon import started
from tests.system.wire import Wire, fetch, request

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


CONTROLLER = """\
#!/bin/sh
printf 'Content-Type: text/plain\\n\\n%s %s %s %s ' \
    "$REQUEST_METHOD" "$REQUEST_URI" "$SCRIPT_NAME" "$QUERY_STRING"
cat
"""


def test_a_front_controller_is_told_what_was_asked_for(tmp_path: Path) -> None:
    """Methods, bodies and the target are those of the client; its source is never shown."""
    html = tmp_path / "html"
    (html / "sub").mkdir(parents=True)
    for script in (html / "index.cgi", html / "sub" / "index.cgi"):
        script.write_text(CONTROLLER)
        script.chmod(0o755)
    (html / "file.txt").write_text("a file")
    routes = {
        "/": "{static: html, index: [index.cgi], fallback: /index.cgi}",
        "*.cgi": "{cgi: html}",
    }
    body = b"x" * 100_000
    with started(tmp_path, routes, workers="{count: 1}") as daemon, Wire(daemon.port) as wire:
        assert wire.get("/file.txt").text == "a file"
        assert wire.get("/a/post?id=7").text == "GET /a/post?id=7 /index.cgi id=7 "
        assert wire.get("/?x").text == "GET /?x /index.cgi x "
        assert wire.get("/sub/").text == "GET /sub/ /sub/index.cgi  "
        assert wire.get("/a/post", method="DELETE").text == "DELETE /a/post /index.cgi  "
        for framing in ("Content-Length: 100000", "Transfer-Encoding: chunked"):
            sent = body if "Length" in framing else b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            wire.send(request("/a/post?y", framing, method="POST") + sent)
            assert wire.answer("POST").body == b"POST /a/post?y /index.cgi y " + body
        answer = wire.get("/file.txt", method="POST")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_a_fallback_and_an_index_stay_on_their_site_and_lead_nowhere_in_circles(
    tmp_path: Path,
) -> None:
    """Sites by name: of an absolute target the Host does not count (RFC 9112 3.2.2)."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text(name)
    site = "{{host: {0}.example, routes: {{/: {{static: {0}, fallback: /index.html}}, {1}}}}}"
    more = "/index.html: {redirect: /}"
    sites = ", ".join([site.format("one", "/x: {respond: x}"), site.format("two", more)])
    (tmp_path / "forkd.yaml").write_text(
        f"root: {tmp_path}\ncontrol: control.sock\nlisten: 127.0.0.1:0\n"
        f"log: {{error: {{file: error.log}}}}\nsites: [{sites}]\n"
    )
    with started(tmp_path) as daemon, Wire(daemon.port) as wire:
        wire.send(b"GET http://one.example/none HTTP/1.1\r\nHost: two.example\r\n\r\n")
        assert wire.answer().text == "one"
        wire.send(b"GET / HTTP/1.1\r\nHost: two.example\r\n\r\n")
        assert wire.answer().text == "two", "a redirect of /index.html to / is no program"


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
