"""CGI programs that behave: what they are told, and how their answers arrive (RFC 3875)."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.system.scripts import Scripts, running_scripts
from tests.system.tools import need
from tests.system.wire import Answer, Wire, fetch, request

ALWAYS = (
    {"GATEWAY_INTERFACE", "SERVER_SOFTWARE", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL"}
    | {"REQUEST_METHOD", "REQUEST_SCHEME", "REQUEST_URI", "REQUEST_ID", "QUERY_STRING"}
    | {"REMOTE_ADDR", "REMOTE_PORT", "SCRIPT_NAME", "SCRIPT_FILENAME", "DOCUMENT_ROOT"}
    | {"REDIRECT_STATUS", "PATH", "HTTP_HOST", "MARK", "GATE", "DONE"}
)


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripts]:
    secrets = {"SECRET": "x", "PASSED": "on purpose", "NOTIFY_SOCKET": "", "HTTP_PROXY": "x"}
    with running_scripts(tmp_path_factory.mktemp("cgi"), env=secrets) as running:
        yield running


def environ(scripts: Scripts, target: str, *headers: str) -> dict[str, str]:
    answer = fetch(scripts.port, target, *headers)
    assert answer.status == 200
    pairs = answer.body.decode().rstrip("\0").split("\0")
    return dict(pair.split("=", 1) for pair in pairs)


def test_the_environment_holds_what_it_should_and_nothing_else(scripts: Scripts) -> None:
    found = environ(scripts, "/cgi-bin/environ.sh?a=b%20c+d", "Host: Example.org:81")
    assert set(found) == ALWAYS | {"PASSED"}
    directory = scripts.daemon.directory
    assert len(found.pop("REQUEST_ID")) == 16
    assert int(found.pop("REMOTE_PORT")) > 0
    assert found.pop("SERVER_SOFTWARE").startswith("forkd/")
    assert found == {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_NAME": "Example.org",
        "SERVER_PORT": str(scripts.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_METHOD": "GET",
        "REQUEST_SCHEME": "http",
        "REQUEST_URI": "/cgi-bin/environ.sh?a=b%20c+d",
        "QUERY_STRING": "a=b%20c+d",
        "REMOTE_ADDR": "127.0.0.1",
        "SCRIPT_NAME": "/cgi-bin/environ.sh",
        "SCRIPT_FILENAME": f"{directory}/cgi-bin/environ.sh",
        "DOCUMENT_ROOT": f"{directory}/html",
        "REDIRECT_STATUS": "200",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HTTP_HOST": "Example.org:81",
        "MARK": str(directory),
        "GATE": f"{directory}/gate",
        "DONE": f"{directory}/done",
        "PASSED": "on purpose",
    }


def test_headers_become_variables_but_for_the_dangerous_ones(scripts: Scripts) -> None:
    found = environ(
        scripts,
        "/cgi-bin/environ.sh",
        "X-Good: one",
        "X-Good: two",
        "X_Forged: x",
        "Proxy: http://evil.test",
        "Authorization: Basic eDp5",
        "Cookie: a=1",
        "Cookie: b=2",
        "Connection: x-hop",
        "X-Hop: x",
        "Content-Type: text/plain",
    )
    headers = {name: value for name, value in found.items() if name not in ALWAYS}
    assert headers == {
        "HTTP_X_GOOD": "one, two",
        "HTTP_COOKIE": "a=1; b=2",
        "CONTENT_TYPE": "text/plain",
        "PASSED": "on purpose",
    }
    allowed = environ(scripts, "/private/environ.sh", "Authorization: Basic eDp5")
    assert allowed["HTTP_AUTHORIZATION"] == "Basic eDp5"


@pytest.mark.parametrize(
    ("target", "name", "info"),
    [
        ("/cgi-bin/environ.sh", "/cgi-bin/environ.sh", None),
        ("/cgi-bin/environ.sh/", "/cgi-bin/environ.sh", "/"),
        ("/cgi-bin/environ.sh/a/b.sh", "/cgi-bin/environ.sh", "/a/b.sh"),
        ("/cgi-bin/environ.sh/a%20b%2fc/%C3%BC", "/cgi-bin/environ.sh", "/a b/c/ü"),
        ("/cgi-bin/x/../environ.sh/a/../b", "/cgi-bin/environ.sh", "/b"),
        ("/cgi-bin/%65nviron.sh", "/cgi-bin/environ.sh", None),
        ("/page.cgi/x.cgi/y", "/page.cgi", "/x.cgi/y"),
    ],
)
def test_the_path_is_split_at_the_script(
    scripts: Scripts, target: str, name: str, info: str | None
) -> None:
    html = scripts.daemon.directory / "html"
    shutil.copy(scripts.directory / "environ.sh", html / "page.cgi")
    found = environ(scripts, target)
    assert (found["SCRIPT_NAME"], found.get("PATH_INFO")) == (name, info)
    assert found.get("PATH_TRANSLATED") == (f"{html}{info}" if info else None)
    assert found["REQUEST_URI"] == target


def test_each_request_has_an_id_of_its_own(scripts: Scripts) -> None:
    ids = {environ(scripts, "/cgi-bin/environ.sh")["REQUEST_ID"] for _ in range(5)}
    assert len(ids) == 5


def test_a_script_gets_no_arguments_and_no_descriptors(scripts: Scripts) -> None:
    lines = fetch(scripts.port, "/cgi-bin/invocation.sh?-s+x").text.splitlines()
    assert lines[:2] == [str(scripts.directory), "0"]
    # Nothing of the server's is open in it; 10 is where the shell has the script itself.
    assert set(lines[2:]) - {"10"} == {"0", "1", "2"}


@pytest.mark.parametrize("body", [b"", b"some bytes\r\n\r\n", bytes(range(256)) * 2000])
def test_a_body_arrives_whole_with_its_true_length(scripts: Scripts, body: bytes) -> None:
    wanted = b"POST %d %b" % (len(body), body)
    assert fetch(scripts.port, "/cgi-bin/echo.sh", method="POST", body=body).body == wanted
    pieces = [body[at : at + 9999] for at in range(0, len(body), 9999)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    with Wire(scripts.port) as wire:
        head = request("/cgi-bin/echo.sh", "Transfer-Encoding: chunked", method="POST")
        wire.send(head + chunks + b"0\r\nX-Trailer: ignored\r\n\r\n")
        assert wire.answer().body == wanted


def test_a_content_coding_is_the_programs_business(scripts: Scripts) -> None:
    body = gzip.compress(b"text")
    answer = fetch(
        scripts.port, "/cgi-bin/echo.sh", "Content-Encoding: gzip", method="POST", body=body
    )
    assert answer.body.endswith(body)


@pytest.mark.parametrize(
    ("query", "status", "headers"),
    [
        ("Content-Type:+text/plain", 200, {"content-type": "text/plain"}),
        ("Status:+404+Nothing+Here|Content-Type:+a/b", 404, {"content-type": "a/b"}),
        ("Status:+204", 204, {}),
        ("Location:+https://example.org/x?y", 302, {"location": "https://example.org/x?y"}),
        ("Location:+/page.txt|Status:+303", 303, {"location": "/page.txt"}),
        ("Content-Type:+a/b|Set-Cookie:+a=1|X-Powered-By:+me", 200, {"x-powered-by": "me"}),
    ],
)
def test_the_script_chooses_status_and_headers(
    scripts: Scripts, query: str, status: int, headers: dict[str, str]
) -> None:
    answer = fetch(scripts.port, f"/cgi-bin/header.sh?{query}")
    assert (answer.status, answer.body) == (status, b"" if status == 204 else b"body")
    assert headers.items() <= answer.headers.items()


def test_a_script_cannot_forge_what_is_the_servers(scripts: Scripts) -> None:
    query = "Content-Type:+a/b|Server:+x|Date:+x|Connection:+close|Keep-Alive:+x"
    with Wire(scripts.port) as wire:
        answer = wire.get(f"/cgi-bin/header.sh?{query}")
        assert answer.headers["server"] == "forkd"
        assert answer.headers["date"] != "x"
        assert not {"connection", "keep-alive"} & answer.headers.keys()
        assert wire.get("/page.txt").text == "page"


def test_lines_may_end_with_crlf(scripts: Scripts) -> None:
    answer = fetch(scripts.port, "/cgi-bin/crlf.sh")
    assert (answer.status, answer.text, answer.headers["x-one"]) == (201, "crlf", "1")


def test_head_runs_the_script_and_sends_no_body(scripts: Scripts) -> None:
    with Wire(scripts.port) as wire:
        answer = wire.get("/cgi-bin/echo.sh", method="HEAD")
        assert (answer.status, answer.headers["content-type"]) == (200, "text/plain")
        assert wire.get("/page.txt").text == "page"


def test_a_local_location_is_served_in_the_scripts_place(scripts: Scripts) -> None:
    page = fetch(scripts.port, "/cgi-bin/header.sh?Location:+/page.txt")
    assert (page.status, page.text, page.headers.get("location")) == (200, "page", None)
    other = fetch(scripts.port, "/cgi-bin/chain.sh?3", method="POST", body=b"body")
    assert (other.status, other.text) == (200, "GET end")
    missing = fetch(scripts.port, "/cgi-bin/header.sh?Location:+/missing")
    assert missing.status == 404


def test_local_locations_end_after_ten(scripts: Scripts) -> None:
    assert fetch(scripts.port, "/cgi-bin/chain.sh?10").text == "GET end"
    assert fetch(scripts.port, "/cgi-bin/chain.sh?11").status == 500
    assert scripts.lines("10 internal redirects", "/cgi-bin/chain.sh?0", "id=")


def test_output_arrives_while_the_script_goes_on(scripts: Scripts) -> None:
    with scripts.begin("/cgi-bin/gated.sh") as wire:
        assert wire.head().headers["transfer-encoding"] == "chunked"
        assert wire.chunk() == b"first\n"
        scripts.open_gate()
        assert wire.chunk() == b"second\n"
        assert wire.chunk() == b""
    scripts.done.unlink()


@pytest.mark.parametrize(("announced", "body"), [(4, b"body"), (2, b"bo")])
def test_no_more_is_sent_than_the_script_announced(
    scripts: Scripts, announced: int, body: bytes
) -> None:
    query = f"Content-Type:+a/b|Content-Length:+{announced}"
    with Wire(scripts.port) as wire:
        answer = wire.get(f"/cgi-bin/header.sh?{query}")
        assert (answer.body, answer.headers["content-length"]) == (body, str(announced))
        assert wire.get("/page.txt").text == "page"


def test_less_than_the_script_announced_breaks_the_connection(scripts: Scripts) -> None:
    query = "Content-Type:+a/b|Content-Length:+9"
    with Wire(scripts.port) as wire, pytest.raises(ConnectionError, match="4 of 9"):
        wire.get(f"/cgi-bin/header.sh?{query}")
    assert scripts.lines("5 bytes less than Content-Length", "id=")


def test_programs_in_other_languages_run(scripts: Scripts) -> None:
    need("/usr/bin/python3")
    assert fetch(scripts.port, "/cgi-bin/hello.py").text == "hello from Python"


def test_a_hundred_requests_at_once_are_all_answered(scripts: Scripts) -> None:
    def ask(number: int) -> Answer:
        body = b"%d" % number
        return fetch(scripts.port, "/cgi-bin/echo.sh", method="POST", body=body)

    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(ask, range(100)))
    assert [answer.text for answer in answers] == [f"POST {len(str(n))} {n}" for n in range(100)]
