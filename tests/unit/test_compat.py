"""What the CGI handler for http.server decides without running anything."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from forkd.compat.answer import BadHead, Framing, Head, HeadReader, framing
from forkd.compat.program import exit_words, start_failure
from forkd.compat.request import Refused, body_length, claim, collapse, header_variables
from forkd.compat.script import lies_in


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/cgi-bin/a.sh", "/cgi-bin/a.sh"),
        ("/cgi-bin/a.sh?x=/../y", "/cgi-bin/a.sh"),
        ("/cgi-bin/a.sh#part?x", "/cgi-bin/a.sh"),
        ("//cgi-bin//a.sh", "/cgi-bin/a.sh"),
        ("cgi-bin/a.sh", "/cgi-bin/a.sh"),
        ("/./cgi-bin/./a.sh/.", "/cgi-bin/a.sh/"),
        ("/cgi%2Dbin/a.sh", "/cgi-bin/a.sh"),
        ("/cgi-bin%2fa.sh", "/cgi-bin/a.sh"),
        ("/x/%2e%2e/cgi-bin/a.sh", "/cgi-bin/a.sh"),
        ("/cgi-bin/%252e%252e/a.sh", "/cgi-bin/%2e%2e/a.sh"),
        ("/cgi-bin/a%3fb", "/cgi-bin/a?b"),
        ("/cgi-bin/a.sh/x/..", "/cgi-bin/a.sh/"),
        ("/cgi-bin/..", "/"),
        ("/gr%C3%BC%FC", os.fsdecode("/gr\xfc".encode() + b"\xfc")),
    ],
)
def test_a_path_is_decoded_once_and_then_collapsed(target: str, path: str) -> None:
    assert collapse(target) == path


@pytest.mark.parametrize(
    "target", ["/..", "/../cgi-bin/a.sh", "/%2e%2e/a", "/a/../../b", "/cgi-bin/../../etc/passwd"]
)
def test_a_path_that_climbs_above_the_root_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="climbs"):
        collapse(target)


@pytest.mark.parametrize(
    ("path", "directories", "claimed"),
    [
        ("/cgi-bin/a.sh", ["/cgi-bin"], ("/cgi-bin", "a.sh")),
        ("/cgi-bin/d/a.sh/p", ["/cgi-bin"], ("/cgi-bin", "d/a.sh/p")),
        ("/cgi-bin", ["/cgi-bin"], ("/cgi-bin", "")),
        ("/cgi-bin/", ["/cgi-bin/"], ("/cgi-bin", "")),
        ("/a/b/c.sh", ["/a/b"], ("/a/b", "c.sh")),
        ("/x/c.sh", ["/"], ("", "x/c.sh")),
        ("/cgi-binary/a.sh", ["/cgi-bin"], None),
        ("/x/cgi-bin/a.sh", ["/cgi-bin"], None),
        ("/", ["/cgi-bin"], None),
    ],
)
def test_a_directory_claims_all_that_is_below_it(
    path: str, directories: list[str], claimed: tuple[str, str] | None
) -> None:
    assert claim(path, directories) == claimed


def test_a_file_lies_in_a_directory_by_whatever_name(tmp_path: Path) -> None:
    scripts = tmp_path / "cgi-bin"
    scripts.mkdir()
    (scripts / "a.sh").touch()
    (tmp_path / "alias").symlink_to(scripts)
    (tmp_path / "page").touch()
    assert lies_in(f"{tmp_path}/alias/a.sh", [str(scripts)])
    assert lies_in(str(scripts), [str(scripts)])
    assert not lies_in(f"{tmp_path}/page", [str(scripts)])
    assert not lies_in(f"{tmp_path}/page", [f"{tmp_path}/missing", f"{tmp_path}/page"])


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ([], None),
        ([("Content-Length", "0")], 0),
        ([("content-length", " 12 ")], 12),
        ([("Content-Length", "12"), ("Content-Length", "12")], 12),
    ],
)
def test_the_length_of_a_body_is_what_content_length_says(
    headers: list[tuple[str, str]], length: int | None
) -> None:
    assert body_length(headers) == length


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("Content-Length", "1"), ("Content-Length", "2")], 400),
        ([("Content-Length", "-1")], 400),
        ([("Content-Length", "+1")], 400),
        ([("Content-Length", "1_0")], 400),
        ([("Content-Length", "\u0661")], 400),
        ([("Content-Length", "")], 400),
        ([("Content-Length", "1" * 19)], 400),
        ([("Transfer-Encoding", "chunked")], 501),
        ([("Content-Length", "1"), ("Transfer-Encoding", "identity")], 501),
    ],
)
def test_a_body_of_unclear_length_is_refused(headers: list[tuple[str, str]], status: int) -> None:
    with pytest.raises(Refused) as caught:
        body_length(headers)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("headers", "variables"),
    [
        ([("User-Agent", "x")], {"HTTP_USER_AGENT": b"x"}),
        ([("Accept", "a"), ("accept", "b")], {"HTTP_ACCEPT": b"a, b"}),
        ([("Cookie", "a=1"), ("Cookie", "b=2")], {"HTTP_COOKIE": b"a=1; b=2"}),
        ([("Content-Type", "text/x"), ("Content-Length", "3")], {"CONTENT_TYPE": b"text/x"}),
        ([("X-Name", "gr\xfcn")], {"HTTP_X_NAME": b"gr\xfcn"}),
        ([("X-Long", "a\r\n  b")], {"HTTP_X_LONG": b"a b"}),
        ([("X_Forwarded_For", "1"), ("X-A.B", "1"), ("X-(){", "1")], {}),
        ([("Proxy", "http://evil"), ("PROXY", "x")], {}),
        ([("Authorization", "Basic x"), ("Proxy-Authorization", "x")], {}),
        ([("Connection", "close, X-Hop"), ("X-Hop", "1"), ("TE", "trailers")], {}),
        ([("Connection", "Host"), ("Host", "a")], {"HTTP_HOST": b"a"}),
    ],
)
def test_a_header_becomes_a_variable_unless_it_is_withheld(
    headers: list[tuple[str, str]], variables: dict[str, bytes]
) -> None:
    assert header_variables(headers) == variables


PLAIN = ("Content-Type", "text/plain")


@pytest.mark.parametrize(
    ("output", "head", "rest"),
    [
        (
            b"Content-Type: text/plain\n\nbody\n\n",
            Head(200, None, (PLAIN,), None, None),
            b"body\n\n",
        ),
        (
            b"Content-type:text/plain\r\nX-A: 1\r\nX-A: 2\r\n\r\n",
            Head(200, None, (PLAIN, ("X-A", "1"), ("X-A", "2")), None, None),
            b"",
        ),
        (b"Status: 404 Not Here\n\n", Head(404, "Not Here", (), None, None), b""),
        (b"status: 204\n\n", Head(204, None, (), None, None), b""),
        (b"Location: /x?y\n\n", Head(302, None, (("Location", "/x?y"),), None, "/x?y"), b""),
        (b"Location: //h/x\n\n", Head(302, None, (("Location", "//h/x"),), None, None), b""),
        (
            b"Status: 303 See Other\nLocation: /x\n\n",
            Head(303, "See Other", (("Location", "/x"),), None, None),
            b"",
        ),
        (
            b"Location: http://a/\n\n",
            Head(302, None, (("Location", "http://a/"),), None, None),
            b"",
        ),
        (
            b"Content-Type: text/plain\nContent-Length: 4\nServer: s\nDate: d\n\nbody",
            Head(200, None, (PLAIN,), 4, None),
            b"body",
        ),
    ],
)
def test_a_header_is_read_whole_and_in_pieces(output: bytes, head: Head, rest: bytes) -> None:
    whole = HeadReader()
    assert whole.feed(output) == head
    assert whole.rest == rest
    pieces = HeadReader()
    for at in range(len(output) - len(rest) - 1):
        assert pieces.feed(output[at : at + 1]) is None
    assert pieces.feed(output[len(output) - len(rest) - 1 :]) == head
    assert pieces.rest == rest


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (b"<html>\n", "'<html>' where a header"),
        (b"\nbody", "no Content-Type"),
        (b"X-A: 1\n\n", "no Content-Type"),
        (b"Location:\n\n", "no Content-Type"),
        (b"HTTP/1.1 200 OK\n", "'HTTP/1.1 200 OK' where"),
        (b"A: 1\n folded: 2\n", "where a header"),
        (b"Content Type: x\n", "where a header"),
        (b"X: a\rSet-Cookie: b\n", "where a header"),
        (b"X: \x00\n", "where a header"),
        (b"Status: 99\n\n", "no number from 200"),
        (b"Status: OK\n\n", "no number from 200"),
        (b"Status: 100 Continue\n\n", "no number from 200"),
        (b"Status: 200\nStatus: 404\n", "two different"),
        (b"Content-Type: a\nContent-Length: -1\n\n", "malformed Content-Length"),
        (b"Content-Type: a\nTransfer-Encoding: chunked\n", "the server's to choose"),
        (b"X: 1\n" * 201, "200 lines"),
        (b"X" * 70_000, "65536 bytes"),
    ],
)
def test_output_that_begins_with_no_header_is_told_at_once(output: bytes, words: str) -> None:
    with pytest.raises(BadHead, match=words):
        HeadReader().feed(output)


@pytest.mark.parametrize(
    ("output", "words"), [(b"", "ended without a header"), (b"X: 1\n", "ended within its header")]
)
def test_output_that_ends_too_early_is_told(output: bytes, words: str) -> None:
    reader = HeadReader()
    assert reader.feed(output) is None
    assert reader.eof() == words


@pytest.mark.parametrize(
    ("command", "status", "length", "modern", "wanted"),
    [
        ("GET", 200, 5, True, Framing.LENGTH),
        ("GET", 200, 5, False, Framing.LENGTH),
        ("GET", 200, None, True, Framing.CHUNKED),
        ("GET", 200, None, False, Framing.CLOSE),
        ("HEAD", 200, 5, True, Framing.NONE),
        ("HEAD", 200, None, False, Framing.NONE),
        ("GET", 204, None, True, Framing.NONE),
        ("POST", 304, 5, True, Framing.NONE),
    ],
)
def test_the_framing_follows_from_the_request_and_the_header(
    command: str, status: int, length: int | None, modern: bool, wanted: Framing
) -> None:
    head = Head(status, None, (), length, None)
    assert framing(head, command=command, modern=modern) is wanted


@pytest.mark.parametrize(
    ("number", "status", "words"),
    [
        (errno.ENOENT, 500, "interpreter"),
        (errno.ENOEXEC, 500, "#!"),
        (errno.EACCES, 500, "may not run it"),
        (errno.E2BIG, 431, "headers"),
        (errno.EMFILE, 503, "busy"),
        (errno.EIO, 500, "Input/output error"),
    ],
)
def test_a_program_that_cannot_be_started_has_a_reason(
    number: int, status: int, words: str
) -> None:
    given, reason = start_failure(OSError(number, os.strerror(number)))
    assert given == status
    assert words in reason


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, ""), (3, "; exit status 3"), (-9, "; signal 9 (SIGKILL)"), (-63, "; signal 63")],
)
def test_the_end_of_a_program_is_put_into_words(code: int, words: str) -> None:
    assert exit_words(code) == words
