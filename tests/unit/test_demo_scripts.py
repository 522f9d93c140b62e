"""The demo scripts, each run by hand as a CGI program is: RFC 3875, without a server."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

SCRIPTS = Path(__file__).parents[2] / "cgi-bin"
NAMES = ["env.pl", "env.sh", "form.pl", "form.py", "hello.sh", "stream.py", "upload.py"]
FORMS = ["form.py", "form.pl"]

HOSTILE = '<script>alert("&\'")</script>'
ESCAPED = re.compile(r"&lt;script&gt;alert\((&quot;|&#34;)&amp;(&#x27;|&#39;|')(&quot;|&#34;)\)")


@dataclass(frozen=True, slots=True)
class Answer:
    status: str
    headers: Mapping[str, str]
    body: str


def skip_without_perl(name: str) -> None:
    if name.endswith(".pl") and not os.access("/usr/bin/perl", os.X_OK):
        if os.environ.get("CI"):
            pytest.fail("/usr/bin/perl is missing; CI must have it (package perl)")
        pytest.skip("perl is not installed")


def environment(**variables: str) -> dict[str, str]:
    # The interpreter that runs the tests comes first, whatever the system calls python3.
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    return {"PATH": path, "GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "GET", **variables}


def run(name: str, body: bytes = b"", **variables: str) -> Answer:
    """Run a script and read its answer. It must end with 0 and write nothing to stderr."""
    skip_without_perl(name)
    result = subprocess.run(
        [SCRIPTS / name],
        check=False,
        input=body,
        capture_output=True,
        env=environment(**variables),
        timeout=30,
    )
    assert (result.returncode, result.stderr) == (0, b"")
    head, separator, content = result.stdout.partition(b"\n\n")
    assert separator
    headers = dict(line.split(": ", 1) for line in head.decode("ascii").split("\n"))
    return Answer(headers.pop("Status", "200 OK"), headers, content.decode())


def post(name: str, body: bytes, media_type: str, **variables: str) -> Answer:
    return run(
        name,
        body,
        **{
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": media_type,
            "CONTENT_LENGTH": str(len(body)),
            **variables,
        },
    )


def post_form(name: str, body: bytes, **variables: str) -> Answer:
    return post(name, body, "application/x-www-form-urlencoded", **variables)


def rows(answer: Answer) -> list[list[str]]:
    """Return the cells of the table's body, as they are written in the page."""
    assert (answer.status, answer.headers["Content-Type"]) == ("200 OK", "text/html; charset=utf-8")
    _, _, table = answer.body.partition("<tbody>")
    found = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in found]


def test_every_script_has_its_run_bit_and_an_interpreter_line() -> None:
    found = {path.name: path for path in SCRIPTS.iterdir() if path.is_file()}
    assert sorted(found) == NAMES
    for path in found.values():
        assert path.stat().st_mode & 0o111 == 0o111
        assert path.read_bytes().startswith(b"#!/usr/bin/" if path.suffix != ".sh" else b"#!/bin/")


def test_hello_answers_with_text() -> None:
    answer = run("hello.sh")
    assert answer.headers == {"Content-Type": "text/plain; charset=utf-8"}
    assert answer.body.startswith("Hello from a shell script!\n")


def test_env_is_text_for_clients_that_do_not_ask_for_html() -> None:
    answer = run("env.sh", QUERY_STRING="a=1", HTTP_ACCEPT="*/*")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "QUERY_STRING=a=1" in answer.body.split("\n")


@pytest.mark.parametrize("name", ["env.sh", "env.pl"])
def test_env_is_a_table_for_browsers(name: str) -> None:
    answer = run(name, HTTP_ACCEPT="text/html,*/*;q=0.8", QUERY_STRING="a=1&b=2")
    assert ["QUERY_STRING", "a=1&amp;b=2"] in rows(answer)


@pytest.mark.parametrize("name", ["env.sh", "env.pl"])
def test_env_escapes_markup(name: str) -> None:
    answer = run(name, HTTP_ACCEPT="text/html", HTTP_REFERER=HOSTILE)
    assert HOSTILE not in answer.body
    assert "<script" not in answer.body
    assert ESCAPED.search(answer.body)


@pytest.mark.parametrize("name", ["env.sh", "env.pl"])
def test_env_takes_a_line_feed_in_a_value_for_what_it_is(name: str) -> None:
    answer = run(name, HTTP_ACCEPT="text/html", PATH_INFO="/a\nREMOTE_USER=root")
    table = rows(answer)
    assert ["PATH_INFO", "/a\nREMOTE_USER=root"] in table
    assert "REMOTE_USER" not in [cells[0] for cells in table]


FIELDS = [
    ("a=1&b=2", [["a", "1"], ["b", "2"]]),
    ("a=1&a=2", [["a", "1"], ["a", "2"]]),
    ("a=b%20c+d", [["a", "b c d"]]),
    ("a=1%2B1%3D2", [["a", "1+1=2"]]),
    ("empty=&bare", [["empty", ""], ["bare", ""]]),
    ("n%C3%A4me=Zo%C3%AB", [["näme", "Zoë"]]),
    ("bad=%ff", [["bad", "\N{REPLACEMENT CHARACTER}"]]),
    ("percent=100%", [["percent", "100%"]]),
    ("&&a=1&", [["a", "1"]]),
    ("", [["No field was sent."]]),
]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize(("text", "expected"), FIELDS)
def test_form_shows_the_fields_of_a_query(name: str, text: str, expected: list[list[str]]) -> None:
    assert rows(run(name, QUERY_STRING=text)) == expected


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize(("text", "expected"), FIELDS)
def test_form_shows_the_fields_of_a_body(name: str, text: str, expected: list[list[str]]) -> None:
    assert rows(post_form(name, text.encode(), QUERY_STRING="not=this")) == expected


@pytest.mark.parametrize("name", FORMS)
def test_form_escapes_markup_in_names_and_values(name: str) -> None:
    hostile = quote(HOSTILE)
    body = f"{hostile}=x&x={hostile}"
    answer = post_form(name, body.encode())
    assert "<script" not in answer.body
    assert len(ESCAPED.findall(answer.body)) == 2


@pytest.mark.parametrize("name", FORMS)
def test_form_reads_no_more_than_the_length_says(name: str) -> None:
    assert rows(post_form(name, b"a=1&b=2", CONTENT_LENGTH="3")) == [["a", "1"]]


@pytest.mark.parametrize("name", FORMS)
def test_form_refuses_what_it_cannot_read(name: str) -> None:
    other = post(name, b"{}", "application/json")
    assert other.status == "415 Unsupported Media Type"
    short = post_form(name, b"a=1", CONTENT_LENGTH="10")
    assert short.status == "400 Bad Request"
    large = post_form(name, b"", CONTENT_LENGTH="65537")
    assert large.status == "413 Content Too Large"
    method = run(name, REQUEST_METHOD="PUT")
    assert (method.status, method.headers["Allow"]) == ("405 Method Not Allowed", "GET, HEAD, POST")


def test_form_in_python_bounds_the_number_of_fields() -> None:
    assert post_form("form.py", b"&".join([b"a=1"] * 201)).status == "400 Bad Request"


def multipart(*parts: tuple[str, bytes], boundary: str = "XyZ") -> bytes:
    lines = [f"--{boundary}\r\n{head}\r\n\r\n".encode() + content for head, content in parts]
    return b"\r\n".join([*lines, f"--{boundary}--\r\n".encode()])


def upload(body: bytes, boundary: str = "XyZ", **variables: str) -> Answer:
    return post("upload.py", body, f"multipart/form-data; boundary={boundary}", **variables)


FILE = 'Content-Disposition: form-data; name="f"; filename="x.bin"\r\nContent-Type: image/png'

# More than one block, with beginnings of the boundary and line ends all through it.
LARGE = b"\r\n--XyY\r\n--Xy\r\n\r\n" * 9000


@pytest.mark.parametrize(
    "content", [b"", b"\r\n", b"one", b"\r\n--Xy", b"--XyZ", bytes(range(256)), LARGE]
)
def test_upload_shows_size_and_digest_of_a_file(content: bytes) -> None:
    digest = hashlib.sha256(content).hexdigest()
    [row] = rows(upload(multipart((FILE, content))))
    assert row == ["f", "x.bin", "image/png", f"{len(content):,}", digest]


def test_upload_shows_every_part_in_its_order() -> None:
    text = ('Content-Disposition: form-data; name="näme"', b"v")
    answer = upload(multipart(text, (FILE, b"1"), (FILE.replace("x.bin", "Größe.txt"), b"22")))
    assert [row[:2] + row[3:4] for row in rows(answer)] == [
        ["näme", "", "1"],
        ["f", "x.bin", "1"],
        ["f", "Größe.txt", "2"],
    ]


def test_upload_takes_a_quoted_boundary_and_text_before_the_first() -> None:
    boundary = "a b:c"
    body = b"for old readers\r\n" + multipart((FILE, b"1"), boundary=boundary)
    assert len(rows(upload(body, boundary=f'"{boundary}"'))) == 1


def test_upload_escapes_markup_in_names() -> None:
    head = (
        'Content-Disposition: form-data; name="<script>f"; filename="<script>x"\r\n'
        "Content-Type: <script>/x"
    )
    answer = upload(multipart((head, b"")))
    assert "<script" not in answer.body
    assert answer.body.count("&lt;script&gt;") >= 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary at all",
        b"--XyZ",
        b"--XyZ\r\n",
        b"--XyZ\r\n" + FILE.encode(),
        b"--XyZ\r\n" + FILE.encode() + b"\r\n\r\nno end",
        b"--XyZ\r\n" + FILE.encode() + b"\r\n\r\n1\r\n--XyZ",
        b"--XyZjunk\r\n" + FILE.encode() + b"\r\n\r\n1\r\n--XyZ--",
        multipart(("Content-Type: text/plain", b"1")),
        multipart(("Content-Disposition: form-data", b"1")),
        multipart(('Content-Disposition: attachment; name="f"', b"1")),
        multipart((FILE + "\r\nX: " + "x" * 9000, b"1")),
    ],
)
def test_upload_refuses_a_malformed_body(body: bytes) -> None:
    answer = upload(body)
    assert answer.status == "400 Bad Request"
    assert answer.body.startswith("Malformed multipart/form-data: ")


def test_upload_bounds_the_number_of_parts() -> None:
    assert len(rows(upload(multipart(*[(FILE, b"")] * 100)))) == 100
    assert upload(multipart(*[(FILE, b"")] * 101)).status == "413 Content Too Large"


@pytest.mark.parametrize(
    "media_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 71,
        "multipart/form-data; boundary=<x>",
        "multipart/form-data; boundary=\N{LATIN SMALL LETTER A WITH DIAERESIS}",
    ],
)
def test_upload_refuses_a_boundary_that_is_none(media_type: str) -> None:
    assert post("upload.py", b"", media_type).status == "400 Bad Request"


def test_upload_refuses_other_types_and_methods() -> None:
    assert post("upload.py", b"a=1", "text/plain").status == "415 Unsupported Media Type"
    answer = run("upload.py")
    assert (answer.status, answer.headers["Allow"]) == ("405 Method Not Allowed", "POST")


def test_stream_writes_each_line_when_it_is_made() -> None:
    with subprocess.Popen(
        [SCRIPTS / "stream.py"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as script:
        assert script.stdout is not None
        assert script.stderr is not None
        head = [script.stdout.readline() for _ in range(4)]
        assert head[0] == b"Content-Type: text/plain; charset=utf-8\n"
        assert head[3] == b"\n"
        assert script.stdout.readline().startswith(b"Line 1 of 10, ")
        # Its end is nine pauses away: what was read did not wait for it.
        assert script.poll() is None
        # The client goes: the next line ends the script, and quietly.
        script.stdout.close()
        assert script.wait(timeout=10) == -signal.SIGPIPE
        assert script.stderr.read() == b""
