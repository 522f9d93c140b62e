"""httpbin, by requests: what clients and servers say to each other."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from requests.auth import HTTPBasicAuth, HTTPDigestAuth

from tests.system.applications import Client, need_package, wsgi_route
from tests.system.daemon import Daemon, started


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    need_package("httpbin")
    directory = tmp_path_factory.mktemp("httpbin")
    with started(directory, {"/": wsgi_route("httpbin_app:application")}) as running:
        yield running


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with Client(daemon.url) as session:
        yield session


def test_a_query_arrives(daemon: Daemon, client: Client) -> None:
    answer = client.get("/get", params={"a": ["1", "2"], "b": "\u00e4 &="}).json()
    assert answer["args"] == {"a": ["1", "2"], "b": "\u00e4 &="}
    assert answer["url"] == f"{daemon.url}/get?a=1&a=2&b=\u00e4+%26%3D"
    assert answer["origin"] == "127.0.0.1"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_body_arrives(client: Client, method: str) -> None:
    url = f"/{method.lower()}"
    assert client.request(method, url, json={"a": [1]}).json()["json"] == {"a": [1]}
    assert client.request(method, url, data={"a": "\u00fc"}).json()["form"] == {"a": "\u00fc"}
    sent = client.request(method, url, files={"file": ("name.txt", b"content\n")})
    assert sent.json()["files"] == {"file": "content\n"}
    large = "x" * 2_000_000
    assert client.request(method, url, data=large).json()["data"] == large
    assert client.request(method, url).json()["data"] == ""


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("count", [0, 1, 3, 400])
def test_a_body_in_chunks_arrives(client: Client, method: str, count: int) -> None:
    pieces = [b"%d." % number * 700 for number in range(count)]
    answer = client.request(method, f"/{method.lower()}", data=iter(pieces)).json()
    assert answer["data"].encode() == b"".join(pieces)


def test_headers_arrive(daemon: Daemon, client: Client) -> None:
    sent = {"X-Thing": "a, b", "Accept-Language": "de;q=0.5", "User-Agent": "tests/1"}
    arrived = client.get("/headers", headers=sent).json()["headers"]
    assert arrived.items() >= sent.items()
    assert arrived["Host"] == daemon.url.removeprefix("http://")
    assert client.get("/user-agent", headers=sent).json() == {"user-agent": "tests/1"}


def test_headers_that_the_application_sets_come_back(client: Client) -> None:
    response = client.get("/response-headers", params={"X-One": "1", "X-Two": ["a", "b"]})
    assert response.headers["X-One"] == "1"
    assert response.headers["X-Two"] == "a, b"


@pytest.mark.parametrize(
    ("coding", "key", "module"),
    [("gzip", "gzipped", None), ("deflate", "deflated", None), ("brotli", "brotli", "brotli")],
)
def test_a_compressed_answer_is_understood(
    client: Client, coding: str, key: str, module: str | None
) -> None:
    if module is not None:
        need_package(module)
    response = client.get(f"/{coding}")
    assert response.headers["Content-Encoding"] == {"brotli": "br"}.get(coding, coding)
    assert response.json()[key] is True


def test_an_answer_is_streamed_line_by_line(client: Client) -> None:
    with client.get("/stream/20", stream=True) as response:
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert sum(1 for line in response.iter_lines() if line.startswith(b'{"url"')) == 20


def test_an_answer_drips_to_its_end(client: Client) -> None:
    query = {"duration": "0.1", "numbytes": "10", "code": "203"}
    response = client.get("/drip", params=query)
    assert (response.status_code, response.content) == (203, b"*" * 10)
    assert response.headers["Content-Length"] == "10"
    assert client.get("/delay/0.05").status_code == 200


@pytest.mark.parametrize("path", ["/redirect/3", "/relative-redirect/3", "/absolute-redirect/3"])
def test_redirects_are_followed(daemon: Daemon, client: Client, path: str) -> None:
    response = client.get(path)
    assert [step.status_code for step in response.history] == [302] * 3
    assert response.url == f"{daemon.url}/get"


@pytest.mark.parametrize(
    ("status", "method"), [(302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")]
)
def test_a_redirected_post_is_what_its_status_says(
    client: Client, status: int, method: str
) -> None:
    query = {"url": "/anything", "status_code": str(status)}
    answer = client.post("/redirect-to", params=query, data=b"body").json()
    assert (answer["method"], answer["data"]) == (method, "body" if method == "POST" else "")


def test_cookies_are_set_sent_and_deleted(client: Client) -> None:
    assert client.get("/cookies/set", params={"a": "1", "b": "2"}).json() == {
        "cookies": {"a": "1", "b": "2"}
    }
    assert client.get("/cookies/set/c/3").json()["cookies"]["c"] == "3"
    client.get("/cookies/delete", params={"a": ""})
    assert client.get("/cookies").json() == {"cookies": {"b": "2", "c": "3"}}


def test_basic_authentication(client: Client) -> None:
    url = "/basic-auth/anna/secret"
    refused = client.get(url)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic ")
    assert client.get(url, auth=HTTPBasicAuth("anna", "wrong")).status_code == 401
    assert client.get(url, auth=HTTPBasicAuth("anna", "secret")).json()["user"] == "anna"


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512"])
@pytest.mark.parametrize("qop", ["auth"])
def test_digest_authentication(client: Client, qop: str, algorithm: str) -> None:
    url = f"/digest-auth/{qop}/anna/secret/{algorithm}"
    assert client.get(url).status_code == 401
    assert client.get(url, auth=HTTPDigestAuth("anna", "wrong")).status_code == 401
    accepted = client.get(url, auth=HTTPDigestAuth("anna", "secret"))
    assert accepted.json() == {"authenticated": True, "user": "anna"}


def test_a_bearer_token_arrives(client: Client) -> None:
    assert client.get("/bearer").status_code == 401
    token = client.get("/bearer", headers={"Authorization": "Bearer abc"}).json()
    assert token == {"authenticated": True, "token": "abc"}


@pytest.mark.parametrize(
    "status", [200, 201, 202, 204, 304, 400, 402, 404, 410, 418, 429, 451, 500, 503, 599]
)
def test_any_status_comes_back(client: Client, status: int) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert client.request(method, f"/status/{status}").status_code == status
    head = client.head(f"/status/{status}")
    assert (head.status_code, head.content) == (status, b"")


def test_ranges(client: Client) -> None:
    letters = "".join(chr(97 + number % 26) for number in range(50_000)).encode()
    url = "/range/50000"
    assert client.get(url, params={"chunk_size": "999"}).content == letters
    for asked, first, last in (
        ("100-", 100, 49_999),
        ("10-40000", 10, 40_000),
        ("-9", 49_991, 49_999),
    ):
        part = client.get(url, headers={"Range": f"bytes={asked}"})
        assert part.status_code == 206
        assert part.headers["Content-Range"] == f"bytes {first}-{last}/50000"
        assert part.content == letters[first : last + 1]
    assert client.get(url, headers={"Range": "bytes=60000-"}).status_code == 416


def test_bytes_come_as_they_are(client: Client) -> None:
    expected = random.Random(7)
    data = bytes(expected.randint(0, 255) for _ in range(20_000))
    assert client.get("/bytes/20000", params={"seed": "7"}).content == data
    for size in ("1", "1000", "30000"):
        streamed = client.get("/stream-bytes/20000", params={"seed": "7", "chunk_size": size})
        assert streamed.content == data


def test_what_has_not_changed_is_not_sent_again(client: Client) -> None:
    assert client.get("/cache").status_code == 200
    assert client.get("/cache", headers={"If-None-Match": "x"}).status_code == 304
    assert client.get("/etag/abc").headers["ETag"] == "abc"
    assert client.get("/etag/abc", headers={"If-None-Match": '"abc"'}).status_code == 304
    assert client.get("/etag/abc", headers={"If-Match": '"other"'}).status_code == 412


def test_any_method_and_any_path_arrive(client: Client) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"):
        assert client.request(method, "/anything/a%2Fb/c").json()["method"] == method
    assert client.options("/get").headers["Access-Control-Max-Age"] == "3600"
    assert client.request("BREW", "/get").status_code == 405


def test_pages_and_pictures(client: Client) -> None:
    assert client.get("/image/png").content.startswith(b"\x89PNG")
    assert "\u2200x\u2208\u211d" in client.get("/encoding/utf8").text
    assert client.get("/xml").headers["Content-Type"] == "application/xml"
    assert client.get("/base64/Zm9ya2Q=").text == "forkd"
    assert client.get("/links/3", allow_redirects=True).url.endswith("/links/3/0")
