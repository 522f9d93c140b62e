"""WSGI applications behind a connection: PEP 3333, rule by rule.

The loop is stepped and the crew without threads: each call is made in the loop, as quick ones are.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

from forkd.config.settings import HeaderChanges
from forkd.handlers.wsgi import Application, Wsgi
from forkd.handlers.wsgi_environ import EnvironMaker
from forkd.loop.crew import Crew
from forkd.proto.http1.reader import MEMO_HEAD
from forkd.server.http import HttpConnection
from tests.unit.handlers.requests import request
from tests.unit.server.scene import Reply, Scene
from tests.unit.stepped import SteppedLoop
from tests.unit.written import written

StartResponse = Callable[..., Callable[[bytes], None]]
Environ = dict[str, Any]
MakeScene = Callable[..., Scene]

TEXT = [("Content-Type", "text/plain")]


@pytest.fixture
def scene(no_descriptor_leaks: None) -> Iterator[MakeScene]:  # noqa: ARG001 a fixture
    loop = SteppedLoop()
    made: list[Scene] = []

    def make(
        application: Application,
        *,
        strict: bool = True,
        rules: dict[str, object] | None = None,
        pattern: str = "/",
        env: dict[str, str] | None = None,
    ) -> Scene:
        handler = Wsgi(
            validator(application) if strict else application,
            "test:app",
            written(HeaderChanges, **(rules or {})),
            env or {},
            Crew(loop, 4),
        )
        made.append(Scene(loop, {pattern: handler}, max_body=1 << 30))
        return made[-1]

    yield make
    for one in made:
        one.close()
    loop.close()


def hello(_environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    return [b"hello"]


def returning(
    pieces: Iterable[bytes], status: str = "200 OK", headers: list[tuple[str, str]] | None = None
) -> Application:
    def application(_environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, TEXT if headers is None else headers)
        return pieces

    return application


def seen(one: Scene, *headers: str, **request: str) -> Environ:
    """Not a scene's reply but what the application saw: see `telling`."""
    one.ask(request.get("target", "/"), *headers, method=request.get("method", "GET"))
    assert one.reply().status == 200
    return TOLD.pop()


TOLD: list[Environ] = []


def telling(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    TOLD.append({**environ, "body": environ["wsgi.input"].read(1 << 30)})
    return hello(environ, start_response)


def test_an_answer_of_one_piece_has_its_length_and_the_connection_stays(scene: MakeScene) -> None:
    one = scene(hello, strict=False)
    for _ in range(3):
        reply = one.ask().reply()
        assert (reply.status, reply.body) == (200, b"hello")
        assert reply.headers["Content-Length"] == "5"
        assert "Connection" not in reply.headers
    assert one.lines() == ['"GET / HTTP/1.1" 200 5 "-" "-"'] * 3


@pytest.mark.parametrize("pieces", [[], [b""], (), iter([b""]), iter([])])
def test_an_empty_answer_is_empty(scene: MakeScene, pieces: Iterable[bytes]) -> None:
    reply = scene(returning(pieces), strict=False).ask().reply()
    assert (reply.status, reply.body, reply.headers["Content-Length"]) == (200, b"", "0")


def test_pieces_are_chunks_for_http_1_1_and_end_with_the_connection_for_1_0(
    scene: MakeScene,
) -> None:
    def application(_environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return iter([b"one ", b"", b"two ", b"three"])

    one = scene(application)
    reply = one.ask().reply()
    assert (reply.body, reply.headers["Transfer-Encoding"]) == (b"one two three", "chunked")
    reply = one.ask(version="1.0").reply()
    assert (reply.body, reply.headers["Connection"]) == (b"one two three", "close")
    assert one.ended


def test_each_piece_is_on_its_way_before_the_next_one_is_made(scene: MakeScene) -> None:
    came: list[bytes] = []

    def pieces() -> Iterator[bytes]:
        yield b"first"
        came.append(one.read())
        yield b"second"

    one = scene(returning(pieces()), strict=False)
    one.ask()
    assert came[0].endswith(b"5\r\nfirst\r\n")


def test_the_head_may_change_until_the_first_piece_that_is_not_empty(scene: MakeScene) -> None:
    def application(_environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b""
        try:
            raise KeyError("too late for a good answer, not for a better error")
        except KeyError:
            start_response("503 Later", TEXT, sys.exc_info())
        yield b"sorry"

    reply = scene(application).ask().reply()
    assert (reply.status, reply.body) == (503, b"sorry")


def test_after_the_head_has_gone_an_error_is_raised_again_and_the_answer_broken(
    scene: MakeScene, caplog: pytest.LogCaptureFixture
) -> None:
    def application(_environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"half"
        try:
            raise KeyError("in the middle")
        except KeyError:
            start_response("500 Oops", TEXT, sys.exc_info())
        yield b"never"

    one = scene(application)
    reply = one.ask().reply()
    assert (reply.status, reply.body) == (200, None), "the last chunk never comes"
    assert one.ended
    assert "in the middle" in caplog.text


def test_what_start_response_returns_writes(scene: MakeScene) -> None:
    def application(_environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", TEXT)
        write(b"one ")
        write(b"two ")
        return [b"three"]

    assert scene(application).ask().reply().body == b"one two three"


@pytest.mark.parametrize(
    ("status", "headers", "fault"),
    [
        ("200", [], None),
        ("299 Any phrase", [], None),
        ("20 OK", [], "expected a status"),
        ("OK", [], "expected a status"),
        (200, [], "expected a status"),
        ("200 OK\r\nX: y", [], "expected a status"),
        ("100 Continue", [], "not one that an application can give"),
        ("200 OK", None, "expected a list of headers"),
        ("200 OK", (("A", "b"),), "expected a list of headers"),
        ("200 OK", [["A", "b"]], "a tuple of two texts"),
        ("200 OK", [("A", "b", "c")], "a tuple of two texts"),
        ("200 OK", [("A", 1)], "a tuple of two texts"),
        ("200 OK", [(b"A", "b")], "a tuple of two texts"),
        ("200 OK", [("A:", "b")], "is no name of a header"),
        ("200 OK", [("", "b")], "is no name of a header"),
        ("200 OK", [("Ä", "b")], "is no name of a header"),
        ("200 OK", [("A", "b\r\nSet-Cookie: c")], "does not belong there"),
        ("200 OK", [("A", "b\x00")], "does not belong there"),
        ("200 OK", [("A", "€")], "does not belong there"),
        ("200 OK", [("Connection", "close")], "the server's business"),
        ("200 OK", [("transfer-encoding", "chunked")], "the server's business"),
        ("200 OK", [("Content-Length", "-1")], "Content-Length is '-1'"),
        ("200 OK", [("Content-Length", "five")], "Content-Length is 'five'"),
    ],
)
def test_what_breaks_a_rule_is_500_with_the_rule_in_the_log(
    scene: MakeScene,
    caplog: pytest.LogCaptureFixture,
    status: str,
    headers: list[tuple[str, str]],
    fault: str | None,
) -> None:
    def application(_environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, headers)
        return [b"x"]

    one = scene(application, strict=False)
    for _ in range(2):
        assert one.ask().reply().status == (int(status[:3]) if fault is None else 500)
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    if fault is None:
        assert errors == []
    else:
        assert len(errors) == 2
        assert errors[0].startswith("test:app breaks a rule of PEP 3333: ")
        assert fault in errors[0]


@pytest.mark.parametrize(
    ("result", "fault"),
    [
        (["text"], "expected pieces of bytes, not str"),
        (iter(["text"]), "expected pieces of bytes, not str"),
        (iter([bytearray(b"x")]), "expected pieces of bytes, not bytearray"),
        ("text", "expected pieces of bytes, not str"),
        (None, "not iterable"),
    ],
)
def test_what_is_no_body_is_500(
    scene: MakeScene, caplog: pytest.LogCaptureFixture, result: Iterable[bytes], fault: str
) -> None:
    assert scene(returning(result), strict=False).ask().reply().status == 500
    assert fault in caplog.text


def test_start_response_comes_first_and_once(
    scene: MakeScene, caplog: pytest.LogCaptureFixture
) -> None:
    def never(_environ: Environ, _start_response: StartResponse) -> Iterable[bytes]:
        return [b"x"]

    def twice(_environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        start_response("200 OK", TEXT)
        return [b"x"]

    for application in (never, twice):
        assert scene(application, strict=False).ask().reply().status == 500
    assert "before start_response was called" in caplog.text
    assert "called twice without exc_info" in caplog.text


class Closing:
    """A result that says when it is closed."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        self.closed += 1


def failing() -> Iterator[bytes]:
    yield b"x"
    raise RuntimeError("a fault while it is sent")


@pytest.mark.parametrize(
    "pieces", [[b"a"], [b"a", b"b"], [], failing()], ids=["one", "two", "none", "failing"]
)
def test_the_result_is_closed_once_whatever_happens(
    scene: MakeScene, pieces: Iterable[bytes]
) -> None:
    result = Closing(pieces)
    scene(returning(result), strict=False).ask().read()
    assert result.closed == 1


def test_it_is_closed_when_the_client_is_gone(scene: MakeScene) -> None:
    made: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(1000):
            made.append(number)
            if number == 3:
                one.client.close()
            yield b"x" * 65536

    result = Closing(pieces())
    one = scene(returning(result), strict=False)
    one.ask()
    assert result.closed == 1
    assert len(made) < 1000


@pytest.mark.parametrize("fault", [RuntimeError("its own"), SystemExit("its own")])
def test_a_fault_of_the_application_is_500_and_its_stack_is_in_the_log(
    scene: MakeScene, caplog: pytest.LogCaptureFixture, fault: BaseException
) -> None:
    def application(_environ: Environ, _start_response: StartResponse) -> Iterable[bytes]:
        raise fault

    one = scene(application, strict=False)
    reply = one.ask().reply()
    assert reply.status == 500
    assert b"its own" not in (reply.body or b"")
    assert "test:app failed id=" in caplog.text
    assert "its own" in caplog.text
    assert "Traceback" in caplog.text
    assert one.ask().reply().status == 500, "the connection stays"


def test_the_environ_says_what_was_asked(scene: MakeScene) -> None:
    one = scene(telling, pattern="/app/", env={"MODE": "test"})
    environ = seen(one, "X-Some: a", "x-some: b", target="/app/caf%C3%A9/x?q=1&r=%20")
    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "/app",
        "PATH_INFO": "/caf\xc3\xa9/x",
        "QUERY_STRING": "q=1&r=%20",
        "REQUEST_URI": "/app/caf%C3%A9/x?q=1&r=%20",
        "SERVER_NAME": "example.org",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.9",
        "REMOTE_PORT": "51000",
        "HTTP_HOST": "example.org",
        "HTTP_X_SOME": "a, b",
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "MODE": "test",
        "body": b"",
    }
    assert {key: environ[key] for key in expected} == expected
    assert len(environ["REQUEST_ID"]) == 16
    assert "CONTENT_LENGTH" not in environ
    assert environ["REQUEST_ID"] != seen(one, target="/app/")["REQUEST_ID"]


def test_headers_that_could_be_taken_for_others_are_not_passed(scene: MakeScene) -> None:
    one = scene(telling)
    environ = seen(one, "X_Real_IP: 1", "Proxy: http://evil/", "X-Real-IP: 2", "Authorization: b")
    assert environ["HTTP_X_REAL_IP"] == "2"
    assert "HTTP_PROXY" not in environ
    assert environ["HTTP_AUTHORIZATION"] == "b"
    assert seen(one, "Cookie: a=1", "Cookie: b=2")["HTTP_COOKIE"] == "a=1; b=2"


def test_one_request_does_not_see_the_environ_of_another(scene: MakeScene) -> None:
    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        seen_before = environ.get("left.behind")
        environ["left.behind"] = "x"
        start_response("200 OK", TEXT)
        return [str(seen_before).encode()]

    one = scene(application, strict=False)
    assert [one.ask().reply().body for _ in range(3)] == [b"None"] * 3


@pytest.mark.parametrize("size", [0, 1, 1000, 65536, 65537, 900_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_read_whole(scene: MakeScene, size: int, chunked: bool) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    if chunked:
        framing = "Transfer-Encoding: chunked"
        wire = b"".join(
            b"%x\r\n%b\r\n" % (len(part), part)
            for part in (body[at : at + 7000] for at in range(0, size, 7000))
        )
        wire += b"0\r\n\r\n"
    else:
        framing, wire = f"Content-Length: {size}", body
    one = scene(telling)
    one.ask("/", framing, method="POST")
    for at in range(0, len(wire), 30000):
        one.send(wire[at : at + 30000])
    assert one.reply().status == 200
    environ = TOLD.pop()
    assert environ["body"] == body
    assert environ["CONTENT_LENGTH"] == str(size)
    assert "HTTP_TRANSFER_ENCODING" not in environ


def test_the_input_can_be_read_in_every_way(scene: MakeScene) -> None:
    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        source = environ["wsgi.input"]
        parts = [source.readline(), source.read(3), *source.readlines(4), *iter(source)]
        start_response("200 OK", TEXT)
        return [b"|".join(parts)]

    body = b"line\nabcdef\nmore\nlast"
    one = scene(application)
    one.ask("/", f"Content-Length: {len(body)}", method="POST").send(body)
    assert one.reply().body == b"line\n|abc|def\n|more\n|last"


def head_reply(one: Scene) -> Reply:
    one.ask(method="HEAD")
    return one.reply(head_only=True)


@pytest.mark.parametrize(
    ("headers", "pieces", "length"),
    [
        ([("Content-Length", "99")], [], "99"),
        ([("Content-Length", "99")], [b""], "99"),
        ([("Content-Length", "99")], iter([]), "99"),
        ([], [b"hello"], "5"),
        ([], [], None),
        ([], iter([]), None),
    ],
)
def test_head_has_no_body_and_the_length_that_get_would_have(
    scene: MakeScene, headers: list[tuple[str, str]], pieces: Iterable[bytes], length: str | None
) -> None:
    one = scene(returning(pieces, headers=headers + TEXT), strict=False)
    for _ in range(2):
        reply = head_reply(one)
        assert (reply.status, reply.headers.get("Content-Length")) == (200, length)
    assert not one.ended


@pytest.mark.parametrize("pieces", [[], iter([]), iter([b""])], ids=["list", "none", "empty"])
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_status_without_a_body_has_none_and_no_length(
    scene: MakeScene, status: str, pieces: Iterable[bytes]
) -> None:
    one = scene(returning(pieces, status, []), strict=False)
    for _ in range(2):
        reply = one.ask().reply()
        assert (reply.status, reply.rest) == (int(status[:3]), b"")
        assert "Content-Length" not in reply.headers
        assert "Transfer-Encoding" not in reply.headers


@pytest.mark.parametrize("pieces", [[b"12345678"], [b"1234", b"5678"], iter([b"12345678"])])
def test_more_than_the_content_length_is_cut_and_logged(
    scene: MakeScene, caplog: pytest.LogCaptureFixture, pieces: Iterable[bytes]
) -> None:
    headers = [("Content-Length", "5"), *TEXT]
    one = scene(returning(pieces, headers=headers), strict=False)
    assert one.ask().reply().body == b"12345"
    assert "more body than its Content-Length" in caplog.text
    assert not one.ended


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is given to the kernel in one."""
    pieces: list[bytes] = []
    really_send = HttpConnection.send

    def send(connection: HttpConnection, data: bytes, more: bool = False) -> None:
        pieces.append(data)
        really_send(connection, data, more)

    monkeypatch.setattr(HttpConnection, "send", send)
    return pieces


@pytest.mark.parametrize(
    "pieces", [[b"hello"], [b"", b"hello"], iter([b"hello"]), iter([b"", b"hello", b""])]
)
def test_an_answer_whose_length_is_promised_goes_out_in_one(
    scene: MakeScene, sent: list[bytes], pieces: Iterable[bytes]
) -> None:
    one = scene(returning(pieces, headers=[("Content-Length", "5"), *TEXT]), strict=False)
    assert one.ask().reply().body == b"hello"
    assert len(sent) == 1
    assert not one.ended


@pytest.mark.parametrize("promised", [True, False])
@pytest.mark.parametrize("size", [100, 100_000])
def test_only_a_large_piece_goes_out_apart_from_the_head(
    scene: MakeScene, sent: list[bytes], size: int, promised: bool
) -> None:
    headers = [("Content-Length", str(size)), *TEXT] if promised else TEXT
    one = scene(returning(iter([bytes(size)]), headers=headers), strict=False)
    assert one.ask().reply().body == bytes(size)
    assert sent[0].endswith(b"\r\n\r\n") is (size > 65536)


def test_the_application_comes_to_its_end_when_all_it_promised_is_sent(scene: MakeScene) -> None:
    done: list[str] = []

    def pieces() -> Iterator[bytes]:
        yield b"hello"
        done.append("the rest")

    one = scene(returning(pieces(), headers=[("Content-Length", "5"), *TEXT]), strict=False)
    assert one.ask().reply().body == b"hello"
    assert done == ["the rest"]


def test_nothing_is_asked_for_beyond_the_content_length(
    scene: MakeScene, caplog: pytest.LogCaptureFixture
) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"hello"

    one = scene(returning(endless(), headers=[("Content-Length", "5"), *TEXT]), strict=False)
    assert one.ask().reply().body == b"hello"
    assert "test:app: more body than its Content-Length" in caplog.text
    assert not one.ended


class Counted:
    """An iterable that never ends of itself, and says how often it was asked and closed."""

    def __init__(self, piece: bytes) -> None:
        self._piece = piece
        self.asked = 0
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        while self.asked < 100:
            self.asked += 1
            yield self._piece
        pytest.fail("nobody wants that much")

    def close(self) -> None:
        self.closed += 1


def test_nothing_more_is_asked_for_where_only_the_head_is_wanted(scene: MakeScene) -> None:
    pieces = Counted(b"x")
    one = scene(returning(pieces), strict=False)
    assert head_reply(one).status == 200
    assert (pieces.asked, pieces.closed) == (1, 1)
    assert not one.ended


def test_nor_once_pieces_have_come_to_more_than_the_content_length(
    scene: MakeScene, caplog: pytest.LogCaptureFixture
) -> None:
    pieces = Counted(b"abc")
    one = scene(returning(pieces, headers=[("Content-Length", "5"), *TEXT]), strict=False)
    assert one.ask().reply().body == b"abcab"
    assert (pieces.asked, pieces.closed) == (2, 1)
    assert len([line for line in caplog.messages if "the rest is cut off" in line]) == 1
    assert not one.ended


def test_what_was_said_before_is_checked_no_less(scene: MakeScene) -> None:
    said: list[tuple[str, str]] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [*TEXT, *said])
        return iter([b"x" * len(environ["QUERY_STRING"])])

    one = scene(application, strict=False)
    for length in (3, 5, 0, 3, 5):
        said[:] = [("Content-Length", str(length))]
        reply = one.ask("/?" + "q" * length).reply()
        assert (reply.headers["Content-Length"], reply.body) == (str(length), b"x" * length)
    said[:] = [("Content-Length", "3"), ("content-length", "5")]
    assert one.ask("/?qqqqq").reply().headers["Content-Length"] == "5"
    for wrong in ([("Content-Length", "-3")], [("Content-Length", "3"), ("Connection", "close")]):
        said[:] = wrong
        assert one.ask("/?qqq").reply().status == 500


def test_less_than_the_content_length_closes_the_connection(
    scene: MakeScene, caplog: pytest.LogCaptureFixture
) -> None:
    headers = [("Content-Length", "5"), *TEXT]
    one = scene(returning([b"123"], headers=headers), strict=False)
    assert one.ask().reply().body is None
    assert one.ended
    assert "less than Content-Length" in caplog.text


def wrapping(file: object, headers: list[tuple[str, str]]) -> Application:
    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", headers)
        result: Iterable[bytes] = environ["wsgi.file_wrapper"](file, 1000)
        return result

    return application


@pytest.mark.parametrize("kind", ["file", "middle", "memory", "length"])
def test_a_wrapped_file_is_sent_from_where_it_stands_and_closed(
    scene: MakeScene, tmp_path: Path, kind: str
) -> None:
    content = bytes(range(256)) * 1000
    path = tmp_path / "f"
    path.write_bytes(content)
    file = io.BytesIO(content) if kind == "memory" else open(path, "rb")  # noqa: SIM115
    headers = list(TEXT)
    if kind == "middle":
        file.seek(1000)
        content = content[1000:]
    elif kind == "length":
        headers.append(("Content-Length", "5000"))
        content = content[:5000]
    one = scene(wrapping(file, headers), strict=False)
    reply = one.ask().reply()
    assert reply.body == content
    if kind != "memory":
        assert reply.headers["Content-Length"] == str(len(content))
    assert file.closed


def test_the_routes_headers_are_changed(scene: MakeScene) -> None:
    rules = {"set": {"X-Frame-Options": "DENY"}, "remove": ["X-Powered-By"]}
    headers = [*TEXT, ("X-Powered-By", "x")]
    one = scene(returning([b"x"], headers=headers), strict=False, rules=rules)
    reply = one.ask().reply()
    assert reply.headers["X-Frame-Options"] == "DENY"
    assert "X-Powered-By" not in reply.headers


def test_what_it_writes_to_its_errors_is_in_the_log(
    scene: MakeScene, caplog: pytest.LogCaptureFixture
) -> None:
    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.errors"].write("one\ntwo\n")
        environ["wsgi.errors"].writelines(["three\n"])
        environ["wsgi.errors"].flush()
        return hello(environ, start_response)

    scene(application).ask().read()
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(" id=")[0] for line in lines] == [
        "test:app: one",
        "test:app: two",
        "test:app: three",
    ]


def test_long_heads_are_not_kept() -> None:
    maker = EnvironMaker({})
    for size in (1, MEMO_HEAD):
        asked = request("/", f"X-Long: {'x' * size}")
        environ = maker.make(asked, None)
        assert environ["HTTP_X_LONG"] == "x" * size
        assert (asked.head in maker._known) is (size == 1)


def test_any_method_reaches_the_application(scene: MakeScene) -> None:
    one = scene(telling, strict=False)
    for method in ("PROPFIND", "OPTIONS", "BREW", "TRACE", "DELETE"):
        assert seen(one, method=method)["REQUEST_METHOD"] == method
