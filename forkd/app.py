"""A small WSGI framework: routes, requests and responses, for any server of PEP 3333.

A function gets a Request and the parameters of its path by name. It returns str (HTML), bytes, dict
or list (JSON), None (204), an iterator of str or bytes (streamed), (body, status) or a Response.
Deliberately absent: templates, sessions, multipart forms (uploads), and a server.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from html import escape
from http import HTTPStatus
from http.cookies import Morsel
from itertools import chain
from typing import Any, NamedTuple, NoReturn, TypeVar
from urllib.parse import parse_qs, quote, unquote
from wsgiref.headers import Headers
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from wsgiref.util import is_hop_by_hop

__all__ = ["App", "HTTPError", "Request", "Response", "abort", "redirect"]

F = TypeVar("F", bound=Callable[..., object])
Fields = Mapping[str, str] | Iterable[tuple[str, str]]
HTML, BINARY = "text/html; charset=utf-8", "application/octet-stream"
PAGE = '<!doctype html>\n<html lang="en"><title>{0}</title><h1>{0}</h1><p>{1}</p></html>\n'
PHRASES = {status.value: status.phrase for status in HTTPStatus}
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
UNSENDABLE = re.compile(r"[\x00-\x1f\x7f]|[^\x00-\xff]")
PARAMETER = re.compile(r"\{([A-Za-z_]\w*)(?::(str|int|path))?\}")
# Python converts 640 digits whatever its limit is set to.
CONVERTERS = {"str": "[^/]+", "int": "[0-9]{1,640}", "path": ".*"}


class HTTPError(Exception):
    """Ends a request with `status`, `headers`, and a page that shows `text`."""

    def __init__(self, status: int, text: str = "", headers: Mapping[str, str] | None = None):
        super().__init__(f"{status} {PHRASES.get(status, 'Unknown')}")
        self.status, self.text, self.headers = status, text, headers or {}


class Request:
    """What was asked. `query` and `form` hold the first value of a name, `..._all` every one."""

    def __init__(self, environ: WSGIEnvironment, app: App) -> None:
        self.environ, self.app, self.method = environ, app, str(environ["REQUEST_METHOD"])
        self.path, self.remote = _utf8(environ, "PATH_INFO") or "/", environ.get("REMOTE_ADDR", "")
        self.query_all = parse_qs(_utf8(environ, "QUERY_STRING"), keep_blank_values=True)
        self.query = {name: values[0] for name, values in self.query_all.items()}
        keys = [k for k in environ if k[:5] == "HTTP_" or k in ("CONTENT_TYPE", "CONTENT_LENGTH")]
        names = [key.removeprefix("HTTP_").replace("_", "-").title() for key in keys]
        self.headers = Headers([(n, environ[k]) for n, k in zip(names, keys, strict=True)])
        # The first of a name is the most specific one (RFC 6265 §5.4), so it is stored last.
        pairs = [part.partition("=") for part in environ.get("HTTP_COOKIE", "").split(";")][::-1]
        self.cookies = {
            k.strip(): unquote(v.strip().strip('"')) for k, equals, v in pairs if equals
        }

    @cached_property
    def body(self) -> bytes:
        """The whole body; HTTPError 413 beyond `app.max_body` bytes, 400 where it is cut short."""
        stated, limit = self.environ.get("CONTENT_LENGTH"), self.app.max_body
        # Without a length nothing may be read, unless the server says that the input ends.
        unstated = limit + 1 if self.environ.get("wsgi.input_terminated") else 0
        with _expecting("of a known length"):
            length = int(stated or unstated)
        fits = length <= limit or not stated
        body: bytes = self.environ["wsgi.input"].read(length) if fits and length > 0 else b""
        if not fits or len(body) > limit:
            raise HTTPError(413, f"The body is larger than {limit} bytes.")
        if stated and len(body) != length:
            raise HTTPError(400, "The body ended before its Content-Length.")
        return body

    @property
    def text(self) -> str:
        """The body as UTF-8; HTTPError 400 where it is not."""
        with _expecting("UTF-8"):
            return self.body.decode()

    def json(self) -> Any:
        """The value of a JSON body; HTTPError 400 says what is malformed."""
        with _expecting("JSON"):
            return json.loads(self.body)

    @cached_property
    def form_all(self) -> dict[str, list[str]]:
        """The fields of an urlencoded body, 1000 at most; HTTPError 415 for another type."""
        kind = (self.headers["Content-Type"] or "").partition(";")[0].strip().lower()
        if self.body and kind != "application/x-www-form-urlencoded":
            raise HTTPError(415, "Send the form as application/x-www-form-urlencoded.")
        with _expecting("a form"):
            return parse_qs(self.text, True, errors="strict", max_num_fields=1000)

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in self.form_all.items()}

    def url_for(self, name: str, /, **params: object) -> str:
        """The path of the route `name` below SCRIPT_NAME; ValueError if `params` do not fit."""
        texts = {key: str(value) for key, value in params.items()}
        for route in (route for route in self.app.routes if route.name == name):
            path = PARAMETER.sub(lambda found: texts.get(found[1], ""), route.template)
            if (found := route.pattern.fullmatch(path)) and found.groupdict() == texts:
                # A browser takes what follows "//" for a host.
                return re.sub("^//", "/%2F", quote(_utf8(self.environ, "SCRIPT_NAME") + path))
        raise ValueError(f"url_for: no route {name!r} takes {params}")


class Response:
    """An answer. Without `content_type`, the type of `body` decides."""

    def __init__(
        self, body: object = "", status: int = 200, headers: Fields = (), content_type: str = ""
    ) -> None:
        self.body: list[bytes] | Generator[Any, None, None]
        self.headers = Headers(list(headers.items() if isinstance(headers, Mapping) else headers))
        self.status = 204 if body is None and status == 200 else status
        kind = BINARY if isinstance(body, bytes) else HTML
        if isinstance(body, dict | list):
            body, kind = json.dumps(body, allow_nan=False), "application/json"
        if isinstance(body, str | bytes | None):
            self.body = [body.encode() if isinstance(body, str) else body or b""]
            self.headers["Content-Length"] = str(len(self.body[0]))
        elif isinstance(body, Iterator):
            self.body = _chunks(body)
            kind = BINARY if isinstance(next(self.body), bytes) else HTML
        else:
            raise TypeError(f"{type(body).__name__} is no body: see forkd.app for what may be one")
        self.headers.setdefault("Content-Type", content_type or kind)

    def set_cookie(self, name: str, value: str, **attributes: Any) -> None:
        """Set a cookie, HttpOnly, SameSite=Lax and Path=/ unless `attributes` differ.

        They are path, domain, max_age (seconds; 0 deletes), secure, httponly and samesite. The
        value is percent-encoded; Request.cookies decodes it. CookieError: no such attribute, or
        no such name; ValueError: a semicolon in an attribute.
        """
        chosen: dict[str, Any] = {"path": "/", "httponly": True, "samesite": "Lax"}
        chosen |= {key.replace("_", "-"): v for key, v in attributes.items() if v is not None}
        cookie: Morsel[Any] = Morsel()
        cookie.set(name, value, quote(value))
        cookie.update(chosen)
        if ";" in "".join(map(str, cookie.values())):
            raise ValueError(f"cookie {name!r}: an attribute has a semicolon, which would end it")
        self.headers.add_header("Set-Cookie", cookie.OutputString())


def redirect(location: str, status: int = 303) -> Response:
    """Send the client to the URL `location`, whose spaces and non-ASCII letters are encoded."""
    encoded = re.sub(r"[^\x00-\x1f!-\x7f]+", lambda found: quote(found[0]), location)
    return Response("", status, {"Location": encoded})


def abort(status: int, text: str = "") -> NoReturn:
    raise HTTPError(status, text)


class Route(NamedTuple):
    """Who answers the paths that fit a template."""

    template: str
    pattern: re.Pattern[str]
    numbers: set[str]
    methods: set[str]
    name: str
    function: Callable[..., object]


class App:
    """A WSGI application. Request.body reads `max_body` bytes at most."""

    def __init__(self, max_body: int = 10 * 2**20) -> None:
        self.max_body, self.routes = max_body, list[Route]()
        self._mounts: dict[str, WSGIApplication] = {}
        self._handlers: dict[int, Callable[[Request, HTTPError], object]] = {}

    def route(
        self, template: str, methods: Iterable[str] = ("GET",), name: str = ""
    ) -> Callable[[F], F]:
        """Answer `template` with the function, known to url_for by its name; the first one wins.

        `{x}` is one segment, `{x:int}` digits, `{x:path}` the rest or nothing. GET implies HEAD.
        """
        literals, names, kinds = (PARAMETER.split(template)[start::3] for start in range(3))
        if template[:1] != "/" or len({*names}) < len(names) or {*"{}"} & {*"".join(literals)}:
            raise ValueError(f"route {template!r}: expected /path/{{x}} or {{x:int}}, each x once")
        kinds = [kind or "str" for kind in kinds]
        groups = [f"(?P<{n}>{CONVERTERS[k]})" for n, k in zip(names, kinds, strict=True)]
        parts = zip(map(re.escape, literals), [*groups, ""], strict=True)
        pattern = re.compile("".join(chain.from_iterable(parts)), re.DOTALL)
        numbers = {n for n, k in zip(names, kinds, strict=True) if k == "int"}
        allowed = {m.upper() for m in ([methods] if isinstance(methods, str) else methods)}
        allowed |= {"HEAD"} if "GET" in allowed else set()

        def register(function: F) -> F:
            label = name or function.__name__
            self.routes.append(Route(template, pattern, numbers, allowed, label, function))
            return function

        return register

    def get(self, template: str, name: str = "") -> Callable[[F], F]:
        return self.route(template, ("GET",), name)

    def post(self, template: str, name: str = "") -> Callable[[F], F]:
        return self.route(template, ("POST",), name)

    def error(self, status: int) -> Callable[[F], F]:
        """Answer errors of `status` with the function, given the Request and the HTTPError."""

        def register(function: F) -> F:
            self._handlers[status] = function
            return function

        return register

    def mount(self, prefix: str, app: WSGIApplication) -> None:
        """Give `prefix` and all below to `app`, before any route; the longest prefix wins."""
        if prefix[:1] != "/" or prefix[-1:] == "/":
            raise ValueError(f"mount {prefix!r}: expected /path, without a slash at its end")
        mounts = self._mounts | {prefix.encode().decode("latin-1"): app}
        self._mounts = dict(sorted(mounts.items(), key=lambda mount: -len(mount[0])))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        for prefix, app in self._mounts.items():
            if f"{path}/".startswith(f"{prefix}/"):
                script = environ.get("SCRIPT_NAME", "") + prefix
                moved = {"SCRIPT_NAME": script, "PATH_INFO": path.removeprefix(prefix)}
                return app(environ | moved, start_response)
        request = Request(environ, self)
        try:
            response = _checked(self._dispatch(request), 200)
        except Exception as error:  # whatever one request does, the server goes on
            response = self._failed(request, error, self._handlers)
        status = f"{response.status} {PHRASES.get(response.status, 'Unknown')}"
        start_response(status, response.headers.items())
        if request.method != "HEAD" and response.status not in (204, 304):
            return response.body
        if isinstance(response.body, Generator):
            response.body.close()
        return []

    def _dispatch(self, request: Request) -> object:
        if "\ufffd" in request.path:  # stands for bytes that are no UTF-8
            raise HTTPError(400, "The path is not UTF-8.")
        allowed: set[str] = set()
        for route in self.routes:
            if found := route.pattern.fullmatch(request.path):
                if request.method in route.methods:
                    texts = found.groupdict().items()
                    params = {k: int(v) if k in route.numbers else v for k, v in texts}
                    return route.function(request, **params)
                allowed |= {*route.methods, "OPTIONS"}
        if not allowed:
            raise HTTPError(404)
        allow = {"Allow": ", ".join(sorted(allowed))}
        if request.method == "OPTIONS":
            return Response(None, headers=allow)
        raise HTTPError(405, headers=allow)

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


def _checked(result: Any, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Make a response of what a function returned; ValueError where it must not be sent."""
    body, status = result if isinstance(result, tuple) else (result, status)
    response = body if isinstance(body, Response) else Response(body, status)
    for name, value in (headers or {}).items():
        response.headers.setdefault(name, value)
    if not 200 <= response.status <= 599:
        raise ValueError(f"status {response.status}: expected a number from 200 to 599")
    for name, value in response.headers.items():
        if not TOKEN.fullmatch(name) or UNSENDABLE.search(value) or is_hop_by_hop(name):
            raise ValueError(
                f"header {name!r}: the name, or a character of the value, is forbidden"
            )
    if response.status in (204, 304):
        del response.headers["Content-Type"], response.headers["Content-Length"]
    return response


def _chunks(parts: Iterator[str | bytes]) -> Generator[Any, None, None]:
    """Give the first part as it is, for its type, then all as bytes. Closes `parts` at the end."""
    try:
        # Taken early, it may still fail with a status, and close() reaches a generator that began.
        first = next(parts, "")
        yield first
        for part in chain([first], parts):
            yield part.encode() if isinstance(part, str) else part
    finally:
        if close := getattr(parts, "close", None):
            close()


@contextmanager
def _expecting(what: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, RecursionError) as error:
        raise HTTPError(400, f"The body is not {what}: {error}.") from None


def _utf8(environ: WSGIEnvironment, key: str) -> str:
    """A value of the environ, where each character stands for a byte (PEP 3333), decoded."""
    return str(environ.get(key, "")).encode("latin-1", "replace").decode("utf-8", "replace")
