"""`pages: DIR`: files of Python that answer for their own paths.

Which file it is, is found in the loop; it is imported and called as any application is.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from forkd.config.settings import HeaderChanges, PagesRoute
from forkd.handlers.base import Match, Request, Response, make_response
from forkd.handlers.files import Found, Refusal, locate
from forkd.handlers.page_module import Application, Broken, Form, PageModule, Ready
from forkd.handlers.quoting import quote_path
from forkd.handlers.respond import see
from forkd.handlers.wsgi import FileWrapper, Wsgi, WsgiCall
from forkd.loop.crew import Crew, Pace
from forkd.loop.timers import NEVER
from forkd.proto.http1.response import error_page

log = logging.getLogger("forkd.pages")

_INDEX = "index.py"
_MOST_PAGES = 1024
"""Links that lead in circles give one file any number of names."""
_TEXT_METHODS = frozenset({"GET", "HEAD", "POST"})
_HTML = (b"Content-Type", b"text/html; charset=utf-8")


@dataclass(frozen=True, slots=True)
class Place:
    """A file that may be meant by a path, and how the path divides then. Below the route's."""

    file: str
    script: str
    """What is added to SCRIPT_NAME."""
    info: str
    """PATH_INFO."""


class Pages:
    """Calls the page that a path names, whatever the method."""

    methods = None

    def __init__(
        self, settings: PagesRoute, key: str, crew: Crew, timeout_s: float = NEVER
    ) -> None:
        """key: where the route stands in the configuration."""
        self._rules = settings.headers
        self._root = os.fsencode(settings.pages)
        self._key = key
        self._crew = crew
        self._timeout_s = timeout_s
        self._pages: dict[bytes, Page] = {}

    def answer(self, request: Request) -> Response | PageCall:
        match = request.match
        for place in places(match.rest):
            path = _encode(place.file)
            found = locate(self._root, path)
            if isinstance(found, Refusal):
                return self._error(found)
            if not found.is_directory:
                request.match = Match(match.route, match.prefix + place.script, place.info)
                page = self._page(path)
                return PageCall(page, found, self._crew, page.pace, request)
        return self._without_page(request)

    def _page(self, path: bytes) -> Page:
        page = self._pages.get(path)
        if page is None:
            if len(self._pages) >= _MOST_PAGES:
                self._pages.clear()
            module = PageModule(self._root, path, self._key)
            page = self._pages[path] = Page(module, self._rules, self._crew, self._timeout_s)
        return page

    def _without_page(self, request: Request) -> Response:
        """A directory's name without its slash leads to the directory."""
        rest = request.match.rest
        if not rest or rest.endswith("/") or is_hidden(rest):
            return self._error(Refusal.NOT_FOUND)
        found = locate(self._root, _encode(rest))
        if isinstance(found, Refusal):
            return self._error(found)
        if not found.is_directory:
            return self._error(Refusal.NOT_FOUND)
        location = quote_path(request.head.path) + b"/"
        if request.head.query:
            location += b"?" + request.head.query
        return see(301, location, request)

    def _error(self, why: Refusal) -> Response:
        return make_response(why.value, [_HTML], error_page(why.value), self._rules)


def places(rest: str) -> Iterator[Place]:
    """Where the page for a path may be, the shortest name first: a directory may be called x.py.

    rest: decoded, without dot segments; empty where the route is an exact path.
    """
    end = 0
    while (at := rest.find(".py", end)) >= 0:
        end = at + len(".py")
        if rest[end : end + 1] in ("", "/"):
            if is_hidden(rest[:end]):
                return
            yield Place(rest[:end], rest[:end], rest[end:])
    directory = rest or "/"
    if directory.endswith("/") and not is_hidden(directory):
        # What is behind the directory is for its index: here it is the slash, if that was sent.
        yield Place(directory + _INDEX, directory.removesuffix("/"), rest[-1:])


def is_hidden(path: str) -> bool:
    """Whether it leads through what is never a page: names with a dot before them, and caches."""
    return "/." in path or "__pycache__" in path.split("/")


def _encode(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


class Page(Wsgi):
    """A page as an application. `application` is that of the version that was called last."""

    def __init__(
        self, module: PageModule, rules: HeaderChanges, crew: Crew, timeout_s: float
    ) -> None:
        super().__init__(_not_imported, module.file, rules, {}, crew)
        self.module = module
        self.rules = rules
        self.pace = Pace(timeout_s)


def _not_imported(_environ: object, _start_response: object) -> Iterable[bytes]:
    raise AssertionError("a page is imported before it is called")


class PageCall(WsgiCall):
    """One call of a page, which is imported first if need be."""

    def __init__(self, page: Page, found: Found, crew: Crew, pace: Pace, request: Request) -> None:
        super().__init__(page, crew, pace, request)
        self._page = page
        self._found = found

    def _call(self) -> None:
        state = self._page.module.current(self._found, self.request.started, self.waits)
        match state:
            case Refusal():
                self.fail(state.value)
            case Broken():
                self.fail(500)
            case Ready(form=Form.TEXT):
                self._give_text(state.application)
            case Ready():
                # Another thread may put a later version here before this one is called: as good.
                self._page.application = partial(_call_wsgi, state.application)
                super()._call()

    def _give_text(self, application: Application) -> None:
        if self.request.head.method not in _TEXT_METHODS:
            route_methods = self.request.match.route.methods
            allowed = _TEXT_METHODS if route_methods is None else _TEXT_METHODS & route_methods
            allow = (b"Allow", ", ".join(sorted(allowed)).encode())
            self.give(make_response(405, [_HTML, allow], error_page(405), self._page.rules))
            return
        result = application()
        if result is not None and not isinstance(result, (str, bytes)):
            log.error(
                "%s: application() returned %s: expected str, bytes or None id=%s",
                self._page.name,
                type(result).__name__,
                self.request.id,
            )
            self.fail(500)
            return
        self.give(make_response(200, [_HTML], _as_bytes(result or b""), self._page.rules))


def _call_wsgi(
    application: Application, environ: dict[str, object], start_response: Callable[..., Any]
) -> Iterable[bytes]:
    """Call an application of PEP 3333 that may also give, and write, text."""

    def start(*args: Any, **options: Any) -> Callable[[object], None]:
        write = start_response(*args, **options)
        return lambda data: write(_as_bytes(data))

    result = application(environ, start)
    if isinstance(result, (str, bytes)):
        return [_as_bytes(result)]  # meant as one piece; the rule would send it byte by byte
    if type(result) in (list, tuple):
        return [_as_bytes(piece) for piece in result]
    return result if isinstance(result, FileWrapper) else _Encoded(result)


class _Encoded:
    """The pieces of a result, text as UTF-8, each when it is asked for."""

    def __init__(self, result: Iterable[Any]) -> None:
        self._result = result
        if (close := getattr(result, "close", None)) is not None:
            self.close: Callable[[], Any] = close

    def __iter__(self) -> Iterator[bytes]:
        return map(_as_bytes, self._result)


def _as_bytes(piece: Any) -> Any:
    """Text as UTF-8. What is neither text nor bytes is left for those who say what is wrong."""
    return piece.encode() if isinstance(piece, str) else piece
