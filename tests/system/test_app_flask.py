"""A site of Flask, at / and below a prefix."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.system.applications import LARGE, Client, need_package, sha256, wsgi_route
from tests.system.daemon import DEADLINE_S, Daemon, started


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    need_package("flask")
    directory = tmp_path_factory.mktemp("flask")
    os.mkfifo(directory / "gate")
    os.mkfifo(directory / "begun")
    (directory / "file").write_bytes(LARGE)
    route = wsgi_route(
        "flask_app:application",
        FLASK_BEGUN=directory / "begun",
        FLASK_FILE=directory / "file",
        FLASK_GATE=directory / "gate",
    )
    with started(directory, {"/": route, "/app/": route}) as running:
        yield running


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with Client(daemon.url) as session:
        yield session


def test_flask_answers_json(client: Client) -> None:
    response = client.get("/json", params={"name": "\u017d\u016f\u017eo & co", "empty": ""})
    assert response.headers["Content-Type"] == "application/json"
    assert int(response.headers["Content-Length"]) == len(response.content)
    assert response.json() == {"name": "\u017d\u016f\u017eo & co", "empty": ""}
    value = {"list": [1, 2.5, None], "text": "\u2713"}
    assert client.post("/json", json=value).json() == value
    assert client.post("/json", data=b"{").status_code == 415
    malformed = client.post("/json", data=b"{", headers={"Content-Type": "application/json"})
    assert malformed.status_code == 400


def test_flask_gets_json_in_chunks(client: Client) -> None:
    text = json.dumps({"text": "x" * 100_000}).encode()
    pieces = (text[at : at + 7000] for at in range(0, len(text), 7000))
    sent = client.post("/json", data=pieces, headers={"Content-Type": "application/json"})
    assert sent.json() == {"text": "x" * 100_000}


def test_flask_gets_a_form(client: Client) -> None:
    fields = {"name": ["a b", "\u00e4+&"], "other": ["1"]}
    assert client.post("/form", data=fields).json() == fields
    assert client.post("/form").json() == {}


def test_flask_gets_an_upload_of_3_mb(client: Client) -> None:
    sent = client.post("/upload", files={"file": ("a.bin", LARGE)}, data={"note": "\u00fc"})
    assert sent.json() == {"name": "a.bin", "sha256": sha256(LARGE), "note": "\u00fc"}


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_flask_reads_a_body_as_it_comes(client: Client, framing: str) -> None:
    pieces = (LARGE[at : at + 50_000] for at in range(0, len(LARGE), 50_000))
    sent = client.put("/raw", data=LARGE if framing == "length" else pieces)
    assert sent.json() == {"size": len(LARGE), "sha256": sha256(LARGE)}


def test_flask_has_a_large_body_before_it_is_all_there(daemon: Daemon, client: Client) -> None:
    begun = os.open(daemon.directory / "begun", os.O_RDONLY | os.O_NONBLOCK)

    def pieces() -> Iterator[bytes]:
        yield LARGE
        readable, _, _ = select.select([begun], [], [], DEADLINE_S)
        assert readable, "the application waits for the whole body"
        yield b"the rest"

    try:
        sent = client.put("/early", data=pieces())
        assert os.read(begun, 100) == b"begun\n"
    finally:
        os.close(begun)
    assert sent.json() == {"size": len(LARGE) + len(b"the rest")}


def test_flask_refuses_an_upload_beyond_its_own_limit(client: Client) -> None:
    sent = client.post("/form", data=b"a=" + b"x" * (17 << 20))
    assert sent.status_code == 413
    assert client.get("/json").status_code == 200


def test_flask_streams_an_answer_piece_by_piece(daemon: Daemon, client: Client) -> None:
    with client.get("/streamed", stream=True) as response:
        assert response.headers["Transfer-Encoding"] == "chunked"
        lines = response.iter_lines()
        assert next(lines) == b"first"
        # The rest of the answer does not exist before this.
        (daemon.directory / "gate").write_text("middle\n")
        assert list(lines) == [b"middle", b"last of /streamed"]


def test_flask_keeps_a_session_in_a_cookie(daemon: Daemon) -> None:
    with Client(daemon.url) as one, Client(daemon.url) as other:
        assert [one.get("/visits").text for _ in range(3)] == ["1", "2", "3"]
        assert other.get("/visits").text == "1"
        one.cookies.clear()
        assert one.get("/visits").text == "1"


def test_flask_answers_head_like_get_without_a_body(client: Client) -> None:
    for path in ("/json", "/file", "/folder/"):
        head, get = client.head(path), client.get(path)
        assert head.content == b""
        assert head.status_code == get.status_code == 200
        assert head.headers["Content-Length"] == get.headers["Content-Length"]
        assert head.headers["Content-Type"] == get.headers["Content-Type"]


def test_flask_refuses_what_it_does_not_have(client: Client) -> None:
    assert client.get("/none").status_code == 404
    refused = client.delete("/json")
    assert refused.status_code == 405
    assert set(refused.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}
    assert client.request("BREW", "/json").status_code == 405
    options = client.options("/form")
    assert (options.status_code, options.content) == (200, b"")
    assert set(options.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


def test_flask_answers_204_without_a_body(client: Client) -> None:
    for _ in range(2):
        response = client.delete("/thing")
        assert (response.status_code, response.content) == (204, b"")
        assert "Content-Length" not in response.headers


def test_flask_sends_a_file_whole_in_part_and_not_again(client: Client) -> None:
    whole = client.get("/file")
    assert whole.content == LARGE
    part = client.get("/file", headers={"Range": "bytes=1000-2999999"})
    assert part.status_code == 206
    assert part.content == LARGE[1000:3_000_000]
    again = client.get("/file", headers={"If-None-Match": whole.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_flask_gets_paths_as_they_were_meant(client: Client) -> None:
    assert client.get("/path/a%20b/%C3%A9/%E2%82%AC").json() == {"name": "a b/\u00e9/\u20ac"}
    assert client.get("/path/semi;colon=1/%25").json() == {"name": "semi;colon=1/%"}


def test_flask_below_a_prefix_makes_urls_with_it(daemon: Daemon, client: Client) -> None:
    redirected = client.get("/app/start", allow_redirects=False)
    assert (redirected.status_code, redirected.headers["Location"]) == (302, "/app/folder/")
    followed = client.get("/app/start")
    assert (followed.url, followed.text) == (f"{daemon.url}/app/folder/", "/app/json?a=1")
    slash = client.get("/app/folder", allow_redirects=False)
    assert (slash.status_code, slash.headers["Location"]) == (308, f"{daemon.url}/app/folder/")
    assert client.get("/app/outside").text == f"{daemon.url}/app/folder/"
    assert client.get("/outside").text == f"{daemon.url}/folder/"


def test_flask_without_the_slash_of_its_prefix_is_redirected_there(client: Client) -> None:
    response = client.get("/app?a=1", allow_redirects=False)
    assert (response.status_code, response.headers.get("Location")) == (301, "/app/?a=1")


def test_flask_answers_many_at_once_each_with_its_own(daemon: Daemon) -> None:
    def exchange(number: int) -> bool:
        with Client(daemon.url) as session:
            body = {"number": number, "text": str(number) * 1000}
            return all(session.post("/json", json=body).json() == body for _ in range(10))

    with ThreadPoolExecutor(24) as pool:
        assert all(pool.map(exchange, range(48)))
