"""Answers of programs beyond a header and a body: nph-, X-Sendfile, redirects into any route.

And what the access log tells of the programs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.daemon import Daemon, eventually, started, write_config
from tests.system.sites import lock_out, open_to_all
from tests.system.tools import need
from tests.system.wire import Answer, Wire, fetch, request

REPLY = '#!/bin/sh\nexec cat "$REPLIES/$QUERY_STRING"\n'
"""Answers with a file that the test has written, byte for byte."""
BIG = bytes(range(256)) * 8192
"""2 MB."""
WSGI = """\
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    size = len(environ["wsgi.input"].read())
    return [f"{environ['REQUEST_METHOD']} {environ['QUERY_STRING']} {size}".encode()]
"""


class Site:
    """A daemon with the scripts `reply` and `nph-reply`, and the files that they send."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.port = daemon.port
        self.replies = daemon.directory / "replies"
        self._count = 0

    def reply(self, output: bytes) -> str:
        """A query for which the scripts write output."""
        self._count += 1
        name = f"reply-{self._count}"
        (self.replies / name).write_bytes(output)
        return name

    def get(
        self, output: bytes, *headers: str, script: str = "/cgi/reply", method: str = "GET"
    ) -> Answer:
        """The answer when the script writes output, on a connection that is good for another."""
        with Wire(self.port) as wire:
            answer = wire.get(f"{script}?{self.reply(output)}", *headers, method=method)
            assert wire.get("/page.txt").text == "page"
            return answer

    def lines(self, *texts: str) -> list[str]:
        log = self.daemon.error_log.splitlines()
        return [line for line in log if all(text in line for text in texts)]

    def logged(self, target: str) -> dict[str, Any]:
        """The line of the access log for a request that was made once."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            lines = map(json.loads, self.daemon.access_log.splitlines())
            found[:] = [line for line in lines if line["target"] == target]
            return bool(found)

        eventually(is_there, f"a line for {target}")
        (line,) = found
        return line


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("answers")
    for name in ("cgi", "html", "files", "private", "replies", "code"):
        (directory / name).mkdir()
    for name, source in {
        "reply": REPLY,
        "nph-reply": REPLY,
        "dies": "#!/bin/sh\nprintf 'Content-Type: a/b\\n\\nx'\nkill -9 $$\n",
        "fails": "#!/bin/sh\nprintf 'Content-Type: a/b\\n\\nx'\nexit 3\n",
        "works": "#!/bin/sh\nprintf 'Content-Type: a/b\\n\\nx'\n"
        "n=0; while [ $n -lt 30000 ]; do n=$((n + 1)); done\n",
        "lingers": "#!/bin/sh\nprintf 'Content-Type: a/b\\n\\nx'\nexec >&- 2>&- sleep 3\n",
        "locks": "#!/bin/sh\nprintf 'Content-Type: a/b\n\n'\nflock -w 10 0 && echo locked\n",
        "self": "#!/bin/sh\nprintf 'Location: /cgi/self?%s\\n\\n' \"$QUERY_STRING\"\n",
    }.items():
        (directory / "cgi" / name).write_text(source)
        (directory / "cgi" / name).chmod(0o755)
    (directory / "html" / "page.txt").write_text("page")
    (directory / "files" / "big.bin").write_bytes(BIG)
    (directory / "files" / "link").symlink_to("/etc/passwd")
    (directory / "code" / "application.py").write_text(WSGI)
    reply = f"cgi: cgi, env: {{REPLIES: {directory}/replies}}"
    routes = {
        "/": "{static: html}",
        "/cgi/": f"{{{reply}}}",
        "/queued/": f"{{{reply}, max_concurrent: 1}}",
        "/files/": f"{{{reply}, x_sendfile: files}}",
        "/two/": f"{{{reply}, x_sendfile: [files, private], headers: {{add: {{X-R: r}}}}}}",
        "/fixed": "{respond: fixed}",
        "/wsgi": '{wsgi: "application:application", path: code}',
    }
    open_to_all(directory)
    (directory / "private" / "locked").mkdir()
    top = lock_out(directory / "private" / "locked")
    config = write_config(directory, routes, workers="{count: 1}", top=top)
    access = "access: {file: access.log, format: json}"
    config.write_text(config.read_text().replace("access: {file: access.log}", access))
    with started(directory) as daemon:
        yield Site(daemon)
    (directory / "private" / "locked").chmod(0o700)


# Whole responses.


def test_the_bytes_of_an_nph_script_are_what_the_client_gets(site: Site) -> None:
    output = b"HTTP/1.1 299 As I Like It\r\nX-Odd :kept\r\ncontent-LENGTH: 3\r\n\r\nabc"
    query = site.reply(output)
    with Wire(site.port) as wire:
        wire.send(request(f"/cgi/nph-reply?{query}"))
        assert wire.exactly(len(output)) == output
        assert wire.get("/page.txt").text == "page", "the connection goes on"


def test_an_nph_response_without_a_length_ends_with_the_connection(site: Site) -> None:
    output = b"HTTP/1.0 200 OK\nServer: mine\n\nuntil the end"
    with Wire(site.port) as wire:
        wire.send(request(f"/cgi/nph-reply?{site.reply(output)}"))
        assert wire.rest() == output


def test_head_of_an_nph_script_sends_no_body(site: Site) -> None:
    output = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    answer = site.get(output, script="/cgi/nph-reply", method="HEAD")
    assert (answer.status, answer.headers["content-length"]) == (200, "3")


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (b"Content-Type: text/plain\n\nbody", "the script wrote what is no response of HTTP/1"),
        (b"", "the script wrote no response (exit status 0)"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "the script wrote a line without a colon"),
    ],
)
def test_an_nph_script_that_writes_no_response_is_502(
    site: Site, output: bytes, reason: str
) -> None:
    assert site.get(output, script="/cgi/nph-reply").status == 502
    assert site.lines("cgi 502: ", reason, "/cgi/nph-reply", "id=")


# X-Sendfile.


def sendfile(path: object, *more: str) -> bytes:
    return "\n".join([f"X-Sendfile: {path}", "Content-Type: a/b", *more, "", "unread"]).encode()


def test_a_file_is_sent_in_the_body_s_place(site: Site) -> None:
    path = site.daemon.directory / "files" / "big.bin"
    output = sendfile(path, "X-A: b", "Content-Length: 6")
    answer = site.get(output, script="/files/reply")
    assert answer.body == BIG
    assert answer.headers["content-length"] == str(len(BIG))
    assert (answer.headers["content-type"], answer.headers["x-a"]) == ("a/b", "b")
    assert "x-sendfile" not in answer.headers
    assert site.get(output, script="/two/reply").headers["x-r"] == "r"
    head = site.get(output, script="/files/reply", method="HEAD")
    assert head.headers["content-length"] == str(len(BIG))


def test_such_a_file_has_ranges_and_conditions(site: Site) -> None:
    output = sendfile(site.daemon.directory / "files" / "big.bin")
    part = site.get(output, "Range: bytes=1000-1999", script="/files/reply")
    assert (part.status, part.body) == (206, BIG[1000:2000])
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(BIG)}"
    same = f"If-None-Match: {part.headers['etag']}"
    assert site.get(output, same, script="/files/reply").status == 304
    assert site.get(output, f"Range: bytes={len(BIG)}-", script="/files/reply").status == 416


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/etc/passwd", "which is not below {}/files"),
        ("{}/files/link", "which is not below {}/files"),
        ("{}/files/../cgi/reply", "which is not below {}/files"),
        ("{}/files/missing", "which does not exist"),
        ("{}/files", "which is not below {}/files"),
    ],
)
def test_no_other_file_can_be_had(site: Site, path: str, reason: str) -> None:
    path, reason = (text.replace("{}", str(site.daemon.directory)) for text in (path, reason))
    answer = site.get(sendfile(path), script="/files/reply")
    assert answer.status == 502
    assert b"unread" not in answer.body
    assert path.encode() not in answer.body
    assert site.lines(f"cgi 502: X-Sendfile names {path}, {reason}", "id=")


def test_who_may_not_read_the_file_is_told(site: Site) -> None:
    path = site.daemon.directory / "private" / "locked" / "x"
    assert site.get(sendfile(path), script="/two/reply").status == 502
    (line,) = site.lines("cgi 502: ", str(path))
    assert re.search(r"which user \S+ may not read", line)


def test_without_directories_x_sendfile_never_reaches_the_client(site: Site) -> None:
    answer = site.get(sendfile("/etc/passwd"))
    assert (answer.status, answer.text) == (200, "unread")
    assert "x-sendfile" not in answer.headers
    assert site.lines("X-Sendfile is dropped, since the route has no x_sendfile", "id=")
    assert site.get(sendfile("/etc/passwd").removesuffix(b"unread")).status == 502


# Local redirects.


def location(target: str) -> bytes:
    return f"Location: {target}\n\nunread".encode()


@pytest.mark.parametrize(
    ("target", "status", "text"),
    [
        ("/page.txt", 200, "page"),
        ("/page.txt?x=1", 200, "page"),
        ("/fixed", 200, "fixed"),
        ("/wsgi?a=%20b", 200, "GET a=%20b 0"),
        ("//page.txt", 200, "page"),
        ("/../page.txt", 502, None),
        ("/%2e%2e/etc/passwd", 502, None),
        ("//example.org/x", 404, None),
        ("/a b", 502, None),
        ("/page.txt#top", 502, None),
    ],
)
def test_a_local_location_leads_to_any_route(
    site: Site, target: str, status: int, text: str | None
) -> None:
    query = site.reply(location(target))
    with Wire(site.port) as wire:
        # What is left of the body is nobody's, and method and length are not passed on.
        wire.send(request(f"/cgi/reply?{query}", method="POST", body=b"x" * 1000))
        answer = wire.answer()
        assert answer.status == status
        assert "location" not in answer.headers
        if text is not None:
            assert answer.text == text
        assert wire.get("/page.txt").text == "page"


def test_a_local_location_may_lead_to_another_script(site: Site) -> None:
    inner = site.reply(b"Content-Type: a/b\n\ninner")
    assert site.get(location(f"/cgi/reply?{inner}")).text == "inner"


def test_a_script_that_redirects_to_itself_is_500(site: Site) -> None:
    assert fetch(site.port, "/cgi/self?again").status == 500
    assert site.lines("10 internal redirects", "/cgi/self?again", "id=")


# Bodies that are none.


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_none(site: Site, status: int) -> None:
    answer = site.get(f"Status: {status}\nContent-Type: a/b\n\nbody".encode())
    assert (answer.status, answer.body) == (status, b"")


def test_all_bytes_of_a_body_arrive(site: Site) -> None:
    body = bytes(range(256)) + b"\n\nStatus: 500\n\nand no line end"
    assert site.get(b"Content-Type: a/b\n\n" + body).body == body
    headers = b"".join(b"X-%d: %d\n" % (number, number) for number in range(150))
    answer = site.get(headers + b"X-Long: " + b"y" * 32_000 + b"\nContent-Type: a/b\n\nz")
    assert (answer.text, answer.headers["x-149"]) == ("z", "149")
    assert len(answer.headers["x-long"]) == 32_000


def test_what_a_program_does_to_its_stdin_is_nothing_to_the_next_one(site: Site) -> None:
    need("flock")
    # The lock of the first one goes with its last descriptor, a moment after its answer perhaps.
    for route in ("/cgi", "/queued"):
        with Wire(site.port) as wire:
            assert wire.get(f"{route}/locks").text == "locked\n"


# The access log.


def test_the_access_log_tells_how_a_program_ended(site: Site) -> None:
    assert fetch(site.port, "/cgi/fails?logged").text == "x"
    line = site.logged("/cgi/fails?logged")
    assert line["cgi_exit"] == 3
    assert line["cgi_pid"] > 0
    assert (line["status"], line["route"], line["bytes"]) == (200, "/cgi/", 1)
    assert fetch(site.port, "/cgi/dies?logged").text == "x"
    assert site.logged("/cgi/dies?logged")["cgi_exit"] == "SIGKILL"
    assert fetch(site.port, "/cgi/works?logged").text == "x"
    assert site.logged("/cgi/works?logged")["cgi_cpu_ms"] > 5


def test_the_id_in_the_access_log_is_that_of_the_error_log(site: Site) -> None:
    query = site.reply(b"")
    assert fetch(site.port, f"/cgi/reply?{query}").status == 502
    line = site.logged(f"/cgi/reply?{query}")
    assert site.lines(f"cgi 502: the script ended without a header (exit status 0) id={line['id']}")


def test_a_program_that_stays_does_not_hold_back_answer_or_line(site: Site) -> None:
    with Wire(site.port) as wire:
        assert wire.get("/cgi/lingers?logged").text == "x"
        assert wire.get("/page.txt?lingers").text == "page"
        line = site.logged("/cgi/lingers?logged")
    assert (line["cgi_exit"], line["cgi_cpu_ms"]) == (None, None)
    assert line["cgi_pid"] > 0
    assert line["duration_ms"] < 1000, "of the answer, not of the wait"
    assert "cgi_pid" not in site.logged("/page.txt?lingers")


def test_figures_of_an_answer_are_not_those_of_the_one_before(site: Site) -> None:
    with Wire(site.port) as wire:
        assert wire.get("/cgi/fails?first").text == "x"
        assert wire.get("/missing?second").status == 404
    line = site.logged("/missing?second")
    assert (line["route"], line["status"]) == ("/", 404)
    assert "cgi_exit" not in line


def test_the_log_of_answers_is_whole_when_forkd_has_stopped(tmp_path: Path) -> None:
    (tmp_path / "cgi").mkdir()
    script = tmp_path / "cgi" / "lingers"
    script.write_text("#!/bin/sh\nprintf 'Content-Type: a/b\\n\\nx'\nexec >&- 2>&- sleep 60\n")
    script.chmod(0o755)
    open_to_all(tmp_path)
    workers = "{count: 1, shutdown_timeout: 200ms}"
    config = write_config(tmp_path, {"/cgi/": "{cgi: cgi}"}, workers=workers)
    access = """access: {file: access.log, format: "%{target} %{status} %{cgi_exit}"}"""
    config.write_text(config.read_text().replace("access: {file: access.log}", access))
    with started(tmp_path) as daemon:
        assert fetch(daemon.port, "/cgi/lingers").text == "x"
        daemon.stop()
        assert re.fullmatch(r"/cgi/lingers 200 (-|SIG\w+)\n", daemon.access_log)
