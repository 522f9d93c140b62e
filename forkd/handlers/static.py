"""`static: DIR` or one file.

Small files are kept whole, with their head, and checked against stat(2) at most once a second; a
request for one costs a dictionary look-up. Large ones are checked for each request, stay open while
they are in demand, and go out by sendfile(2).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from forkd.config.settings import StaticRoute
from forkd.handlers import byteranges
from forkd.handlers.base import KNOWN_METHODS, Exchange, Request, Response, make_response
from forkd.handlers.files import Follow, Found, Refusal, locate, refusal
from forkd.handlers.listing import Form, parse_query, read_entries, render, render_json
from forkd.handlers.media_types import MediaTypes
from forkd.handlers.open_files import OpenFiles
from forkd.handlers.quoting import quote_path
from forkd.handlers.respond import see
from forkd.handlers.static_entry import Entry, Maker, Representation
from forkd.proto.http1.conditional import Outcome, evaluate, range_applies
from forkd.proto.http1.head import Head
from forkd.proto.http1.ranges import Unsatisfiable, parse_ranges
from forkd.proto.http1.response import error_page
from forkd.proto.http1.target import resolve_path

KEPT_TOTAL = 16 << 20
KEPT_COUNT = 4096

_METHODS = frozenset({"GET", "HEAD"})
_CONDITIONS = (b"if-none-match", b"if-modified-since", b"if-match", b"if-unmodified-since")


class Static:
    """Serves GET and HEAD from below a directory, or one file."""

    def __init__(self, settings: StaticRoute, types: MediaTypes, files: OpenFiles) -> None:
        self._settings = settings
        self._rules = settings.headers
        self._root = os.fsencode(settings.static)
        self._is_file = settings.static.is_file()
        self._follow = Follow(settings.follow_symlinks)
        self._files = files
        self._maker = Maker(settings, types, self._root, files)
        self._entries: dict[str, Entry] = {}
        self._kept = 0
        path = (settings.fallback or "").encode().partition(b"?")[0]
        self._fallback_path = resolve_path(path) if path else None
        # Behind a fallback there may be an application, which has methods of its own.
        self.methods = None if path else _METHODS
        self.is_program: Callable[[str], bool] = _no_program
        """Whether a path of the site belongs to a route of programs."""

    def answer(self, request: Request) -> Response | PassedOn:
        head, rest = request.head, request.match.rest
        if head.method not in _METHODS:
            return self._answer_other(request)
        entry = self._entries.get(rest)
        chosen = None
        if entry is not None and entry.fresh_until > request.started:
            chosen = entry.choose(head.get(b"accept-encoding"))
            # The head of what is opened anew might belong to what lay at the path before.
            if not chosen.is_kept and not chosen.source.is_unchanged():
                chosen = None
        if chosen is None:
            looked_up = self._look_up(request, entry)
            if not isinstance(looked_up, Entry):
                return looked_up
            chosen = looked_up.choose(head.get(b"accept-encoding"))
        # Most requests have none of these: one look at each name, before any rule is worked out.
        for name in _CONDITIONS:
            if head.get(name) is not None:
                if (response := self._conditional(head, chosen)) is not None:
                    return response
                break
        if (wanted := head.get(b"range")) is not None and head.method == "GET":
            return self._range(head, chosen, wanted)
        return chosen.whole

    def _answer_other(self, request: Request) -> Response | PassedOn:
        """A method that files do not have: only where there is no file the fallback is asked."""
        hidden = is_hidden(request.head.path)
        found = Refusal.NOT_FOUND if hidden else self._locate_named(request)
        if isinstance(found, Refusal):
            return self._error(404) if hidden else self._refuse(request, found)
        allow = (b"Allow", b"GET, HEAD, OPTIONS")
        if request.head.method not in KNOWN_METHODS:
            return self._error(501)
        if request.head.method == "OPTIONS":
            return make_response(200, [allow], b"", self._rules)
        return self._error(405, [allow])

    def _look_up(self, request: Request, entry: Entry | None) -> Entry | Response | PassedOn:
        """The entry for a request, made or found unchanged; or an answer that needs none."""
        rest = request.match.rest
        # Behind a directory's path another index file, an earlier one, may have come into being.
        if entry is not None and not rest.endswith("/") and self._maker.is_unchanged(entry):
            entry.checked(request.started)
            return entry
        if is_hidden(request.head.path):
            return self._error(404)
        found = self._locate_named(request)
        if isinstance(found, Refusal):
            self._forget(rest)
            return self._refuse(request, found)
        if found.is_directory:
            return self._directory(request, found)
        return self._remember(request, found)

    def _directory(self, request: Request, directory: Found) -> Entry | Response | PassedOn:
        """The index file of a directory, else its listing."""
        rest = request.match.rest
        if not rest.endswith("/"):
            self._forget(rest)
            location = quote_path(request.head.path) + b"/"
            if request.head.query:
                location += b"?" + request.head.query
            return see(301, location, request)
        for name in self._settings.index:
            found = self._locate(rest + name)
            path = request.head.path + name
            if isinstance(found, Found) and self.is_program(path):
                # A program is run, never shown: /index.php of a *.php route.
                return PassedOn(_with_query(quote_path(path), request))
            if isinstance(found, Found) and not found.is_directory:
                return self._remember(request, found)
            if isinstance(found, Refusal) and found is not Refusal.NOT_FOUND:
                return self._error(found.value)
        self._forget(rest)
        if not self._settings.listing:
            return self._error(403)
        return self._list(request, directory)

    def _list(self, request: Request, directory: Found) -> Response:
        try:
            entries = read_entries(directory.path)
        except OSError as error:
            return self._error(refusal(error).value)
        form, order = parse_query(request.head.query)
        if form is Form.JSON:
            kind, body = b"application/json", render_json(entries, order)
        else:
            kind, body = b"text/html; charset=utf-8", render(request.head.path, entries, order)
        headers = [(b"Content-Type", kind), (b"Cache-Control", b"no-cache")]
        return make_response(200, headers, body, self._rules)

    def _remember(self, request: Request, found: Found) -> Entry | Response | PassedOn:
        rest = request.match.rest
        known = self._entries.get(rest)
        if known is not None and known.source.found == found and self._maker.is_unchanged(known):
            known.checked(request.started)
            return known
        self._forget(rest)
        try:
            entry = self._maker.make(found)
        except OSError as error:
            return self._refuse(request, refusal(error))
        entry.checked(request.started)
        if len(self._entries) >= KEPT_COUNT or self._kept + entry.kept > KEPT_TOTAL:
            self._entries.clear()
            self._kept = 0
        self._entries[rest] = entry
        self._kept += entry.kept
        return entry

    def _locate_named(self, request: Request) -> Found | Refusal:
        """What the path of the request names."""
        return self._locate("" if self._is_file else request.match.rest)

    def _locate(self, rest: str) -> Found | Refusal:
        return locate(self._root, rest.encode("utf-8", "surrogateescape"), self._follow)

    def _conditional(self, head: Head, chosen: Representation) -> Response | None:
        outcome = evaluate(head, chosen.etag, chosen.last_modified, int(time.time()))
        if outcome is Outcome.NOT_MODIFIED:
            return chosen.not_modified
        if outcome is Outcome.PRECONDITION_FAILED:
            return self._error(412)
        return None

    def _range(self, head: Head, chosen: Representation, wanted: bytes) -> Response:
        if not range_applies(head, chosen.etag, chosen.last_modified):
            return chosen.whole
        parts = parse_ranges(wanted, chosen.size)
        if parts is None:
            return chosen.whole
        if isinstance(parts, Unsatisfiable):
            return self._error(416, [(b"Content-Range", b"bytes */%d" % chosen.size)])
        if len(parts) == 1:
            return byteranges.partial(chosen, parts[0], self._rules, self._files)
        try:
            return byteranges.multipart(chosen, parts, self._rules) or chosen.whole
        except OSError as error:
            return self._error(refusal(error).value)

    def _refuse(self, request: Request, why: Refusal) -> Response | PassedOn:
        fallback = self._settings.fallback
        # Where the fallback itself is missing, to go there again would lead here again.
        if (
            fallback is None
            or why is not Refusal.NOT_FOUND
            or request.head.path == self._fallback_path
        ):
            return self._error(why.value)
        return PassedOn(_with_query(fallback.encode(), request))

    def _forget(self, rest: str) -> None:
        if (entry := self._entries.pop(rest, None)) is not None:
            self._kept -= entry.kept

    def _error(self, status: int, headers: list[tuple[bytes, bytes]] | None = None) -> Response:
        own = [*(headers or ()), (b"Content-Type", b"text/html; charset=utf-8")]
        return make_response(status, own, error_page(status), self._rules)


def _with_query(target: bytes, request: Request) -> bytes:
    path, _, query = target.partition(b"?")
    query = b"&".join(filter(None, (query, request.head.query)))
    return path + b"?" + query if query else path


class PassedOn:
    """Has another path of the site answer the request."""

    __slots__ = ("target",)

    def __init__(self, target: bytes) -> None:
        self.target = target

    def start(self, exchange: Exchange) -> None:
        exchange.pass_on(self.target)

    def body(self, data: bytes) -> None:
        """Nothing is asked for, so nothing comes."""

    def body_ended(self) -> None:
        """As above."""

    def drained(self) -> None:
        """Nothing was written."""

    def disconnected(self) -> None:
        """Nothing is under way."""


def _no_program(_path: str) -> bool:
    return False


def is_hidden(path: str) -> bool:
    """Whether a segment begins with a dot. /.well-known/ of a site is public (RFC 8615)."""
    return "/." in path.removeprefix("/.well-known")
