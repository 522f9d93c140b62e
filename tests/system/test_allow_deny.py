"""`allow` and `deny`: who is answered, by address."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.system.daemon import DEADLINE_S, Daemon, started, write_config
from tests.system.sites import ROUTES, SMALL, make_site

MORE = {
    "/here": '{respond: here, allow: [127.0.0.1, "::1"]}',
    "/elsewhere": "{respond: elsewhere, deny: 127.0.0.0/24, allow: 127.0.0.2}",
    "/socket": '{respond: socket, allow: "unix:"}',
    "/nobody": "{respond: nobody, deny: all}",
    "/files/": "{static: html, allow: 127.0.0.1}",
    "/scripts/": "{cgi: cgi-bin, deny: 127.0.0.1, max_body: 4K}",
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("clients")
    make_site(directory)
    listen = f'["127.0.0.1:0", "unix:{directory}/http.sock"]'
    with started(directory, ROUTES | MORE, listen=listen, workers="{count: 1}") as running:
        yield running


class OverSocket(http.client.HTTPConnection):
    """To a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=DEADLINE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect(str(self._path))


def ask(
    daemon: Daemon, client: str, target: str, *, times: int = 1, body: bytes = b""
) -> list[int]:
    """The statuses of the answers on one connection. client: its address, empty for the socket."""
    connection: http.client.HTTPConnection
    if client:
        connection = http.client.HTTPConnection(
            "127.0.0.1", daemon.port, timeout=DEADLINE_S, source_address=(client, 0)
        )
    else:
        connection = OverSocket(daemon.directory / "http.sock")
    statuses = []
    with closing(connection):
        connection.connect()
        connection.auto_open = 0  # one that is closed too soon is not replaced in silence
        for _ in range(times):
            connection.request("POST" if body else "GET", target, body or None)
            with connection.getresponse() as response:
                response.read()
            statuses.append(response.status)
    return statuses


@pytest.mark.parametrize(
    ("target", "one", "two", "unix"),
    [
        ("/hello", 200, 200, 200),
        ("/here", 200, 403, 403),
        ("/elsewhere", 403, 200, 403),
        ("/socket", 403, 403, 200),
        ("/nobody", 403, 403, 403),
        ("/files/small.txt", 200, 403, 403),
        ("/files/nothing", 404, 403, 403),
        ("/scripts/hi.sh", 403, 200, 200),
        ("/scripts/nothing", 403, 404, 404),
    ],
)
def test_a_route_answers_those_that_are_welcome(
    daemon: Daemon, target: str, one: int, two: int, unix: int
) -> None:
    assert ask(daemon, "127.0.0.1", target) == [one]
    assert ask(daemon, "127.0.0.2", target) == [two]
    assert ask(daemon, "", target) == [unix]


def test_an_answer_for_one_is_never_given_to_another(daemon: Daemon) -> None:
    """The requests are the same, byte for byte."""
    for _ in range(3):
        assert ask(daemon, "127.0.0.1", "/files/small.txt", times=3) == [200] * 3
        assert ask(daemon, "127.0.0.2", "/files/small.txt", times=3) == [403] * 3


def test_a_body_that_was_refused_leaves_the_connection_whole(daemon: Daemon) -> None:
    assert ask(daemon, "127.0.0.1", "/scripts/echo.sh", times=2, body=b"x" * 1000) == [403, 403]
    assert ask(daemon, "127.0.0.2", "/scripts/echo.sh", times=2, body=SMALL) == [200, 200]


def test_who_was_refused_is_in_both_logs(daemon: Daemon) -> None:
    assert ask(daemon, "127.0.0.3", "/here") == [403]
    assert "127.0.0.3: refused by allow and deny of /here" in daemon.wait_for_log("127.0.0.3")


def test_a_site_says_it_for_its_routes(tmp_path: Path) -> None:
    routes = {
        "/closed": "{respond: closed}",
        "/open": "{respond: open, allow: all}",
        "/narrow": "{respond: narrow, allow: 127.0.0.2}",
        "/kept/": "{respond: kept, deny: 127.0.0.3}",
    }
    write_config(tmp_path, routes, workers="{count: 1}")
    path = tmp_path / "forkd.yaml"
    path.write_text(path.read_text().replace("  - routes:", "  - deny: 127.0.0.1\n    routes:"))
    with started(tmp_path) as daemon:
        assert ask(daemon, "127.0.0.1", "/closed") == [403]
        assert ask(daemon, "127.0.0.2", "/closed") == [200]
        # The site's entry is more specific than all.
        assert ask(daemon, "127.0.0.1", "/open") == [403]
        assert ask(daemon, "127.0.0.3", "/open") == [200]
        assert ask(daemon, "127.0.0.2", "/narrow") == [200]
        assert ask(daemon, "127.0.0.3", "/narrow") == [403]
        # What no route takes is the site's, what is redirected to one is for whom that is.
        assert ask(daemon, "127.0.0.1", "/nothing") == [403]
        assert ask(daemon, "127.0.0.2", "/nothing") == [404]
        assert "127.0.0.1: refused by allow and deny of the site" in daemon.wait_for_log("the site")
        assert ask(daemon, "127.0.0.1", "/kept") == [301]
        assert ask(daemon, "127.0.0.3", "/kept") == [403]
        path.write_text(path.read_text().replace("deny: 127.0.0.1", "deny: 127.0.0.2"))
        assert daemon.reload()["ok"]
        assert ask(daemon, "127.0.0.1", "/closed") == [200]
        assert ask(daemon, "127.0.0.2", "/closed") == [403]
