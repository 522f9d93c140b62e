"""What a client may not do, and that it can read the answer which says so."""

from __future__ import annotations

import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.daemon import DEADLINE_S, Daemon, eventually, started
from tests.system.tools import need
from tests.system.wire import Wire, fetch, request

COUNT = """\
#!/bin/sh
size=$(wc -c)
printf 'Content-Type: text/plain\\n\\n%s\\n' "$size"
"""


@contextmanager
def limited(directory: Path, limits: str) -> Iterator[Daemon]:
    (directory / "count.sh").write_text(COUNT)
    (directory / "count.sh").chmod(0o755)
    routes = {
        "/hello": "{respond: hello}",
        "/count": "{cgi: count.sh}",
        "/more": "{cgi: count.sh, max_body: 2M}",
    }
    with started(directory, routes, workers="{count: 1}", limits=limits) as daemon:
        yield daemon


def test_a_body_that_is_too_large_is_refused_while_it_is_sent(tmp_path: Path) -> None:
    size = 3 << 20
    with limited(tmp_path, "{max_body: 1M}") as daemon:
        with Wire(daemon.port) as wire:
            # All of it is sent before anything is read.
            wire.send(request("/count", method="POST", body=b"x" * size))
            answer = wire.answer()
            assert (answer.status, answer.headers["connection"]) == (413, "close")
            assert wire.rest() == b""
        with Wire(daemon.port) as wire:
            wire.send(request("/count", "Transfer-Encoding: chunked", method="POST"))
            wire.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            wire.send((b"10000\r\n" + b"x" * 0x10000 + b"\r\n") * 40)
            assert wire.answer().status == 413
        exact = fetch(daemon.port, "/count", method="POST", body=b"x" * (1 << 20))
        assert exact.text.strip() == str(1 << 20)
        more = fetch(daemon.port, "/more", method="POST", body=b"x" * (2 << 20))
        assert more.text.strip() == str(2 << 20)


def test_curl_reads_why_its_body_is_refused(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(20 << 20))
    with limited(tmp_path, "{max_body: 1M}") as daemon:
        for expect in ("Expect: 100-continue", "Expect:"):
            result = subprocess.run(
                [
                    *(need("curl"), "--silent", "--show-error", "--noproxy", "*", "--include"),
                    *("-H", expect, "--data-binary", f"@{tmp_path}/large"),
                    f"{daemon.url}/count",
                ],
                capture_output=True,
                timeout=DEADLINE_S,
            )
            assert b"HTTP/1.1 413 " in result.stdout, result.stderr


def test_a_head_that_comes_too_slowly_is_408(tmp_path: Path) -> None:
    with limited(tmp_path, "{header_timeout: 500ms}") as daemon, Wire(daemon.port) as wire:
        wire.send(b"GET /hello HTTP/1.1\r\nHost: test\r\nX: ")
        # Bytes that trickle gain no time.
        while not select.select([wire.sock], [], [], 0.1)[0]:
            wire.send(b"x")
        answer = wire.answer()
        assert (answer.status, answer.headers["connection"]) == (408, "close")


def test_a_slow_head_on_a_kept_connection_is_408_too(tmp_path: Path) -> None:
    with limited(tmp_path, "{header_timeout: 500ms}") as daemon, Wire(daemon.port) as wire:
        assert wire.get("/hello").text == "hello"
        wire.send(b"GET /hello HTTP/1.1\r\n")
        assert wire.answer().status == 408


def test_a_connection_without_a_request_is_closed_in_silence(tmp_path: Path) -> None:
    with limited(tmp_path, "{header_timeout: 500ms}") as daemon, Wire(daemon.port) as wire:
        assert wire.rest() == b""


def test_a_body_that_comes_too_slowly_is_408(tmp_path: Path) -> None:
    with limited(tmp_path, "{body_timeout: 500ms}") as daemon:
        for coding in ("Content-Length: 10", "Transfer-Encoding: chunked"):
            with Wire(daemon.port) as wire:
                wire.send(request("/count", coding, method="POST") + b"5\r\nab")
                answer = wire.answer()
                assert (answer.status, answer.headers["connection"]) == (408, "close")
        # A body that nobody waits for is not read for ever either.
        with Wire(daemon.port) as wire:
            wire.send(request("/hello", "Content-Length: 10", method="POST") + b"abc")
            assert wire.answer().status == 405
            assert wire.rest() == b""


def test_a_connection_may_be_idle_for_keepalive_timeout(tmp_path: Path) -> None:
    with limited(tmp_path, "{keepalive_timeout: 500ms}") as daemon, Wire(daemon.port) as wire:
        for _ in range(3):
            assert wire.get("/hello").text == "hello"
        assert wire.rest() == b""


def test_a_connection_may_make_keepalive_requests(tmp_path: Path) -> None:
    with limited(tmp_path, "{keepalive_requests: 3}") as daemon, Wire(daemon.port) as wire:
        connections = [wire.get("/hello").headers.get("connection") for _ in range(3)]
        assert connections == [None, None, "close"]
        assert wire.rest() == b""


def test_a_client_that_takes_nothing_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "large").write_bytes(bytes(64 << 20))
    routes = {"/": "{static: html}"}
    limits = "{write_timeout: 500ms}"
    with (
        started(tmp_path, routes, workers="{count: 1}", limits=limits) as daemon,
        Wire(daemon.port, receive_buffer=4096) as wire,
    ):
        wire.send(request("/large"))
        daemon.wait_for_log("takes no data for write_timeout")
        eventually(lambda: daemon.workers()[0]["connections"] == 0, "the connection is closed")


def test_more_connections_than_allowed_wait_and_are_served(tmp_path: Path) -> None:
    with limited(tmp_path, "{max_connections: 3}") as daemon:
        port = daemon.port
        kept = [Wire(port) for _ in range(3)]
        for wire in kept:
            assert wire.get("/hello").text == "hello"
        waiting = [Wire(port) for _ in range(5)]
        for wire in waiting:
            wire.send(request("/hello", "Connection: close"))
        eventually(lambda: daemon.status()["listeners"][0]["queue"] == 5, "five are queued")
        assert daemon.workers()[0]["connections"] == 3
        assert select.select([wire.sock for wire in waiting], [], [], 0)[0] == []
        kept[0].close()
        for wire in waiting:
            assert wire.answer().text == "hello"
            wire.close()
        for wire in kept[1:]:
            assert wire.get("/hello").text == "hello"
            wire.close()
