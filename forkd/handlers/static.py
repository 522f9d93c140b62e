"""`static: DIR` or one file.

Small files are kept whole, with their head, and checked against stat(2) at most once a second; a
request for one costs a dictionary look-up. Large ones are checked and opened for each request and
go out by sendfile(2).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from forkd.config.routes import StaticRoute
from forkd.handlers.base import Request, Response, apply_rules, make_prefix, make_response
from forkd.handlers.files import Found, Refusal, locate, open_checked, refusal
from forkd.handlers.listing import read_entries, render
from forkd.handlers.media_types import MediaTypes
from forkd.handlers.quoting import quote_path
from forkd.handlers.respond import see
from forkd.loop.stream import FileRange
from forkd.proto.http1.conditional import Outcome, evaluate, range_applies
from forkd.proto.http1.dates import http_date
from forkd.proto.http1.head import Head
from forkd.proto.http1.ranges import Unsatisfiable, parse_range
from forkd.proto.http1.response import error_page

KEPT_SIZE = 64 * 1024
"""Files up to this size are kept in memory."""
KEPT_TOTAL = 16 << 20
KEPT_COUNT = 4096
FRESH_S = 1.0

_CONDITIONS = (b"if-none-match", b"if-modified-since", b"if-match", b"if-unmodified-since")


@dataclass(slots=True)
class Entry:
    """A file with everything about its response that does not change while the file does not."""

    found: Found
    etag: bytes
    last_modified: int
    headers: list[tuple[bytes, bytes]]
    whole: Response
    fresh_until: float


class Static:
    """Serves GET and HEAD from below a directory, or one file."""

    methods = frozenset({"GET", "HEAD"})

    def __init__(self, settings: StaticRoute, types: MediaTypes) -> None:
        self._settings = settings
        self._rules = settings.headers
        self._types = types
        self._root = os.fsencode(settings.static)
        self._is_file = settings.static.is_file()
        self._entries: dict[str, Entry] = {}
        self._kept = 0

    def answer(self, request: Request) -> Response:
        head, rest = request.head, request.match.rest
        entry = self._entries.get(rest)
        if entry is None or entry.fresh_until <= request.started:
            answer = self._look_up(request, entry)
            if isinstance(answer, Response):
                return answer
            entry = answer
        # Most requests have none of these: one look at each name, before any rule is worked out.
        for name in _CONDITIONS:
            if head.get(name) is not None:
                if (response := self._conditional(head, entry)) is not None:
                    return response
                break
        if (wanted := head.get(b"range")) is not None and head.method == "GET":
            return self._range(head, entry, wanted)
        return entry.whole

    def _look_up(self, request: Request, entry: Entry | None) -> Entry | Response:
        """The entry for a request, made or found unchanged; or a response that needs none."""
        rest = request.match.rest
        # Behind a directory's path another index file, an earlier one, may have come into being.
        if entry is not None and not rest.endswith("/") and _unchanged(entry.found):
            entry.fresh_until = _fresh_until(entry.whole, request.started)
            return entry
        if _is_hidden(request.head.path):
            return self._error(404)
        found = locate(self._root, b"" if self._is_file else _file_name(rest))
        if isinstance(found, Refusal):
            self._forget(rest)
            return self._error(found.value)
        if found.is_directory:
            return self._directory(request, found)
        return self._remember(rest, found, request.started)

    def _directory(self, request: Request, directory: Found) -> Entry | Response:
        """The index file of a directory, else its listing."""
        rest = request.match.rest
        if not rest.endswith("/"):
            self._forget(rest)
            location = quote_path(request.head.path) + b"/"
            if request.head.query:
                location += b"?" + request.head.query
            return see(301, location, request)
        for name in self._settings.index:
            found = locate(self._root, _file_name(rest + name))
            if isinstance(found, Found) and not found.is_directory:
                return self._remember(rest, found, request.started)
            if isinstance(found, Refusal) and found is not Refusal.NOT_FOUND:
                return self._error(found.value)
        self._forget(rest)
        if not self._settings.listing:
            return self._error(403)
        try:
            entries = read_entries(directory.path)
        except OSError as error:
            return self._error(refusal(error).value)
        headers = [(b"Content-Type", b"text/html; charset=utf-8"), (b"Cache-Control", b"no-cache")]
        return make_response(200, headers, render(request.head.path, entries), self._rules)

    def _remember(self, rest: str, found: Found, now: float) -> Entry | Response:
        known = self._entries.get(rest)
        if known is not None and known.found == found:
            known.fresh_until = _fresh_until(known.whole, now)
            return known
        self._forget(rest)
        name = os.fsdecode(os.path.basename(found.path))
        last_modified = found.mtime_ns // 1_000_000_000
        etag = b'"%x-%x"' % (found.mtime_ns, found.size)
        headers = [
            (b"Content-Type", self._types.of(name)),
            (b"Last-Modified", http_date(last_modified)),
            (b"ETag", etag),
            (b"Accept-Ranges", b"bytes"),
        ]
        try:
            whole = self._whole(found, headers)
        except OSError as error:
            return self._error(refusal(error).value)
        entry = Entry(found, etag, last_modified, headers, whole, _fresh_until(whole, now))
        if len(self._entries) >= KEPT_COUNT or self._kept + len(whole.body) > KEPT_TOTAL:
            self._entries.clear()
            self._kept = 0
        self._entries[rest] = entry
        self._kept += len(whole.body)
        return entry

    def _whole(self, found: Found, headers: list[tuple[bytes, bytes]]) -> Response:
        """The 200 response. Raises OSError where the file may not be read."""
        descriptor = open_checked(self._root, found)
        try:
            body = os.read(descriptor, KEPT_SIZE + 1) if found.size <= KEPT_SIZE else None
        finally:
            os.close(descriptor)
        own = [*headers, (b"Content-Length", b"%d" % found.size)]
        prefix = make_prefix(200, apply_rules(own, self._rules))
        if body is not None and len(body) >= found.size:
            return Response(200, prefix, body[: found.size])  # it may have grown since
        return Response(
            200, prefix, open_file=self._opener(found, 0, found.size), length=found.size
        )

    def _opener(self, found: Found, offset: int, count: int) -> _Opener:
        return _Opener(self._root, found, offset, count)

    def _conditional(self, head: Head, entry: Entry) -> Response | None:
        outcome = evaluate(head, entry.etag, entry.last_modified, int(time.time()))
        if outcome is Outcome.NOT_MODIFIED:
            kept = [pair for pair in entry.headers if pair[0] in (b"ETag", b"Last-Modified")]
            return Response(304, make_prefix(304, apply_rules(kept, self._rules)))
        if outcome is Outcome.PRECONDITION_FAILED:
            return self._error(412)
        return None

    def _range(self, head: Head, entry: Entry, wanted: bytes) -> Response:
        if not range_applies(head, entry.etag, entry.last_modified):
            return entry.whole
        size = entry.found.size
        part = parse_range(wanted, size)
        if part is None:
            return entry.whole
        if isinstance(part, Unsatisfiable):
            return self._error(416, [(b"Content-Range", b"bytes */%d" % size)])
        count = part.stop - part.start
        headers = [
            *entry.headers,
            (b"Content-Range", b"bytes %d-%d/%d" % (part.start, part.stop - 1, size)),
            (b"Content-Length", b"%d" % count),
        ]
        prefix = make_prefix(206, apply_rules(headers, self._rules))
        if entry.whole.open_file is None:
            return Response(206, prefix, entry.whole.body[part.start : part.stop])
        opener = self._opener(entry.found, part.start, count)
        return Response(206, prefix, open_file=opener, length=count)

    def _forget(self, rest: str) -> None:
        if (entry := self._entries.pop(rest, None)) is not None:
            self._kept -= len(entry.whole.body)

    def _error(self, status: int, headers: list[tuple[bytes, bytes]] | None = None) -> Response:
        own = [*(headers or ()), (b"Content-Type", b"text/html; charset=utf-8")]
        return make_response(status, own, error_page(status), self._rules)


class _Opener:
    """Opens a range of a file for one response."""

    __slots__ = ("_count", "_found", "_offset", "_root")

    def __init__(self, root: bytes, found: Found, offset: int, count: int) -> None:
        self._root = root
        self._found = found
        self._offset = offset
        self._count = count

    def __call__(self) -> FileRange:
        return FileRange(open_checked(self._root, self._found), self._offset, self._count)


def _file_name(rest: str) -> bytes:
    return rest.encode("utf-8", "surrogateescape")


def _is_hidden(path: str) -> bool:
    """Whether a segment begins with a dot. /.well-known/ of a site is public (RFC 8615)."""
    return "/." in path.removeprefix("/.well-known")


def _fresh_until(whole: Response, now: float) -> float:
    """When a file must be looked at again. One that is opened for each request: at each request, or
    its head might belong to what lay at the path before."""
    return now + FRESH_S if whole.open_file is None else now


def _unchanged(found: Found) -> bool:
    try:
        return found.is_same(os.stat(found.path))
    except OSError:
        return False
