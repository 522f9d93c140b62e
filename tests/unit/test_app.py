"""The WSGI framework, behind wsgiref's validator, which fails what PEP 3333 forbids."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from http.cookies import CookieError
from typing import Any, NamedTuple
from wsgiref.types import WSGIEnvironment
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from apps.demo import app as demo
from forkd.app import App, HTTPError, Request, Response, redirect

HTML = "text/html; charset=utf-8"
FORM = "application/x-www-form-urlencoded"
MIB = 2**20


class Answer(NamedTuple):
    status: str
    headers: dict[str, str]
    body: bytes
    log: str


def ask(
    app: App, method: str = "GET", target: str = "/", body: bytes = b"", **environ: Any
) -> Answer:
    """Send one request through the validator. `target` is as in environ, not percent-encoded."""
    path, _, query = target.partition("?")
    request: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
    }
    request |= environ
    log = request["wsgi.errors"]
    setup_testing_defaults(request)
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
        started.append((status, headers))

    chunks = validator(app)(request, start_response)
    try:
        received = b"".join(chunks)
    finally:
        chunks.close()  # type: ignore[attr-defined]  # the validator's iterator has it
    [(status, headers)] = started
    return Answer(status, dict(headers), received, log.getvalue())


def answering(result: Callable[[Request], object], *methods: str) -> App:
    app = App()
    app.route("/{rest:path}", methods or ("GET",))(lambda request, **_: result(request))
    return app


def routed() -> App:
    app = App()

    @app.route("/")
    def home(_: Request) -> str:
        return "home"

    @app.route("/items/{id:int}", methods=["GET", "POST"])
    def item(request: Request, id: int) -> dict[str, object]:  # noqa: A002 - a common name
        return {"method": request.method, "id": id}

    @app.route("/tags/{tag}-{color}")
    def tag(_: Request, tag: str, color: str) -> list[str]:
        return [tag, color]

    @app.route("/files/{name:path}")
    def file(_: Request, name: str) -> list[str]:
        return [name]

    @app.route("/items/new", methods=["POST"])
    def new(_: Request) -> None: ...

    @app.route("/café/a.b")
    def literal(_: Request) -> str:
        return "literal"

    return app


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/", 200, b"home"),
        ("GET", "", 200, b"home"),
        ("GET", "/items/7", 200, b'{"method": "GET", "id": 7}'),
        ("POST", "/items/7", 200, b'{"method": "POST", "id": 7}'),
        ("POST", "/items/new", 204, b""),
        ("GET", "/tags/ü -red", 200, b'["\\u00fc ", "red"]'),
        ("GET", "/files/a/b\nc", 200, b'["a/b\\nc"]'),
        ("GET", "/files/", 200, b'[""]'),
        ("GET", "/café/a.b", 200, b"literal"),
        ("GET", "/café/a-b", 404, None),
        ("GET", "/items/7/", 404, None),
        ("GET", "/items/x", 404, None),
        ("GET", "/items/-7", 404, None),
        ("GET", "/items/\u0667", 404, None),
        ("GET", "/items/" + "9" * 19, 404, None),
        ("GET", "/tags/-red", 404, None),
        ("GET", "/tags/a-b/c", 404, None),
        ("GET", "/nothing", 404, None),
        ("HEAD", "/nothing", 404, b""),
    ],
)
def test_a_path_leads_to_the_first_route_that_fits(
    method: str, path: str, status: int, body: bytes | None
) -> None:
    answer = ask(routed(), method, path)
    assert int(answer.status[:3]) == status
    assert body is None or answer.body == body


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("PUT", "/items/7", 405, "GET, HEAD, POST"),
        ("GET", "/items/new", 405, "POST"),
        ("HEAD", "/items/new", 405, "POST"),
    ],
)
def test_another_method_is_told_which_are_allowed(
    method: str, path: str, status: int, allow: str
) -> None:
    answer = ask(routed(), method, path)
    assert int(answer.status[:3]) == status
    assert answer.headers["Allow"] == allow


def test_options_is_answered_by_a_route_that_asks_for_it() -> None:
    app = answering(lambda request: request.method, "OPTIONS")
    assert ask(app, "OPTIONS").body == b"OPTIONS"


@pytest.mark.parametrize("methods", ["POST", ["post"], ("POST",), iter(["POST"])])
def test_methods_may_be_one_or_several_in_any_case(methods: Any) -> None:
    app = App()
    app.route("/", methods)(lambda _: "posted")
    assert ask(app, "POST").body == b"posted"
    assert ask(app, "GET").headers["Allow"] == "POST"


@pytest.mark.parametrize(
    "path", ["x", "", "/{id:number}", "/{id", "/{1}", "/{a}/{a}", "/{}", "/{a{b}}", "/a}"]
)
def test_a_template_that_is_none_is_refused_where_it_is_written(path: str) -> None:
    with pytest.raises(ValueError, match=r"route .*expected"):
        App().route(path)


def test_bytes_of_a_path_that_are_not_utf8_are_replaced() -> None:
    assert ask(routed(), PATH_INFO="/files/\xff").body == b'["\\ufffd"]'


@pytest.mark.parametrize(
    ("result", "status", "kind", "body"),
    [
        ("ü", "200 OK", HTML, "ü".encode()),
        ("", "200 OK", HTML, b""),
        (b"\xff", "200 OK", "application/octet-stream", b"\xff"),
        ({"a": 1}, "200 OK", "application/json", b'{"a": 1}'),
        ([1, 404], "200 OK", "application/json", b"[1, 404]"),
        (None, "204 No Content", None, b""),
        (Response({"a": 1}, 201), "201 Created", "application/json", b'{"a": 1}'),
        (Response(None, 404), "404 Not Found", HTML, b""),
        (Response("hidden", 304), "304 Not Modified", None, b""),
        (Response("a", 410, {"Content-Type": "text/plain"}), "410 Gone", "text/plain", b"a"),
    ],
)
def test_what_a_function_returns_becomes_a_response(
    result: object, status: str, kind: str | None, body: bytes
) -> None:
    answer = ask(answering(lambda _: result))
    assert (answer.status, answer.headers.get("Content-Type"), answer.body) == (status, kind, body)
    assert answer.headers.get("Content-Length") == (None if kind is None else str(len(body)))


@pytest.mark.parametrize(
    ("parts", "kind"),
    [(("ü", "b"), HTML), ((b"\xc3", b"\xbcb"), "application/octet-stream")],
)
def test_an_iterator_is_streamed(parts: tuple[str | bytes, ...], kind: str) -> None:
    answer = ask(answering(lambda _: iter(parts)))
    assert (answer.body, answer.headers) == ("üb".encode(), {"Content-Type": kind})


def test_an_iterator_without_parts_is_an_empty_page() -> None:
    assert ask(answering(lambda _: iter(()))).body == b""


@pytest.mark.parametrize(("method", "read"), [("GET", 0), ("GET", 1), ("HEAD", 0)])
def test_a_generator_that_nobody_reads_to_its_end_is_ended(method: str, read: int) -> None:
    events: list[str] = []

    def stream(_: Request) -> Iterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            events.append("ended")

    environ: dict[str, Any] = {"REQUEST_METHOD": method}
    setup_testing_defaults(environ)
    chunks = answering(stream)(environ, lambda *_: lambda _: None)
    assert events == ([] if method == "GET" else ["ended"])
    parts = iter(chunks)
    assert [next(parts) for _ in range(read)] == [b"a"][:read]
    if method == "GET":
        chunks.close()  # type: ignore[attr-defined]  # a generator
    del parts, chunks
    assert events == ["ended"]


def test_an_error_before_the_first_part_still_has_its_status() -> None:
    def stream(request: Request) -> Iterator[str]:
        if request.path == "/":
            raise HTTPError(404, "no such stream")
        yield "never"

    assert ask(answering(stream)).status == "404 Not Found"


@pytest.mark.parametrize("result", ["page", iter(["a", "b"]), Response("x", 404)])
def test_head_has_the_head_of_get_and_no_body(result: object) -> None:
    answer = ask(answering(lambda _: result), "HEAD")
    assert answer.body == b""
    if result == "page":
        assert answer.headers["Content-Length"] == "4"


@pytest.mark.parametrize(
    "make",
    [
        lambda: 1,
        lambda: ("a", 200),
        lambda: {"a": float("nan")},
        lambda: Response("a", 600),
        lambda: Response("a", headers={"X-A": "b\u20ac"}),
    ],
)
def test_what_cannot_be_sent_is_an_error_of_the_application(make: Callable[[], object]) -> None:
    answer = ask(answering(lambda _: make()))
    assert answer.status == "500 Internal Server Error"
    assert "Traceback" in answer.log


@pytest.mark.parametrize("value", ["a\r\nX-B: c", "a\nb", "a\rb", "a\0b"])
@pytest.mark.parametrize(
    "make",
    [
        lambda value: Response("a", headers={"X-A": value}),
        lambda value: Response("a", headers={value: "a"}),
        lambda value: Response("a", headers={"Content-Type": value}),
    ],
)
def test_no_header_can_be_injected(make: Callable[[str], Response], value: str) -> None:
    answer = ask(answering(lambda _: make(value)))
    assert answer.status == "500 Internal Server Error"
    assert "X-B" not in answer.headers
    assert "ValueError" in answer.log


def test_an_exception_is_logged_and_not_shown() -> None:
    def fail(_: Request) -> str:
        raise KeyError("secret")

    answer = ask(answering(fail))
    assert (answer.status, answer.headers["Content-Type"]) == ("500 Internal Server Error", HTML)
    assert b"secret" not in answer.body
    assert "KeyError: 'secret'" in answer.log


def failing(status: int, text: str = "") -> Callable[..., object]:
    def fail(*_: object) -> object:
        raise HTTPError(status, text)

    return fail


def test_an_http_error_shows_its_text_escaped_and_logs_nothing() -> None:
    answer = ask(answering(failing(403, "<b>no</b>")))
    assert answer.status == "403 Forbidden"
    assert b"&lt;b&gt;no" in answer.body
    assert answer.log == ""


@pytest.mark.parametrize(
    ("path", "method", "status", "body"),
    [
        ("/missing", "GET", "404 Not Found", b"nothing at /missing"),
        ("/", "PUT", "405 Method Not Allowed", b"405 Method Not Allowed"),
        ("/fails", "GET", "503 Service Unavailable", b"sorry"),
        ("/teapot", "GET", "500 Internal Server Error", None),
        ("/quiet", "GET", "410 Gone", b""),
    ],
)
def test_a_handler_of_errors_makes_the_page(
    path: str, method: str, status: str, body: bytes | None
) -> None:
    app = App()
    app.route("/")(lambda _: "home")
    app.route("/fails")(lambda _: 1 / 0)
    app.route("/teapot")(failing(418))
    app.route("/quiet")(failing(410))
    app.errors[404] = lambda request, _: f"nothing at {request.path}"
    app.errors[405] = lambda _, error: str(error)
    app.errors[500] = lambda *_: Response("sorry", 503)
    app.errors[418] = lambda *_: 1 / 0
    app.errors[410] = lambda *_: None
    answer = ask(app, method, path)
    assert answer.status == status
    assert body is None or answer.body == body
    assert answer.headers.get("Allow") == ("GET, HEAD" if method == "PUT" else None)
    assert ("ZeroDivisionError" in answer.log) == (path in ("/fails", "/teapot"))


def test_what_an_error_says_in_headers_is_said_by_its_handler_as_well() -> None:
    app = App()
    app.route("/")(lambda _: "home")
    app.route("/write", ["POST"])(lambda _: "written")
    same = Response("no", 405, {"X-Own": "yes"})
    app.errors[405] = lambda *_: same
    for path, allowed in (("/", "GET, HEAD"), ("/write", "POST")):
        answer = ask(app, "PUT", path)
        assert (answer.status, answer.body) == ("405 Method Not Allowed", b"no")
        assert (answer.headers["Allow"], answer.headers["X-Own"]) == (allowed, "yes")
    app.errors[405] = lambda *_: Response("no", 405, {"allow": "BREW"})
    assert ask(app, "PUT").headers == {
        "allow": "BREW",
        "Content-Length": "2",
        "Content-Type": "text/html; charset=utf-8",
    }, "its own word goes first"


def seen(request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "base": request.base,
        "cookies": request.cookies,
        "agent": request.headers["user-AGENT"],
        "type": request.headers.get("content-type"),
    }


@pytest.mark.parametrize(
    ("environ", "key", "value"),
    [
        ({"REQUEST_METHOD": "GET"}, "method", "GET"),
        ({"PATH_INFO": "/\xc3\xbc"}, "path", "/ü"),
        ({"QUERY_STRING": "a=1&a=2&b="}, "query", {"a": "1", "b": ""}),
        ({"QUERY_STRING": "%C3%BC=+\xc3\xbc"}, "query", {"ü": " ü"}),
        ({"QUERY_STRING": "a=%FF"}, "query", {"a": "\ufffd"}),
        ({"SCRIPT_NAME": "/\xc3\xbc b"}, "base", "/%C3%BC%20b"),
        ({}, "base", ""),
        (
            {"HTTP_COOKIE": 'a=1; b="2"; a=3; c=%C3%BC; bad; d=e=f'},
            "cookies",
            {"a": "1", "b": "2", "c": "ü", "d": "e=f"},
        ),
        ({}, "cookies", {}),
        ({"HTTP_USER_AGENT": "curl"}, "agent", "curl"),
        ({}, "agent", None),
        ({"CONTENT_TYPE": "text/plain"}, "type", "text/plain"),
    ],
)
def test_a_request_is_read_from_the_environ(environ: dict[str, Any], key: str, value: Any) -> None:
    assert json.loads(ask(answering(seen), **environ).body)[key] == value


@pytest.mark.parametrize(
    ("read", "body", "environ", "status", "answer"),
    [
        (lambda r: r.body + r.body, b"ab", {}, 200, b"abab"),
        (lambda r: r.body, b"", {"CONTENT_LENGTH": ""}, 200, b""),
        (lambda r: r.body, b"not mine", {"CONTENT_LENGTH": ""}, 200, b""),
        (lambda r: r.body, b"a" * 8, {}, 200, b"a" * 8),
        (lambda r: r.body, b"a" * 9, {}, 413, None),
        (lambda r: r.body, b"ab", {"CONTENT_LENGTH": "1"}, 200, b"a"),
        (lambda r: r.body, b"ab", {"CONTENT_LENGTH": "3"}, 400, b"ended before"),
        (lambda r: r.json(), b'{"a":1}', {}, 200, b'{"a": 1}'),
        (lambda r: r.json(), b'{"a":', {}, 400, b"is not JSON: Expecting value: line 1 column 6"),
        (lambda r: r.json(), b"", {}, 400, b"is not JSON"),
        (lambda r: r.json(), b"\xff", {}, 400, b"is not JSON"),
        (lambda r: r.form, b"", {}, 200, b"{}"),
        (lambda r: r.form, b"a=1&a=2", {"CONTENT_TYPE": FORM}, 200, b'{"a": "1"}'),
        (lambda r: r.form, b"a=", {"CONTENT_TYPE": f"{FORM}; charset=utf-8"}, 200, b'{"a": ""}'),
        (lambda r: r.form, b"a=%FF", {"CONTENT_TYPE": FORM}, 200, b'{"a": "\\ufffd"}'),
        (lambda r: r.form, b"a=\xff", {"CONTENT_TYPE": FORM}, 400, b"is not a form"),
        (lambda r: r.form, b"--a", {"CONTENT_TYPE": "multipart/form-data; boundary=a"}, 415, FORM),
    ],
)
def test_a_body_is_read_once_and_within_its_limit(
    read: Callable[[Request], object],
    body: bytes,
    environ: dict[str, str],
    status: int,
    answer: bytes | str | None,
) -> None:
    app = answering(read, "POST")
    app.max_body = 8
    got = ask(app, "POST", body=body, **environ)
    assert int(got.status[:3]) == status
    expected = answer.encode() if isinstance(answer, str) else answer or b""
    assert got.body == expected if status == 200 else expected in got.body
    assert got.log == ""


@pytest.mark.parametrize("length", ["x", "-1", "9" * 5000])
def test_a_content_length_that_is_none_is_a_bad_request(length: str) -> None:
    # The validator takes such an environ for the server's mistake, so this goes past it.
    environ: WSGIEnvironment = {"CONTENT_LENGTH": length, "wsgi.input": io.BytesIO(b"a")}
    setup_testing_defaults(environ)
    with pytest.raises(HTTPError) as caught:
        _ = Request(environ, MIB).body
    assert caught.value.status == 400


@pytest.mark.parametrize(("size", "status"), [(8, 200), (9, 413)])
def test_a_body_without_length_is_read_where_the_server_ends_it(size: int, status: int) -> None:
    app = answering(lambda request: request.body, "POST")
    app.max_body = 8
    environ: dict[str, Any] = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
    assert int(ask(app, "POST", body=b"a" * size, **environ).status[:3]) == status


def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    app = answering(lambda request: request.body, "POST")
    app.max_body = 8
    unread = io.BytesIO(b"a" * 10)
    environ: dict[str, Any] = {"CONTENT_LENGTH": "10", "wsgi.input": unread}
    answer = ask(app, "POST", **environ)
    assert (answer.status[:3], unread.tell()) == ("413", 0)


@pytest.mark.parametrize(("count", "status"), [(1000, 200), (1001, 400)])
def test_a_form_has_a_bounded_number_of_fields(count: int, status: int) -> None:
    app = answering(lambda request: request.form, "POST")
    body = b"&".join([b"a=1"] * count)
    assert int(ask(app, "POST", body=body, CONTENT_TYPE=FORM).status[:3]) == status


def test_json_that_nests_without_end_is_a_bad_request() -> None:
    app = answering(lambda request: request.json(), "POST")
    assert ask(app, "POST", body=b"[" * 100_000).status == "400 Bad Request"


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, {"Path=/", "HttpOnly", "SameSite=Lax"}),
        ({"max_age": 0}, {"Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=0"}),
        ({"httponly": False}, {"Path=/", "SameSite=Lax"}),
        (
            {"path": "/a", "domain": "a.example", "secure": True, "samesite": "Strict"},
            {"Path=/a", "Domain=a.example", "Secure", "HttpOnly", "SameSite=Strict"},
        ),
    ],
)
def test_a_cookie_is_guarded_unless_it_is_told_otherwise(
    attributes: dict[str, Any], expected: set[str]
) -> None:
    response = Response()
    response.set_cookie("a", "1", **attributes)
    first, *rest = (response.headers["Set-Cookie"] or "").split("; ")
    assert (first, set(rest)) == ("a=1", expected)


@pytest.mark.parametrize("value", ["", "a b", 'ü;,"\\', "a%3Bb", "a\r\nb", "="])
def test_a_cookie_comes_back_as_it_was_set(value: str) -> None:
    response = Response()
    response.set_cookie("name", value)
    sent = (response.headers["Set-Cookie"] or "").partition(";")[0]
    environ: WSGIEnvironment = {"HTTP_COOKIE": sent}
    setup_testing_defaults(environ)
    assert Request(environ, MIB).cookies == {"name": value}


@pytest.mark.parametrize(
    ("name", "attributes", "error"),
    [
        ("a b", {}, CookieError),
        ("a;b", {}, CookieError),
        ("", {}, CookieError),
        ("a", {"http_only": True}, CookieError),
    ],
)
def test_a_cookie_that_is_none_is_refused(
    name: str, attributes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Response().set_cookie(name, "1", **attributes)


def test_two_cookies_are_two_headers() -> None:
    response = Response()
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    assert len(response.headers.get_all("Set-Cookie")) == 2


@pytest.mark.parametrize(
    ("location", "sent"),
    [
        ("/a?b=c&d=%20#e", "/a?b=c&d=%20#e"),
        ("https://a.example/ü b", "https://a.example/%C3%BC%20b"),
        ("/a\r\nX-B: c", "/a%0D%0AX-B:%20c"),
    ],
)
def test_a_redirect_encodes_what_a_url_cannot_have(location: str, sent: str) -> None:
    answer = ask(answering(lambda _: redirect(location)))
    assert (answer.status, answer.headers["Location"]) == ("303 See Other", sent)


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "text"),
    [
        ("GET", "/", b"", 200, b'action="/demo/greet"'),
        ("POST", "/greet", b"name=%3Cb%3E", 303, b""),
        ("POST", "/greet", b"name=", 400, b"1 to 80"),
        ("GET", "/square/12", b"", 200, b'{"number": 12, "square": 144}'),
        ("GET", "/square/99999999999", b"", 400, b"up to"),
        ("GET", "/nothing", b"", 404, b'href="/demo/"'),
        ("HEAD", "/countdown", b"", 200, b""),
    ],
)
def test_the_demo_answers(method: str, target: str, body: bytes, status: int, text: bytes) -> None:
    answer = ask(demo, method, target, body, SCRIPT_NAME="/demo", CONTENT_TYPE=FORM)
    assert int(answer.status[:3]) == status
    assert text in answer.body


def test_the_demo_greets_by_name_and_escapes_it() -> None:
    greeted = ask(demo, "POST", "/greet", b"name=%3Cb%3E", CONTENT_TYPE=FORM)
    cookie = greeted.headers["Set-Cookie"].partition(";")[0]
    assert b"<h1>Hello, &lt;b&gt;!</h1>" in ask(demo, HTTP_COOKIE=cookie).body
