"""Request handler classes of http.server under the real daemon: the programs of its tutorials."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system.daemon import REPOSITORY, Daemon, eventually, run_forkd, started, write_config
from tests.system.wire import Wire, exchange, fetch

APP = REPOSITORY / "tests" / "apps" / "handlers.py"


def make(directory: Path) -> dict[str, str]:
    """A directory with the classes; the routes to them."""
    for name in ("apps", "signals", "html"):
        (directory / name).mkdir(exist_ok=True)
    shutil.copy(APP, directory / "apps" / "handlers.py")
    (directory / "html" / "page.html").write_text("<p>a page</p>")
    env = f"path: apps, env: {{SIGNALS: {directory}/signals}}"
    return {
        "/": f'{{handler: "handlers:Site", {env}}}',
        "/modern/": f'{{handler: "handlers:Modern", {env}}}',
        "/inner/": f'{{handler: "handlers:Outer.Inner", strip_prefix: true, {env}}}',
        "/files/": f'{{handler: "handlers:Files", strip_prefix: true, {env}}}',
    }


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("handlers")
    with started(directory, make(directory), workers="{count: 1, threads: 3}") as running:
        yield running


def test_a_fixed_page(daemon: Daemon) -> None:
    answer = fetch(daemon.port, "/")
    assert (answer.version, answer.status, answer.text) == ("HTTP/1.0", 200, "<h1>Hello</h1>")
    assert answer.headers["server"].startswith("BaseHTTP/")


def test_a_page_from_a_file_and_404_for_what_is_none(daemon: Daemon) -> None:
    assert fetch(daemon.port, "/page.html").text == "<p>a page</p>"
    missing = fetch(daemon.port, "/none.html")
    assert missing.status == 404
    assert "File Not Found: /none.html" in missing.text
    daemon.wait_for_log("handlers:Site: code 404, message File Not Found: /none.html id=")


def test_the_statistics_and_the_headers(daemon: Daemon) -> None:
    assert "<p>up for " in fetch(daemon.port, "/stats.html").text
    text = fetch(daemon.port, "/headers", "User-Agent: a test", "X-Odd-Case: YeS").text
    assert "User-Agent: a test\n" in text
    assert "X-Odd-Case: YeS\n" in text


def test_head_post_and_a_method_of_its_own(daemon: Daemon) -> None:
    head = fetch(daemon.port, "/", method="HEAD")
    assert (head.headers["x-only"], head.body) == ("the head", b"")
    assert fetch(daemon.port, "/", method="POST", body=b"a=1&b=2").text == "7 a=1&b=2"
    assert fetch(daemon.port, "/what", method="SHOUT").text == "/WHAT"
    assert fetch(daemon.port, "/", method="WHISPER").status == 501


def test_a_slow_page_delays_nobody(daemon: Daemon) -> None:
    signals = daemon.directory / "signals"
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(fetch, daemon.port, "/slow")
        try:
            eventually((signals / "slow").exists, "the slow page is asked for")
            for _ in range(20):
                assert fetch(daemon.port, "/").status == 200
            assert not slow.done()
        finally:
            (signals / "go").touch()
        assert slow.result().text == "slow"


def test_what_it_wrote_goes_out_while_it_waits(daemon: Daemon) -> None:
    second = daemon.directory / "signals" / "second"
    for _ in range(2):  # the second time it is called in a thread of its own from the start
        second.unlink(missing_ok=True)
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=20) as client:
            client.sendall(b"GET /halves HTTP/1.1\r\nHost: a\r\n\r\n")
            data = b""
            try:
                while not data.endswith(b"one half"):
                    piece = client.recv(65536)
                    assert piece, "the answer goes on"
                    data += piece
            finally:
                second.touch()
            while piece := client.recv(65536):
                data += piece
        assert data.endswith(b"\r\n\r\none half, another half")


def test_a_class_of_http_1_1_keeps_its_connection(daemon: Daemon) -> None:
    with Wire(daemon.port) as wire:
        for number in range(3):
            assert wire.get(f"/modern/{number}").text == f"/modern/{number} from 127.0.0.1"
        wire.send(b"GET /modern/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert wire.answer().status == 200
        assert wire.rest() == b""


def test_a_class_of_http_1_0_closes_it(daemon: Daemon) -> None:
    data = exchange(daemon.port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert data.endswith(b"<h1>Hello</h1>")


def test_large_bodies_go_both_ways(daemon: Daemon) -> None:
    size = 5_000_000
    with Wire(daemon.port) as wire:
        wire.send(b"PUT /modern/ HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        wire.send(b"x" * size)
        assert wire.answer().text == str(size)
        wire.send(b"STREAM /modern/ HTTP/1.1\r\nHost: a\r\n\r\n")
        assert len(wire.answer().body) == 20_000_000
        assert wire.get("/modern/").status == 200


def test_a_class_in_a_class_without_the_prefix(daemon: Daemon) -> None:
    assert fetch(daemon.port, "/inner/x?y").text == "/x?y from 127.0.0.1"


def test_files_of_the_simple_handler(daemon: Daemon) -> None:
    page = fetch(daemon.port, "/files/page.html")
    assert (page.text, page.headers["content-type"]) == ("<p>a page</p>", "text/html")
    assert '<a href="page.html">' in fetch(daemon.port, "/files/").text


def test_what_it_logs_is_in_the_error_log_with_the_request(daemon: Daemon) -> None:
    fetch(daemon.port, "/log")
    assert " id=" in daemon.wait_for_log("handlers:Site: said by the handler")


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/garbage", "no response of HTTP/1: 'no response at all'"), ("/nothing", "no response id=")],
)
def test_output_that_is_not_http_is_502(daemon: Daemon, path: str, reason: str) -> None:
    assert fetch(daemon.port, path).status == 502
    daemon.wait_for_log(reason)


def test_an_exception_ends_its_request_only(tmp_path: Path) -> None:
    with started(tmp_path, make(tmp_path), workers="{count: 1}") as daemon:
        (before,) = daemon.workers()
        assert fetch(daemon.port, "/fault").status == 500
        with pytest.raises(ConnectionError):
            fetch(daemon.port, "/fault-later")
        assert fetch(daemon.port, "/").status == 200
        (after,) = daemon.workers()
        assert before["pid"] == after["pid"]
        assert "ERROR" in daemon.wait_for_log("handlers:Site failed id=")
        assert daemon.error_log.count("RuntimeError: a fault of the handler") == 2
        (tmp_path / "error.log").write_text("")  # these two stacks were wanted


def test_cgi_programs_of_a_cgi_handler_run(open_path: Path) -> None:
    routes = make(open_path)
    routes["/cgi/"] = routes["/"].replace("Site", "Cgi")
    script = open_path / "cgi" / "scripts" / "hi.sh"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\nprintf 'Status: 202 Yes\\n\\n'; echo $QUERY_STRING; cat\n")
    script.chmod(0o755)
    with started(open_path, routes) as daemon:
        answer = fetch(daemon.port, "/cgi/scripts/hi.sh?a=b")
        assert (answer.status, answer.text) == (202, "a=b\n")
        answer = fetch(daemon.port, "/cgi/scripts/hi.sh", method="POST", body=b"the body")
        assert (answer.status, answer.text) == (202, "\nthe body")


def test_what_is_no_handler_class_is_found_out_ahead(tmp_path: Path) -> None:
    routes = make(tmp_path)
    routes["/"] = routes["/"].replace("Site", "Outer")
    write_config(tmp_path, routes)
    result = run_forkd("-c", str(tmp_path / "forkd.yaml"), "-t")
    assert result.returncode == 1
    assert "handlers:Outer is the class Outer, not a class deriving from" in result.stderr
