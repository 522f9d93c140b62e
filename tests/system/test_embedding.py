"""forkd inside another program, and in its tests."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

import forkd
import forkd.testing
from forkd.errors import OperationError
from tests.system.daemon import DEADLINE_S, is_running

RESPOND = {"/": {"respond": "here"}}


def configuration(**more: object) -> dict[str, object]:
    return {
        "listen": "127.0.0.1:0",
        "log": {"access": "off"},
        "sites": [{"routes": RESPOND}],
        **more,
    }


@pytest.fixture
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No open descriptor, and no directory for temporary things."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before
    assert not list(temporary.iterdir())


def get(url: str) -> str:
    return requests.get(url, timeout=DEADLINE_S).text


def test_it_serves_until_the_block_is_left(tmp_path: Path) -> None:
    with forkd.Server(configuration(), tmp_path) as server:
        pid = server.pid
        assert pid is not None
        assert get(server.url) == "here"
    assert not is_running(pid)
    assert server.pid is None


@pytest.mark.usefixtures("nothing_left")
def test_clients_may_connect_before_it_starts_and_while_it_starts_anew(tmp_path: Path) -> None:
    server = forkd.Server(configuration(listen=["127.0.0.1:0", "[::1]:0"]), tmp_path)
    first, second = server.bind()
    assert second.startswith("[::1]:")
    host, _, port = first.rpartition(":")
    for _ in range(2):
        with socket.create_connection((host, int(port)), DEADLINE_S) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            server.start()
            assert client.makefile("rb").read().endswith(b"\r\n\r\nhere")
        assert get(f"http://{second}") == "here"
        assert server.bind() == (first, second), "they stay what they are"
        server.stop()
    server.stop()
    server.close()


def test_it_reloads_and_says_why_it_cannot(tmp_path: Path) -> None:
    source = tmp_path / "little.py"
    text = 'def application(environ, start):\n    start("200 OK", [])\n    return [b"one"]\n'
    source.write_text(text)
    with forkd.testing.serving({"/": {"wsgi": "little:application"}}, tmp_path) as server:
        assert get(server.url) == "one"
        source.write_text(text.replace("one", "another"))
        server.reload()
        assert get(server.url) == "another"
        source.write_text("import nothing_of_that_name")
        with pytest.raises(OperationError, match="importing little failed: ModuleNotFoundError"):
            server.reload()
        assert get(server.url) == "another"
        assert "ERROR" in server.log
        server.stop()
        with pytest.raises(OperationError, match="it does not answer"):
            server.reload()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"workers": {"coutn": 1}}, "did you mean count"),
        ({"sites": [{"routes": {"/": {"wsgi": "none:app"}}}]}, "importing none failed"),
        ({"listen": "192.0.2.1:80"}, "cannot listen on 192.0.2.1:80"),
        ({"workers": {"count": object()}}, "not plain data"),
    ],
)
@pytest.mark.usefixtures("nothing_left")
def test_what_is_wrong_is_raised_in_words(more: dict[str, object], expected: str) -> None:
    with pytest.raises(OperationError, match=expected), forkd.Server(configuration(**more)):
        pass


def test_there_is_nothing_else_of_that_kind() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Sever'"):
        _ = forkd.Sever
