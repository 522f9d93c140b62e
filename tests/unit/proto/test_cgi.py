from __future__ import annotations

from dataclasses import replace

import pytest

from forkd import __version__
from forkd.errors import ProtocolError
from forkd.proto.cgi import CgiHead, Meta, ResponseParser, environment

META = Meta(
    method="GET",
    scheme="http",
    protocol="HTTP/1.1",
    server_name="example.org",
    server_port=8080,
    remote_addr="192.0.2.1",
    remote_port=4711,
    script_name=b"/cgi-bin/a",
    path_info=b"",
    path_translated=b"",
    query=b"x=1",
    request_uri=b"/cgi-bin/a?x=1",
    document_root=b"/srv/html",
    script_filename=b"/srv/cgi-bin/a",
    content_length=None,
    headers=(),
    request_id=b"r1",
)


def variables(
    *headers: tuple[bytes, bytes], pass_authorization: bool = False
) -> dict[bytes, bytes]:
    """The HTTP_ variables, and those of the body, that these headers give."""
    meta = replace(META, headers=headers, pass_authorization=pass_authorization)
    return {
        name: value
        for name, value in environment(meta).items()
        if name.startswith((b"HTTP_", b"CONTENT_"))
    }


def test_an_environment_is_made_from_nothing() -> None:
    assert environment(META) == {
        b"GATEWAY_INTERFACE": b"CGI/1.1",
        b"SERVER_SOFTWARE": b"forkd/" + __version__.encode(),
        b"SERVER_NAME": b"example.org",
        b"SERVER_PORT": b"8080",
        b"SERVER_PROTOCOL": b"HTTP/1.1",
        b"REQUEST_METHOD": b"GET",
        b"REQUEST_SCHEME": b"http",
        b"REQUEST_URI": b"/cgi-bin/a?x=1",
        b"REQUEST_ID": b"r1",
        b"QUERY_STRING": b"x=1",
        b"REMOTE_ADDR": b"192.0.2.1",
        b"REMOTE_PORT": b"4711",
        b"SCRIPT_NAME": b"/cgi-bin/a",
        b"SCRIPT_FILENAME": b"/srv/cgi-bin/a",
        b"DOCUMENT_ROOT": b"/srv/html",
        b"REDIRECT_STATUS": b"200",
        b"PATH": b"/usr/local/bin:/usr/bin:/bin",
    }


@pytest.mark.parametrize(
    ("meta", "expected", "absent"),
    [
        (META, {}, [b"PATH_INFO", b"PATH_TRANSLATED", b"HTTPS", b"CONTENT_LENGTH"]),
        (
            replace(META, path_info=b"/p", path_translated=b"/srv/html/p"),
            {b"PATH_INFO": b"/p", b"PATH_TRANSLATED": b"/srv/html/p"},
            [],
        ),
        (replace(META, path_translated=b"/srv/html/p"), {}, [b"PATH_INFO", b"PATH_TRANSLATED"]),
        (replace(META, path_info=b"/p"), {b"PATH_INFO": b"/p"}, [b"PATH_TRANSLATED"]),
        (replace(META, scheme="https"), {b"HTTPS": b"on", b"REQUEST_SCHEME": b"https"}, []),
        (replace(META, content_length=0), {b"CONTENT_LENGTH": b"0"}, []),
        (replace(META, content_length=5), {b"CONTENT_LENGTH": b"5"}, []),
        (replace(META, remote_port=None), {}, [b"REMOTE_PORT"]),
        (replace(META, path=b"/bin"), {b"PATH": b"/bin"}, []),
        (
            replace(META, extra={b"PATH": b"/opt", b"GIT_PROJECT_ROOT": b"/srv/git"}),
            {b"PATH": b"/opt", b"GIT_PROJECT_ROOT": b"/srv/git"},
            [],
        ),
    ],
)
def test_a_variable_is_there_where_it_has_a_meaning(
    meta: Meta, expected: dict[bytes, bytes], absent: list[bytes]
) -> None:
    made = environment(meta)
    assert {name: made.get(name) for name in expected} == expected
    assert [name for name in absent if name in made] == []


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([(b"host", b"a")], {b"HTTP_HOST": b"a"}),
        ([(b"x-thing-1", b"b")], {b"HTTP_X_THING_1": b"b"}),
        ([(b"content-encoding", b"gzip")], {b"HTTP_CONTENT_ENCODING": b"gzip"}),
        ([(b"git-protocol", b"version=2")], {b"HTTP_GIT_PROTOCOL": b"version=2"}),
        ([(b"content-type", b"a/b")], {b"CONTENT_TYPE": b"a/b"}),
        ([(b"content-length", b"5")], {}),
        ([(b"proxy", b"http://evil/")], {}),
        ([(b"x_thing", b"b")], {}),
        ([(b"x_forwarded_for", b"b"), (b"x-forwarded-for", b"c")], {b"HTTP_X_FORWARDED_FOR": b"c"}),
        ([(b"x.thing", b"b"), (b"bash_func_x%%", b"() { :; }")], {}),
        ([(b"accept", b"a"), (b"accept", b"b")], {b"HTTP_ACCEPT": b"a, b"}),
        ([(b"cookie", b"a=1"), (b"cookie", b"b=2")], {b"HTTP_COOKIE": b"a=1; b=2"}),
        ([(b"keep-alive", b"5"), (b"te", b"gzip"), (b"trailer", b"x")], {}),
        ([(b"upgrade", b"h2c"), (b"transfer-encoding", b"chunked")], {}),
        (
            [(b"x-hop", b"1"), (b"connection", b"close, X-Hop"), (b"x-end", b"2")],
            {b"HTTP_X_END": b"2"},
        ),
        ([(b"connection", b"host"), (b"host", b"a")], {b"HTTP_HOST": b"a"}),
        ([(b"connection", b"Content-Type"), (b"content-type", b"a/b")], {b"CONTENT_TYPE": b"a/b"}),
        ([(b"content-type", b"a/b"), (b"content-type", b"c/d")], {b"CONTENT_TYPE": b"a/b"}),
        ([(b"x-" + b"y" * 100, b"1")], {b"HTTP_X_" + b"Y" * 100: b"1"}),
        ([(b"authorization", b"Basic x"), (b"proxy-authorization", b"Basic y")], {}),
    ],
)
def test_a_header_becomes_a_variable_or_is_withheld(
    headers: list[tuple[bytes, bytes]], expected: dict[bytes, bytes]
) -> None:
    assert variables(*headers) == expected


def test_credentials_are_passed_where_that_is_asked_for() -> None:
    assert variables(
        (b"authorization", b"Basic x"),
        (b"proxy-authorization", b"Basic y"),
        (b"proxy", b"z"),
        pass_authorization=True,
    ) == {b"HTTP_AUTHORIZATION": b"Basic x", b"HTTP_PROXY_AUTHORIZATION": b"Basic y"}


def parse(output: bytes) -> tuple[CgiHead, bytes]:
    parser = ResponseParser()
    head = parser.feed(output)
    assert head is not None
    return head, parser.rest


TEXT = (b"Content-Type", b"text/plain")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"Content-Type: text/plain\n\n", CgiHead(200, b"", (TEXT,), None, None)),
        (b"Content-Type:text/plain \t\r\n\r\n", CgiHead(200, b"", (TEXT,), None, None)),
        (b"Content-Type: text/plain\r\n\n", CgiHead(200, b"", (TEXT,), None, None)),
        (b"Status: 404\n\n", CgiHead(404, b"", (), None, None)),
        (
            b"Status: 404 Not here\nContent-Type: text/plain\n\n",
            CgiHead(404, b"Not here", (TEXT,), None, None),
        ),
        (
            b"Content-Type: text/plain\nContent-Length: 5\n\n",
            CgiHead(200, b"", (TEXT,), 5, None),
        ),
        (
            b"Content-Type: text/html\nX-A: b\nCONTENT-TYPE: text/plain\n\n",
            CgiHead(200, b"", ((b"X-A", b"b"), (b"CONTENT-TYPE", b"text/plain")), None, None),
        ),
        (
            b"Location: http://b/\n\n",
            CgiHead(302, b"", ((b"Location", b"http://b/"),), None, None),
        ),
        (
            b"Location: http://b/\nStatus: 301 Moved\n\n",
            CgiHead(301, b"Moved", ((b"Location", b"http://b/"),), None, None),
        ),
        (b"Location: /b?c\n\n", CgiHead(302, b"", ((b"Location", b"/b?c"),), None, b"/b?c")),
        (
            b"Status: 303\nLocation: /b\n\n",
            CgiHead(303, b"", ((b"Location", b"/b"),), None, None),
        ),
        (b"Location: other\n\n", CgiHead(302, b"", ((b"Location", b"other"),), None, None)),
        (
            b"Content-Type: text/plain\nConnection: close\nKeep-Alive: 5\nUpgrade: x\n"
            b"Trailer: y\nServer: z\nDate: now\nProxy-Connection: w\n\n",
            CgiHead(200, b"", (TEXT,), None, None),
        ),
        (
            b"Content-Type: text/plain\nSet-Cookie: a\nset-cookie: b\nX-A: \xe9\n\n",
            CgiHead(
                200,
                b"",
                (TEXT, (b"Set-Cookie", b"a"), (b"set-cookie", b"b"), (b"X-A", b"\xe9")),
                None,
                None,
            ),
        ),
    ],
)
def test_a_script_writes_a_header(output: bytes, expected: CgiHead) -> None:
    head, rest = parse(output + b"body\n\nmore")
    assert head == expected
    assert rest == b"body\n\nmore"


def test_a_header_may_come_byte_by_byte() -> None:
    output = b"Content-Type: text/plain\r\nStatus: 201 Made\r\n\r\n"
    parser = ResponseParser()
    heads = [parser.feed(output[at : at + 1]) for at in range(len(output))]
    assert heads[:-1] == [None] * (len(output) - 1)
    assert heads[-1] == CgiHead(201, b"Made", (TEXT,), None, None)
    assert parser.rest == b""


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (b"<html>\n", "a line without a colon .*: '<html>'"),
        (b"HTTP/1.0 200 OK\n", "Status: 404.*'HTTP/1.0 200 OK'"),
        (b"x" * 100 + b"\n", "'" + "x" * 60 + r"'\.\.\."),
        (b"\n", "an empty line where its header should be"),
        (b"\r\n", "an empty line where its header should be"),
        (b"Hello world: yes\n", "does not begin with a header's name: 'Hello world: yes'"),
        (b": yes\n", "does not begin with a header's name"),
        (b"Content-Type : a\n", "does not begin with a header's name"),
        (b"X-A: b\n c: d\n", "does not begin with a header's name: ' c: d'"),
        (b"X-A: b\x00c\n", r"control bytes in it: 'X-A: b\\x00c'"),
        (b"X-A: b\rc\n", "control bytes"),
        (b"X-A: b\r\r\n", "control bytes"),
        (b"Status: 20\n\n", "not a number from 200 to 599: '20'"),
        (b"Status: 2000\n\n", "not a number from 200 to 599"),
        (b"Status: 100 Continue\n\n", "not a number from 200 to 599"),
        (b"Status: 600\n\n", "not a number from 200 to 599"),
        (b"Status: OK\n\n", "not a number from 200 to 599: 'OK'"),
        (b"Status:\n\n", "not a number from 200 to 599"),
        (b"Status: 200\nStatus: 404\n", "wrote Status twice"),
        (b"Location: /a\nlocation: /b\n", "wrote location twice"),
        (b"Location:\n\n", "an empty Location"),
        (b"Content-Length: 5\nContent-Length: 5\n", "wrote Content-Length twice"),
        (b"Status: 200\nContent-Length: +5\n\n", "malformed Content-Length: '.5'"),
        (b"Status: 200\nContent-Length:\n\n", "malformed Content-Length: ''"),
        (b"X-A: b\n\n", "no Content-Type, Location or Status"),
        (b"Content-Type: a/b\nTransfer-Encoding: chunked\n", "forkd's to choose"),
        (b"X: y\n" * 201, "more than 200 lines"),
        (b"X: " + b"y" * 65536, "longer than 65536 bytes"),
        (b"X: " + b"y" * 65536 + b"\n\n", "longer than 65536 bytes"),
    ],
)
def test_what_is_no_header_is_a_bad_gateway_and_is_named(output: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason) as error:
        ResponseParser().feed(output)
    assert error.value.status == 502
    assert "\n" not in error.value.reason


def test_a_header_that_comes_in_small_pieces_is_bounded() -> None:
    parser = ResponseParser()
    for _ in range(655):
        assert parser.feed(b"x" * 100) is None
    with pytest.raises(ProtocolError, match="longer than 65536 bytes"):
        parser.feed(b"x" * 100)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (b"", "502: the script ended without a header"),
        (b"Content-Ty", "502: the script ended within its header"),
        (b"Content-Type: a/b\n", "502: the script ended within its header"),
    ],
)
def test_output_that_ends_too_soon_has_its_own_error(output: bytes, reason: str) -> None:
    parser = ResponseParser()
    assert parser.feed(output) is None
    assert str(parser.eof()) == reason
