"""The same requests to `python -m http.server` and to forkd: what differs, and the reason.

The requests are those that Python's own tests make of SimpleHTTPRequestHandler, and some more.
docs/HTTP.md tells the differences to people who change from one to the other.
"""

from __future__ import annotations

import email.utils
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.system.daemon import DEADLINE_S, environment, eventually, started
from tests.system.wire import Wire

HEADERS = ("content-type", "content-length", "last-modified", "location")
CONTENT = b"We are the knights who say Ni!"
MODIFIED_S = 1_700_000_000

FILES = [
    *(b"test", b"a.txt", b"page.html", b"data.json", b"pic.png", b"x.tar.gz", b"s.css", b"v.svg"),
    *(b"s.js", b"sp ace.txt", "gr\xfc.txt".encode(), b"\xe7w\xf0.txt", b"ha#sh.txt"),
    *(b"que?ry.txt", b".hidden", b"dir/file.txt", b"index/index.html", b"spam/index.html/file"),
]

ANY = "any"
"""Not compared."""

CLIMB = "python.org/..%2f..%2f..%2f..%2f..%2f../%0a%0d/../dir"


def date(offset_s: int = 0) -> str:
    return email.utils.formatdate(MODIFIED_S + offset_s, usegmt=True)


@dataclass(frozen=True, slots=True)
class Difference:
    """Why, and "status" or a header -> (what http.server says, what forkd says)."""

    why: str
    values: dict[str, tuple[object, object]]


HTML = ("text/html;charset=utf-8", "text/html; charset=utf-8")

PAGE = Difference(
    "each has an error page of its own", {"content-type": HTML, "content-length": (ANY, ANY)}
)
LISTING = Difference("a listing of its own, with sizes and times", {"content-length": (ANY, ANY)})
LINK = Difference(
    "a redirection says in a line of text where to go",
    {"content-type": (None, "text/plain; charset=utf-8"), "content-length": ("0", ANY)},
)
UTF8 = Difference(
    "text that cannot say its encoding itself is sent as UTF-8",
    {"content-type": ("text/plain", "text/plain; charset=utf-8")},
)
SCRIPT = Difference(
    UTF8.why, {"content-type": ("text/javascript", "text/javascript; charset=utf-8")}
)
NOT_MODIFIED = Difference(
    "304 has the validators that 200 would have (RFC 9110 15.4.5)",
    {"last-modified": (None, date())},
)
MATCHES = Difference(
    "If-None-Match is understood, and * matches what is there (RFC 9110 13.1.2)",
    {"status": (200, 304), "content-type": (ANY, None), "content-length": (ANY, None)},
)
NOT_ALLOWED = Difference("the method is known, but not allowed here", {"status": (501, 405)})
OPTIONS = Difference(
    "OPTIONS is answered, with Allow",
    {"status": (501, 200), "content-type": (ANY, None), "content-length": (ANY, "0")},
)
NO_TARGET = Difference(
    "that is no request target (RFC 9112 3.2)",
    {"status": (ANY, 400)} | dict.fromkeys(HEADERS, (ANY, ANY)),
)
ENCODING = Difference("the percent-encoding is malformed", {"status": (404, 400)})
OUTSIDE = Difference(
    "what climbs above the root is not folded into it",
    {"status": (ANY, 404)} | dict.fromkeys(HEADERS[:3], (ANY, ANY)) | {"location": (ANY, None)},
)
HIDDEN = Difference(
    "names with a dot are not served",
    {"status": (200, 404)} | dict.fromkeys(HEADERS, (ANY, ANY)),
)
ABSOLUTE = Difference(
    "a target with scheme and host is understood (RFC 9112 3.2.2)",
    {
        "status": (404, 200),
        "content-type": (ANY, "application/octet-stream"),
        "content-length": (ANY, str(len(CONTENT))),
        "last-modified": (None, date()),
    },
)
RANGE = Difference(
    "ranges are served", {"status": (200, 206), "content-length": (str(len(CONTENT)), "4")}
)
BYTES = Difference(
    "a name is the bytes that are in the URL, UTF-8 or not",
    {"status": (404, 200), "content-type": (ANY, ANY), "content-length": (ANY, ANY)}
    | {"last-modified": (None, date())},
)
SURROGATES = Difference(
    BYTES.why,
    {"status": (200, 404), "content-type": (ANY, ANY), "content-length": (ANY, ANY)}
    | {"last-modified": (date(), None)},
)


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and all in which the two answers differ."""

    target: str
    differences: tuple[Difference, ...] = ()
    method: str = "GET"
    headers: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return " ".join((self.method, self.target, *self.headers))


CASES = [
    Case("/test"),
    Case("/test", method="HEAD"),
    Case("/test/", (PAGE,)),
    Case("/dir", (LINK,)),
    Case("/dir?hi=1", (LINK,)),
    Case("/dir/", (LISTING,)),
    Case("/dir/", (LISTING,), "HEAD"),
    Case("/dir/?hi=2", (LISTING,)),
    Case("/dir/?x=%bb", (LISTING,)),
    Case("/index", (LINK,)),
    Case("/index/"),
    Case("/spam/", (LISTING,)),
    Case("/ThisDoesNotExist", (PAGE,)),
    Case("/ThisDoesNotExist", (PAGE,), "HEAD"),
    Case("/ThisDoesNotExist/", (PAGE,)),
    Case("/test", (NOT_MODIFIED,), headers=(f"If-Modified-Since: {date()}",)),
    Case("/test", (NOT_MODIFIED,), headers=(f"If-Modified-Since: {date(3600)}",)),
    Case("/test", headers=(f"If-Modified-Since: {date(-365 * 86400)}",)),
    Case("/test", headers=("If-Modified-Since: nonsense",)),
    Case("/test", (MATCHES,), headers=(f"If-Modified-Since: {date()}", "If-None-Match: *")),
    Case("/test", headers=('If-None-Match: "another"',)),
    Case("/test", (RANGE,), headers=("Range: bytes=0-3",)),
    Case("/", (PAGE,), "FOO"),
    Case("/", (PAGE,), "custom"),
    Case("/", (PAGE,), "GETs"),
    Case("/test", (PAGE, NOT_ALLOWED), "POST"),
    Case("/test", (PAGE, NOT_ALLOWED), "PUT"),
    Case("/test", (PAGE, NOT_ALLOWED), "DELETE"),
    Case("/test", (OPTIONS,), "OPTIONS"),
    Case("test", (NO_TARGET,)),
    Case("test/", (NO_TARGET,)),
    Case("dir?hi=1", (NO_TARGET,)),
    Case("/test#fragment", (NO_TARGET,)),
    Case("/test?a=b"),
    Case("/%74est"),
    Case("/sp%20ace.txt", (UTF8,)),
    Case("/sp+ace.txt", (PAGE,)),
    Case("/gr%C3%BC.txt", (UTF8,)),
    Case("/ha%23sh.txt", (UTF8,)),
    Case("/que%3Fry.txt", (UTF8,)),
    Case("/dir%2Ffile.txt", (UTF8,)),
    Case("/%E7w%F0.txt", (BYTES,)),
    Case("/%ED%B3%A7w%ED%B3%B0.txt", (SURROGATES,)),
    Case("/%zz", (PAGE, ENCODING)),
    Case("/a.txt", (UTF8,)),
    Case("/s.js", (SCRIPT,)),
    *(Case(f"/{name}") for name in ("page.html", "data.json", "pic.png", "x.tar.gz")),
    *(Case(f"/{name}") for name in ("s.css", "v.svg")),
    Case("/.hidden", (HIDDEN,)),
    Case("//test"),
    Case("//dir", (LINK,)),
    Case("/dir/../test"),
    Case("/../test", (OUTSIDE,)),
    Case("/../../../../../etc/passwd", (PAGE,)),
    Case("/%2e%2e/%2e%2e/%2e%2e/etc/passwd", (PAGE,)),
    Case("/..%2f..%2f..%2fetc/passwd", (PAGE,)),
    Case(f"/{CLIMB}", (OUTSIDE,)),
    Case(f"//{CLIMB}", (OUTSIDE,)),
    Case(f"///{CLIMB}", (OUTSIDE,)),
    Case("http://test/test", (ABSOLUTE,)),
]


@contextmanager
def http_server(directory: Path) -> Iterator[int]:
    """Python's own server, on the port that this gives."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "http.server", str(port)),
            *("--bind", "127.0.0.1", "--directory", str(directory)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(PYTHONUTF8="1"),
    )

    def answers() -> bool:
        assert process.poll() is None, "python -m http.server did not start"
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0

    try:
        eventually(answers, "python -m http.server answers")
        yield port
    finally:
        process.kill()
        process.wait(DEADLINE_S)


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """Of http.server and of forkd, which serve the same directory."""
    directory = tmp_path_factory.mktemp("parity")
    for name in FILES:
        path = Path(os.fsdecode(os.fsencode(directory / "html") + b"/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT)
        os.utime(path, (MODIFIED_S, MODIFIED_S))
    routes = {"/": "{static: html, listing: true}"}
    with (
        http_server(directory / "html") as theirs,
        started(directory, routes, workers="{count: 1}") as daemon,
    ):
        yield theirs, daemon.port


def ask(port: int, case: Case) -> dict[str, object]:
    lines = (f"{case.method} {case.target} HTTP/1.1", "Host: test", "Connection: close")
    with Wire(port) as wire:
        wire.send("\r\n".join((*lines, *case.headers, "", "")).encode())
        answer = wire.answer(case.method)
    return {"status": answer.status} | {name: answer.headers.get(name) for name in HEADERS}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_answer_is_that_of_http_server_or_differs_for_a_reason(
    ports: tuple[int, int], case: Case
) -> None:
    theirs, ours = (ask(port, case) for port in ports)
    for key in ("status", *HEADERS):
        expected = [found.values[key] for found in case.differences if key in found.values]
        if not expected:
            assert theirs[key] == ours[key], f"{key} differs for no reason"
            continue
        for known, value in zip(expected[-1], (theirs[key], ours[key]), strict=True):
            assert known in (ANY, value), key


def test_no_two_cases_are_alike() -> None:
    assert len({str(case) for case in CASES}) == len(CASES)
