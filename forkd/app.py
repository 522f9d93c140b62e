"""A small WSGI framework: routes, requests and responses, for any server of PEP 3333.

A function gets a Request and the parameters of its path by name. It returns str (HTML), bytes, dict
or list (JSON), None (204), an iterator of str or bytes (streamed) or a Response. Deliberately
absent: templates, sessions, uploads, static files and a server.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from functools import cached_property
from html import escape
from http import HTTPStatus
from http.cookies import Morsel
from itertools import chain
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, unquote
from wsgiref.headers import Headers
from wsgiref.types import StartResponse, WSGIEnvironment

F = TypeVar("F", bound=Callable[..., object])
Fields = Mapping[str, str] | None
Route = tuple[re.Pattern[str], dict[str, str], set[str], Callable[..., object]]
HTML, BINARY, JSON = "text/html; charset=utf-8", "application/octet-stream", "application/json"
PAGE = '<!doctype html>\n<html lang="en"><title>{0}</title><h1>{0}</h1><p>{1}</p></html>\n'
PARAMETER = re.compile(r"\\{([A-Za-z_]\w*)(?::(int|path))?\\}")  # in what re.escape made
PATTERNS = {"": "[^/]+", "int": "[0-9]{1,18}", "path": ".*"}


class HTTPError(Exception):
    """Ends a request with `status`, `headers`, and a page that shows `text`."""

    def __init__(self, status: int, text: str = "", headers: Fields = None) -> None:
        self.status, self.text, self.headers = HTTPStatus(status), text, headers
        super().__init__(f"{status:d} {self.status.phrase}")


class Request:
    """What was asked. `query` and `form` have the first value of each name, `base` begins links."""

    def __init__(self, environ: WSGIEnvironment, max_body: int) -> None:
        self.environ, self.max_body, self.method = environ, max_body, environ["REQUEST_METHOD"]
        self.base = quote(_utf8(environ, "SCRIPT_NAME"))
        self.path = _utf8(environ, "PATH_INFO") or "/"
        self.query = dict(parse_qsl(_utf8(environ, "QUERY_STRING"), keep_blank_values=True)[::-1])
        sent = [(k, v) for k, v in environ.items() if k.startswith(("HTTP_", "CONTENT_"))]
        self.headers = Headers([(k.removeprefix("HTTP_").replace("_", "-"), v) for k, v in sent])
        # The first of a name is the most specific one (RFC 6265 §5.4), so it is stored last.
        pairs = [part.partition("=") for part in environ.get("HTTP_COOKIE", "").split(";")][::-1]
        self.cookies = {k.strip(): unquote(v.strip().strip('"')) for k, sign, v in pairs if sign}

    @cached_property
    def body(self) -> bytes:
        """The whole body; HTTPError 413 beyond `max_body` bytes, 400 where it is cut short."""
        stated, limit = self.environ.get("CONTENT_LENGTH"), self.max_body
        # Without a length nothing may be read, unless the server says that the input ends.
        unstated = limit + 1 if self.environ.get("wsgi.input_terminated") else 0
        with _expecting("of a known length"):
            length = int(stated or unstated)
        body: bytes = self.environ["wsgi.input"].read(length) if 0 < length <= limit + 1 else b""
        if len(body) > limit or (stated and length > limit):
            raise HTTPError(413, f"The body is larger than {limit} bytes.")
        if stated and len(body) != length:
            raise HTTPError(400, "The body ended before its Content-Length.")
        return body

    def json(self) -> Any:
        """The value of a JSON body; HTTPError 400 says what is malformed."""
        with _expecting("JSON"):
            return json.loads(self.body)

    @cached_property
    def form(self) -> dict[str, str]:
        """The fields of an urlencoded body, 1000 at most; HTTPError 415 for another type."""
        kind = (self.headers["Content-Type"] or "").partition(";")[0].strip().lower()
        if self.body and kind != "application/x-www-form-urlencoded":
            raise HTTPError(415, "Send the form as application/x-www-form-urlencoded.")
        with _expecting("a form"):
            return dict(parse_qsl(self.body.decode(), True, max_num_fields=1000)[::-1])


class Response:
    """An answer, of a type that follows from `body` where `headers` has none."""

    def __init__(self, body: object = "", status: int = 200, headers: Fields = None) -> None:
        self.status = HTTPStatus(204 if body is None and status == 200 else status)
        self.headers = Headers(list((headers or {}).items()))
        kind = BINARY if isinstance(body, bytes) else HTML
        if isinstance(body, dict | list):
            body, kind = json.dumps(body, allow_nan=False), JSON
        if isinstance(body, str | bytes | None):
            self.body: Iterable[bytes] = [body.encode() if isinstance(body, str) else body or b""]
            self.headers["Content-Length"] = str(len(self.body[0]))
        elif isinstance(body, Iterator):
            first = next(body, "")  # taken at once, it may still fail with a status
            kind = BINARY if isinstance(first, bytes) else HTML
            self.body = (p.encode() if isinstance(p, str) else p for p in chain([first], body))
        else:
            raise TypeError(f"{type(body).__name__} is no body: see forkd.app for what may be one")
        self.headers.setdefault("Content-Type", kind)

    def set_cookie(self, name: str, value: str, **attributes: Any) -> None:
        """Set a cookie, with `attributes` of http.cookies.Morsel such as max_age (in seconds)."""
        chosen: dict[str, Any] = {"path": "/", "httponly": True, "samesite": "Lax"} | attributes
        cookie: Morsel[Any] = Morsel()
        cookie.set(name, quote(value), quote(value))
        cookie.update({key.replace("_", "-"): value for key, value in chosen.items()})
        self.headers.add_header("Set-Cookie", cookie.OutputString())


def redirect(location: str, status: int = 303) -> Response:
    """Send the client to the URL `location`, where what no URL may have is percent-encoded."""
    return Response("", status, {"Location": quote(location, safe="%/:?#[]@!$&'()*+,;=")})


class App:
    """A WSGI application. A function in `errors` makes the page for errors of its status."""

    def __init__(self, max_body: int = 10 * 2**20) -> None:
        self.max_body, self._routes = max_body, list[Route]()
        self.errors: dict[int, Callable[[Request, HTTPError], object]] = {}

    def route(self, template: str, methods: Iterable[str] = ("GET",)) -> Callable[[F], F]:
        """Answer the paths that fit `template` with the function; the first one wins.

        `{x}` is one segment, `{x:int}` digits, `{x:path}` the rest or nothing. GET implies HEAD.
        """
        escaped = re.escape(template)
        kinds = dict(PARAMETER.findall(escaped))
        if template[:1] != "/" or not len(kinds) == template.count("{") == template.count("}"):
            raise ValueError(f"route {template!r}: expected /path/{{x}} or {{x:int}}, each x once")
        groups = PARAMETER.sub(lambda p: f"(?P<{p[1]}>{PATTERNS[kinds[p[1]]]})", escaped)
        allowed = {m.upper() for m in ([methods] if isinstance(methods, str) else methods)}
        allowed |= {"HEAD"} if "GET" in allowed else set()

        def register(function: F) -> F:
            self._routes.append((re.compile(groups, re.DOTALL), kinds, allowed, function))
            return function

        return register

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ, self.max_body)
        try:
            response = _checked(self._dispatch(request), 200)
        except Exception as error:  # whatever one request does, the server goes on
            response = self._failed(request, error, self.errors)
        start_response(f"{response.status:d} {response.status.phrase}", response.headers.items())
        return [] if request.method == "HEAD" or response.status in (204, 304) else response.body

    def _dispatch(self, request: Request) -> object:
        known: set[str] = set()
        for pattern, kinds, methods, function in self._routes:
            if (found := pattern.fullmatch(request.path)) and request.method in methods:
                args = {k: int(v) if kinds[k] == "int" else v for k, v in found.groupdict().items()}
                return function(request, **args)
            known |= methods if found else set()
        raise HTTPError(405, "", {"Allow": ", ".join(sorted(known))}) if known else HTTPError(404)

    def _failed(self, request: Request, error: Exception, handlers: Mapping[int, Any]) -> Response:
        if not isinstance(error, HTTPError):
            traceback.print_exception(error, file=request.environ["wsgi.errors"])
            error = HTTPError(500)
        page = PAGE.format(error, escape(error.text))
        try:
            result = handlers[error.status](request, error) if error.status in handlers else page
            return _checked(result, error.status, error.headers)
        except Exception as second:  # the handler fails too: answer that without any
            return self._failed(request, second, {})


def _checked(result: object, status: int, headers: Fields = None) -> Response:
    """Make a response of what a function returned; ValueError where it must not be sent."""
    response = copy(result) if isinstance(result, Response) else Response(result, status, headers)
    missing = [(k, v) for k, v in (headers or {}).items() if k not in response.headers]
    response.headers = Headers(response.headers.items() + missing)
    if re.search(r"[\x00-\x1f\x7f]|[^\x00-\xff]", "".join(chain(*response.headers.items()))):
        raise ValueError(f"a header has a forbidden character: one of {response.headers.keys()}")
    if response.status in (204, 304):
        del response.headers["Content-Type"], response.headers["Content-Length"]
    return response


@contextmanager
def _expecting(what: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, RecursionError) as error:
        raise HTTPError(400, f"The body is not {what}: {error}.") from None


def _utf8(environ: WSGIEnvironment, key: str) -> str:
    """A value of the environ, where each character stands for a byte (PEP 3333), decoded."""
    return str(environ.get(key, "")).encode("latin-1", "replace").decode("utf-8", "replace")
