"""Request handler classes behind a connection.

The loop is stepped and the crew without threads: each call is made in the loop, as quick ones are.
"""

from __future__ import annotations

import functools
import http.server
import io
import logging
import socket
import sys
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

import forkd.compat
from forkd.config.settings import HeaderChanges
from forkd.errors import OperationError
from forkd.handlers.http_handler import HttpHandler
from forkd.handlers.imports import offer_cgi_class
from forkd.loop.crew import Crew
from forkd.proto.http1.reader import MEMO_HEAD
from tests.unit.handlers.requests import request
from tests.unit.server.scene import Scene
from tests.unit.stepped import SteppedLoop
from tests.unit.written import written

MakeScene = Callable[..., Scene]


@pytest.fixture
def scene(no_descriptor_leaks: None) -> Iterator[MakeScene]:  # noqa: ARG001 a fixture
    loop = SteppedLoop()
    made: list[Scene] = []

    def make(
        found: object,
        *,
        pattern: str = "/",
        strip_prefix: bool = False,
        rules: dict[str, object] | None = None,
    ) -> Scene:
        changes = written(HeaderChanges, **(rules or {}))
        handler = HttpHandler(found, "mod:Class", "key", changes, strip_prefix, Crew(loop, 4))
        made.append(Scene(loop, {pattern: handler}, max_body=1 << 30))
        return made[-1]

    yield make
    for one in made:
        one.close()
    loop.close()


class Plain(BaseHTTPRequestHandler):
    """As in the tutorials: HTTP/1.0, a page."""

    def do_GET(self) -> None:
        self.answer(b"hello")

    def do_HEAD(self) -> None:
        self.answer(b"hello")

    def answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Modern(Plain):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(body[::-1])

    def do_BREW(self) -> None:
        self.answer(self.command.encode(), 418)

    def do_ECHO(self) -> None:
        self.answer(f"{self.requestline}\n{self.path}\n{self.headers}".encode())


def test_a_class_of_http_1_0_answers_and_the_connection_closes(scene: MakeScene) -> None:
    one = scene(Plain)
    data = one.ask().read()
    assert data.startswith(b"HTTP/1.0 200 OK\r\nServer: BaseHTTP/")
    assert data.endswith(b"\r\n\r\nhello")
    assert one.ended
    assert one.lines() == ['"GET / HTTP/1.1" 200 5 "-" "-"']


def test_a_class_of_http_1_1_keeps_the_connection(scene: MakeScene) -> None:
    one = scene(Modern)
    for _ in range(3):
        assert one.ask().reply().body == b"hello"
        assert not one.ended
    one.ask("/", "Connection: close")
    assert one.reply().body == b"hello"
    assert one.ended


def test_requests_may_be_pipelined(scene: MakeScene) -> None:
    one = scene(Modern)
    one.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 50)
    assert one.read().count(b"hello") == 50


def test_any_method_reaches_its_function_and_others_are_501(scene: MakeScene) -> None:
    one = scene(Modern)
    assert (reply := one.ask(method="BREW").reply()).body == b"BREW"
    assert reply.status == 418
    assert one.ask(method="PROPFIND").reply().status == 501


def test_head_has_no_body_even_where_one_is_written(scene: MakeScene) -> None:
    one = scene(Modern)
    reply = one.ask(method="HEAD").reply(head_only=True)
    assert (reply.rest, reply.headers["Content-Length"]) == (b"", "5")
    assert not one.ended


@pytest.mark.parametrize("size", [0, 5, 200_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_read_by_its_length(scene: MakeScene, size: int, chunked: bool) -> None:
    one = scene(Modern)
    body = bytes(index % 251 for index in range(size))
    if chunked:
        sent = b"".join(
            b"%x\r\n%b\r\n" % (len(piece), piece)
            for piece in (body[at : at + 60_000] for at in range(0, size, 60_000))
        )
        framing, sent = "Transfer-Encoding: chunked", sent + b"0\r\n\r\n"
    else:
        framing, sent = f"Content-Length: {size}", body
    one.ask("/", framing, method="POST")
    for at in range(0, len(sent), 50_000):
        one.send(sent[at : at + 50_000])
    assert one.reply().body == body[::-1]
    assert not one.ended


def test_a_large_body_in_chunks_has_come_whole_before_the_class_is_asked(scene: MakeScene) -> None:
    class Counting(Modern):
        def do_PUT(self) -> None:
            size = int(self.headers["Content-Length"])
            self.answer(b"%d %d" % (size, len(self.rfile.read(size))))

    one = scene(Counting)
    one.ask("/", "Transfer-Encoding: chunked", method="PUT")
    for _ in range(30):
        one.send(b"186A0\r\n" + b"x" * 100_000 + b"\r\n")
    one.send(b"0\r\n\r\n")
    assert one.reply().body == b"3000000 3000000"


def test_a_body_that_is_not_read_is_no_request(scene: MakeScene) -> None:
    class Deaf(Modern):
        def do_POST(self) -> None:
            self.answer(b"heard nothing")

    hidden = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
    one = scene(Deaf)
    one.ask("/", f"Content-Length: {len(hidden)}", method="POST").send(hidden)
    assert one.reply().body == b"heard nothing"
    assert one.ask().reply().body == b"hello", "and the connection goes on"


def test_without_a_length_the_unread_body_is_no_request_either(scene: MakeScene) -> None:
    class Deaf(Modern):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"heard nothing")

    hidden = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
    one = scene(Deaf)
    one.ask("/", f"Content-Length: {len(hidden)}", method="POST").send(hidden)
    assert one.reply().body == b"heard nothing"
    assert one.ended


def test_it_reads_the_request_as_it_was_sent_but_for_what_is_settled(scene: MakeScene) -> None:
    one = scene(Modern)
    one.ask("/a%20b/../c?x=1", "X-MiXed: Yes", "X_Under: no", "Expect: ", method="ECHO")
    body = one.reply().body
    assert body is not None
    line, path, *headers = body.decode().splitlines()
    assert (line, path) == ("ECHO /a%20b/../c?x=1 HTTP/1.1", "/a%20b/../c?x=1")
    assert [header for header in headers if header] == ["Host: example.org", "X-MiXed: Yes"]


def test_it_gets_no_expect_since_the_body_was_asked_for(scene: MakeScene) -> None:
    one = scene(Modern)
    one.ask("/", "Expect: 100-continue", "Content-Length: 3", method="POST")
    assert one.read() == b"HTTP/1.1 100 Continue\r\n\r\n"
    one.send(b"abc")
    assert one.read().count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/h/a%2Fb?q=/h/", "/a%2Fb?q=/h/"),
        ("/h/", "/"),
        ("/x/../h/a%20b", "/a%20b"),
        ("/h/../h/a", "/a"),
        ("http://example.org/h/a?b", "/a?b"),
    ],
)
def test_the_prefix_is_stripped_where_that_is_asked_for(
    scene: MakeScene, target: str, path: str
) -> None:
    one = scene(Modern, pattern="/h/", strip_prefix=True)
    body = one.ask(target, method="ECHO").reply().body
    assert body is not None
    assert body.decode().splitlines()[1] == path


class Raw(BaseHTTPRequestHandler):
    written: tuple[bytes, ...] = ()

    def handle(self) -> None:
        self.rfile.readline()
        for piece in self.written:
            self.wfile.write(piece)


def writing(*pieces: bytes) -> type[Raw]:
    return type("Raw", (Raw,), {"written": pieces})


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ((), "mod:Class wrote no response"),
        ((b"<html>", b"more"), "mod:Class wrote what is no response of HTTP/1: '<html>'"),
        ((b"HTTP/1.1 200 OK\r\n",), "mod:Class wrote half the head"),
    ],
)
def test_output_that_is_not_http_is_502_and_one_line(
    scene: MakeScene, caplog: pytest.LogCaptureFixture, pieces: tuple[bytes, ...], reason: str
) -> None:
    assert scene(writing(*pieces)).ask().reply().status == 502
    (line,) = caplog.messages
    assert line.startswith(reason)
    assert " id=" in line


def test_more_than_its_length_is_cut_and_closes(
    scene: MakeScene, caplog: pytest.LogCaptureFixture
) -> None:
    one = scene(writing(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"okmore", b"more"))
    assert one.ask().reply().body == b"ok"
    assert one.ended
    assert len([line for line in caplog.messages if "the rest is cut off" in line]) == 1


@pytest.mark.parametrize("framing", [b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_less_than_it_promised_closes(
    scene: MakeScene, caplog: pytest.LogCaptureFixture, framing: bytes
) -> None:
    one = scene(writing(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n", b"2\r\nok\r\n"))
    assert one.ask().reply().body is None
    assert one.ended
    assert "the connection is closed" in caplog.text


def test_a_class_that_asks_for_no_other_request_is_not_given_one(scene: MakeScene) -> None:
    one = scene(writing(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    assert one.ask().reply().body == b"ok"
    assert one.ended


@pytest.mark.parametrize("begun", [False, True])
def test_an_exception_is_500_or_breaks_the_answer(
    scene: MakeScene, caplog: pytest.LogCaptureFixture, begun: bool
) -> None:
    class Faulty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if begun:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
            raise KeyError("the fault")

    one = scene(Faulty)
    reply = one.ask().reply()
    assert (reply.status, reply.body is None) == ((200, True) if begun else (500, False))
    assert "mod:Class failed id=" in caplog.text
    assert "KeyError: 'the fault'" in caplog.text


def test_what_is_written_when_the_answer_is_over_is_thrown_away(scene: MakeScene) -> None:
    kept: list[BaseHTTPRequestHandler] = []

    class Keeping(Modern):
        def do_GET(self) -> None:
            kept.append(self)
            super().do_GET()

        def finish(self) -> None:
            self.wfile.flush()

    one = scene(Keeping)
    assert one.ask().reply().body == b"hello"
    kept[0].wfile.write(b"HTTP/1.1 200 OK\r\n\r\nlate")
    assert one.read() == b""
    assert one.ask().reply().body == b"hello"


def test_sys_exit_ends_the_request_only(scene: MakeScene) -> None:
    class Leaving(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sys.exit("no")

    one = scene(Leaving)
    assert one.ask().reply().status == 500


def test_a_client_that_goes_is_no_news(scene: MakeScene, caplog: pytest.LogCaptureFixture) -> None:
    told: list[type[BaseException]] = []
    held: list[Scene] = []

    class Long(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            held[0].client.close()
            held[0].loop.settle()
            try:
                for _ in range(50):
                    self.wfile.write(b"x" * 65536)
                    held[0].loop.settle()
            except ConnectionError as error:
                told.append(type(error))
                raise

    held.append(scene(Long))
    caplog.set_level(logging.WARNING)
    held[0].ask()
    held[0].loop.settle()
    assert told == [BrokenPipeError]
    assert caplog.messages == []


def test_its_log_is_the_error_log(
    scene: MakeScene, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    class Talking(Plain):
        def do_GET(self) -> None:
            self.log_message("%s and\n%d", "one", 2)
            self.log_error("100% bad")
            super().do_GET()

    caplog.set_level(logging.INFO)
    scene(Talking).ask()
    lines = [line.partition(" id=")[0] for line in caplog.messages]
    assert lines == ["mod:Class: one and\\x0a2", "mod:Class: 100% bad"]
    assert capsys.readouterr().err == ""


def test_a_log_of_its_own_stays(scene: MakeScene, caplog: pytest.LogCaptureFixture) -> None:
    said: list[str] = []

    class Own(Plain):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the base's
            said.append(format % args)

    caplog.set_level(logging.INFO)
    scene(Own).ask()
    assert said == ['"GET / HTTP/1.1" 200 -']
    assert caplog.messages == []


def test_what_a_class_sees_of_server_and_connection(scene: MakeScene) -> None:
    seen: dict[str, Any] = {}

    class Curious(Modern):
        timeout = 5
        disable_nagle_algorithm = True
        rbufsize = 0
        wbufsize = -1

        def do_GET(self) -> None:
            seen["client"] = self.client_address
            seen["name"] = (type(self).__name__, type(self).__qualname__, type(self).__module__)
            seen["server"] = (self.server.server_address, vars(self.server)["server_port"])
            seen["peer"] = (self.connection.getpeername(), self.connection.getsockname())
            seen["family"] = (self.connection.family, self.connection.gettimeout())
            with pytest.raises(RuntimeError, match="the listener belongs to forkd and its workers"):
                self.server.shutdown()
            with pytest.raises(OSError, match="no descriptor"):
                self.connection.fileno()
            super().do_GET()

    one = scene(Curious)
    assert one.ask().reply().body == b"hello"
    assert not one.ended
    assert seen == {
        "client": ("192.0.2.9", 51000),
        "name": ("Curious", Curious.__qualname__, __name__),
        "server": (("127.0.0.1", 8080), 8080),
        "peer": (("192.0.2.9", 51000), ("127.0.0.1", 8080)),
        "family": (socket.AF_INET, 5),
    }


def test_the_head_is_parsed_for_a_class_and_anew_for_each_request(scene: MakeScene) -> None:
    seen: list[tuple[Any, ...]] = []

    class Spoiling(Modern):
        def do_GET(self) -> None:
            line = vars(self)["raw_requestline"]
            seen.append((line, self.command, self.path, self.headers.items()))
            del self.headers["X-A"]
            self.headers["X-B"] = "mine"
            super().do_GET()

    one = scene(Spoiling)
    for _ in range(3):
        assert one.ask("//a?b", "X-A: 1", "x-a:  2 ").reply().body == b"hello"
    fields = [("Host", "example.org"), ("X-A", "1"), ("x-a", "2 ")]
    assert seen == [(b"GET //a?b HTTP/1.1\r\n", "GET", "/a?b", fields)] * 3


def test_long_heads_are_not_kept(loop: SteppedLoop) -> None:
    changes = written(HeaderChanges)
    handler = HttpHandler(Plain, "mod:Class", "key", changes, False, Crew(loop, 1))
    for size in (1, MEMO_HEAD):
        asked = request("/", f"X-Long: {'x' * size}")
        assert b"x" * size in handler.head(asked, None).data
        assert (asked.head in handler._heads) is (size == 1)


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "message/http"])
def test_a_body_follows_the_head_whoever_parses_that(scene: MakeScene, kind: str) -> None:
    class Typed(Modern):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self.answer(f"{self.headers.get_content_type()} ".encode() + self.rfile.read(length))

    one = scene(Typed)
    one.ask("/", f"Content-Type: {kind}", "Content-Length: 3", method="POST").send(b"abc")
    assert one.reply().body == kind.partition(";")[0].encode() + b" abc"
    assert not one.ended


class Parsing(Modern):
    def parse_request(self) -> bool:
        parsed = super().parse_request()
        self.path += "?parsed"
        return parsed

    def do_ECHO(self) -> None:
        self.answer(f"{self.path} {self.headers['X-A']}".encode())


class Reading(Modern):
    """Takes the request line by itself."""

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline()
        if self.parse_request():
            self.answer(f"{self.path} {self.headers['X-A']}".encode())


class ReadingAhead(Modern):
    """Takes a header line away before the rest is parsed."""

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline()
        self.rfile.readline()
        if self.parse_request():
            self.answer(f"{self.headers['Host']} {self.headers['X-A']}".encode())


class Wrapping(Parsing):
    """Has something of its own read the connection."""

    def setup(self) -> None:
        super().setup()
        self.rfile = io.BytesIO(self.rfile.read1().replace(b"X-A: 1", b"X-A: 2"))


class Unbuffered(Parsing):
    rbufsize = 0


class Small(Parsing):
    rbufsize = 16


class OwnMessage(HTTPMessage):
    def __getitem__(self, name: str) -> Any:
        return f"<{super().__getitem__(name)}>"


class Messages(Parsing):
    MessageClass = OwnMessage


@pytest.mark.parametrize(
    ("found", "body"),
    [
        (Parsing, b"/?parsed 1"),
        (Reading, b"/ 1"),
        (ReadingAhead, b"None 1"),
        (Wrapping, b"/?parsed 2"),
        (Unbuffered, b"/?parsed 1"),
        (Small, b"/?parsed 1"),
        (Messages, b"/?parsed <1>"),
    ],
)
def test_a_class_that_reads_its_head_in_its_own_way_does(
    scene: MakeScene, found: type[Modern], body: bytes
) -> None:
    assert scene(found).ask("/", "X-A: 1", method="ECHO").reply().body == body


def test_a_date_of_its_own_stays_and_others_are_as_in_http_server(scene: MakeScene) -> None:
    class Dated(Modern):
        def date_time_string(self, timestamp: float | None = None) -> str:  # noqa: ARG002 the base's
            return "today"

    class Telling(Modern):
        def do_GET(self) -> None:
            self.answer(self.date_time_string(784111777).encode())

    assert scene(Dated).ask().reply().headers["Date"] == "today"
    reply = scene(Telling).ask().reply()
    assert reply.body == b"Sun, 06 Nov 1994 08:49:37 GMT"
    at = parsedate_to_datetime(reply.headers["Date"]).timestamp()
    assert abs(time.time() - at) < 60


def test_what_was_written_goes_out_while_the_class_goes_on(scene: MakeScene) -> None:
    held: list[Scene] = []
    got: list[bytes] = []

    class Slow(Modern):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "6")
            self.end_headers()
            for piece in (b"", b"abc", b"def"):
                self.wfile.write(piece)
                # What another thread does that takes the loop over while this one waits.
                held[0].loop.settle()
                got.append(held[0].client.recv(65536).rpartition(b"\r\n")[2])

    held.append(scene(Slow))
    held[0].ask()
    assert got == [b"", b"abc", b"def"]
    assert held[0].lines() == ['"GET / HTTP/1.1" 200 6 "-" "-"']
    assert not held[0].ended


@pytest.mark.parametrize("count", [1, 7, 100_000])
def test_a_body_in_pieces_of_any_size_comes_whole(scene: MakeScene, count: int) -> None:
    body = bytes(index % 251 for index in range(300_000 if count > 7 else 3000))

    class InPieces(Modern):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for at in range(0, len(body), count):
                self.wfile.write(body[at : at + count])

    one = scene(InPieces)
    for _ in range(2):
        assert one.ask().reply().body == body
    assert one.lines() == [f'"GET / HTTP/1.1" 200 {len(body)} "-" "-"'] * 2


def test_the_routes_headers_are_changed(scene: MakeScene) -> None:
    rules = {"set": {"X-A": "b"}, "add": {"X-A": "c"}, "remove": ["Content-Type"]}
    one = scene(Modern, rules=rules)
    answer = one.ask().read()
    assert b"\r\nX-A: b\r\nX-A: c\r\n\r\nhello" in answer
    assert b"Content-Type" not in answer
    assert b"\r\nContent-Length: 5\r\n" in answer


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_a_folded_header_is_one_for_the_routes_headers(scene: MakeScene, end: bytes) -> None:
    lines = [
        b"HTTP/1.1 200 OK",
        b"X-Long: one",
        b" two: 2",
        b"\tthree",
        b"X-Gone: a",
        b"  X-Kept: b",
        b"Content-Length: 2",
        b"\t",
        b"",
        b"ok",
    ]
    one = scene(writing(end.join(lines)), rules={"set": {"X-A": "b"}, "remove": ["X-Gone"]})
    assert one.ask().read() == (
        b"HTTP/1.1 200 OK\r\nX-Long: one two: 2 three\r\nContent-Length: 2\r\nX-A: b\r\n\r\nok"
    )


def test_a_partial_with_arguments_works(scene: MakeScene, tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("a file")
    one = scene(functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path)))
    assert one.ask("/page.txt").read().endswith(b"a file")
    assert one.ended


@pytest.mark.parametrize(
    ("found", "what"),
    [(len, "builtin_function_or_method"), (dict, "the class dict"), (functools.partial(len), "")],
)
def test_what_is_no_handler_class_is_refused(found: object, what: str) -> None:
    with pytest.raises(OperationError, match=f"key: mod:Class is {what}.*BaseHTTPRequestHandler"):
        HttpHandler(
            found, "mod:Class", "key", written(HeaderChanges), False, Crew(SteppedLoop(), 1)
        )


def test_forkds_cgi_class_takes_the_place_of_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old(SimpleHTTPRequestHandler):
        have_fork = True

    monkeypatch.setattr(http.server, "CGIHTTPRequestHandler", Old, raising=False)

    class Mixin:
        pass

    class Base(Mixin, Old):
        pass

    class Mine(Base):
        def is_there(self: Any) -> bool:
            return hasattr(super(), "run_cgi")

    loop = SteppedLoop()
    handler = HttpHandler(Mine, "m:Mine", "key", written(HeaderChanges), False, Crew(loop, 1))
    made = handler.make
    assert isinstance(made, type)
    assert issubclass(made, forkd.compat.CGIHTTPRequestHandler)
    assert not issubclass(made, Old)
    assert Mine.is_there(made.__new__(made)), "super() works"
    named = HttpHandler(Old, "m:Old", "key", written(HeaderChanges), False, Crew(loop, 1)).make
    assert isinstance(named, type)
    assert issubclass(named, forkd.compat.CGIHTTPRequestHandler)
    loop.close()


def test_where_python_has_no_cgi_class_forkds_can_be_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http.server, "CGIHTTPRequestHandler", None, raising=False)
    monkeypatch.delattr(http.server, "CGIHTTPRequestHandler")
    offer_cgi_class()
    assert vars(http.server)["CGIHTTPRequestHandler"] is forkd.compat.CGIHTTPRequestHandler
