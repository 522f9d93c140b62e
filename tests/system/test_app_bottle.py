"""A site of Bottle: its templates and its files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.applications import LARGE, Client, need_package, wsgi_route
from tests.system.daemon import Daemon, started


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    need_package("bottle")
    directory = tmp_path_factory.mktemp("bottle")
    files = directory / "files"
    files.mkdir()
    (files / "large.bin").write_bytes(LARGE)
    (files / "empty.txt").write_bytes(b"")
    (directory / "secret.txt").write_text("secret\n")
    routes = {
        "/": wsgi_route("bottle_app:application", BOTTLE_FILES=files),
        "/bare/": wsgi_route("bottle_app:bare", BOTTLE_FILES=files),
    }
    with started(directory, routes) as running:
        yield running


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with Client(daemon.url) as session:
        yield session


def test_bottle_fills_a_template(client: Client) -> None:
    response = client.get("/hello/%3CJo%C3%ABl%3E", params={"count": 2})
    assert response.headers["Content-Type"] == "text/html; charset=UTF-8"
    assert response.text == "<h1>Hello, &lt;Jo\u00ebl&gt;!</h1>\n<p>0</p>\n<p>1</p>\n"


def test_bottle_adds_the_numbers_of_a_form(client: Client) -> None:
    assert client.post("/sum", data={"n": ["1", "2", "39"]}).json() == {"sum": 42}
    chunked = client.post(
        "/sum",
        data=iter([b"n=40&", b"n=2"]),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert chunked.json() == {"sum": 42}


@pytest.mark.parametrize("prefix", ["", "/bare"])
def test_bottle_sends_a_file_whole_in_part_and_not_again(client: Client, prefix: str) -> None:
    url = f"{prefix}/files/large.bin"
    whole = client.get(url)
    assert whole.content == LARGE
    assert int(whole.headers["Content-Length"]) == len(LARGE)
    head = client.head(url)
    assert (head.content, head.headers["Content-Length"]) == (b"", str(len(LARGE)))
    part = client.get(url, headers={"Range": "bytes=65537-2000000"})
    assert part.status_code == 206
    assert part.content == LARGE[65537:2_000_001]
    beyond = client.get(url, headers={"Range": "bytes=9999999-"})
    assert beyond.status_code == 416
    since = client.get(url, headers={"If-Modified-Since": whole.headers["Last-Modified"]})
    assert (since.status_code, since.content) == (304, b"")
    assert client.get(f"{prefix}/files/empty.txt").content == b""


def test_bottle_offers_a_download(client: Client) -> None:
    response = client.get("/download/large.bin")
    assert response.headers["Content-Disposition"] == 'attachment; filename="large.bin"'


def test_bottle_files_stay_within_their_directory(client: Client) -> None:
    for path in ("/files/..%2Fsecret.txt", "/files/x/..%2F..%2Fsecret.txt", "/files/none"):
        response = client.get(path)
        assert response.status_code in (403, 404), path
        assert "secret\n" not in response.text


@pytest.mark.parametrize("prefix", ["", "/bare"])
def test_bottle_redirects_from_where_it_is(daemon: Daemon, client: Client, prefix: str) -> None:
    response = client.get(f"{prefix}/away", allow_redirects=False)
    assert response.status_code == 303
    assert response.headers["Location"] == f"{daemon.url}{prefix}/hello/you"
    assert client.get(f"{prefix}/away").text == "<h1>Hello, you!</h1>\n"


def test_bottle_refuses_what_it_does_not_have(client: Client) -> None:
    assert client.get("/none").status_code == 404
    refused = client.post("/away")
    assert refused.status_code == 405
    assert refused.headers["Allow"] == "GET"
