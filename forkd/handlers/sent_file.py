"""`X-Sendfile: FILE` in a program's header: a file goes out in the place of the program's body.

Preconditions and a range are heeded, as for a static file. Deliberately absent: several ranges in
one answer, for which the whole file is sent (RFC 9110 section 14.2 allows it), and content codings.
"""

from __future__ import annotations

import os
import time
from urllib.parse import unquote_to_bytes

from forkd.errors import ProtocolError
from forkd.handlers.base import Exchange, Request, make_response
from forkd.handlers.files import Follow, Found, Refusal, locate
from forkd.handlers.script_log import printable
from forkd.handlers.static_entry import Source
from forkd.loop.stream import FileRange, SharedFile
from forkd.proto.cgi import CgiHead
from forkd.proto.http1.conditional import Outcome, evaluate, range_applies
from forkd.proto.http1.dates import http_date, parse_http_date
from forkd.proto.http1.ranges import ByteRange, Unsatisfiable, parse_ranges
from forkd.proto.http1.response import error_page
from forkd.system.credentials import current_user

_OF_THE_RANGE = frozenset({b"accept-ranges", b"content-range"})
"""What a program says of ranges is of its own body."""
_LASTING = frozenset({b"cache-control", b"content-location", b"etag", b"expires", b"vary"})
"""What a 304 repeats (RFC 9110 section 15.4.5), with Set-Cookie and Last-Modified."""


def find_file(name: bytes, directory: bytes, allowed: tuple[bytes, ...]) -> Source:
    """The regular file that name stands for, below one of the allowed directories.

    A relative name is one in directory, where the program runs. What counts is where the file
    really is, links resolved, and where the allowed directories are. A name for which there is
    nothing is looked up percent-decoded, since some programs write it so. Raises
    ProtocolError(502) with the reason.
    """
    names = dict.fromkeys((name, unquote_to_bytes(name)))
    found = [_find(os.path.join(directory, one), allowed) for one in names if b"\0" not in one]
    for one in found:
        if isinstance(one, Source):
            return one
    assert isinstance(found[0], str)
    raise ProtocolError(502, f"X-Sendfile names {printable(name)}, which {found[0]}")


def _find(path: bytes, allowed: tuple[bytes, ...]) -> Source | str:
    """The file, or why it is none that may be sent: the end of a sentence."""
    real = os.path.realpath(path)
    for one in allowed:
        root = os.path.realpath(one)
        before = os.path.join(root, b"")
        if not real.startswith(before):
            continue
        # Between here and there no link is left: one that is put there now is not followed.
        found = locate(root, b"/" + real.removeprefix(before), Follow.NONE)
        if isinstance(found, Found):
            return "is a directory" if found.is_directory else Source(root, found, Follow.NONE)
        if found is Refusal.FORBIDDEN:
            return f"user {current_user()} may not read"
        return "is no file that can be sent" if os.path.lexists(real) else "does not exist"
    return "is not below " + " or ".join(map(printable, allowed))


class SentFile:
    """The answer that a program's header and a file make together."""

    def __init__(self, head: CgiHead, source: Source, request: Request) -> None:
        """Opens the file. Raises ProtocolError(502) where it cannot be opened."""
        self._request = request
        self._status = 200 if head.status == 206 else head.status
        self._reason = b"" if head.status == 206 else head.reason
        self._size = source.found.size
        own = {name.lower(): value for name, value in head.headers}
        modified = source.found.mtime_ns // 1_000_000_000
        self._headers = [one for one in head.headers if one[0].lower() not in _OF_THE_RANGE]
        self._etag = own.get(b"etag") or b'"%x-%x"' % (source.found.mtime_ns, self._size)
        if b"etag" not in own:
            self._headers.append((b"ETag", self._etag))
        if b"last-modified" not in own:
            self._headers.append((b"Last-Modified", http_date(modified)))
        said = parse_http_date(own.get(b"last-modified", b""), int(time.time()))
        self._modified = modified if said is None else said
        try:
            self._file = SharedFile(source.open())
        except OSError as error:
            path = printable(source.found.path)
            reason = f"X-Sendfile names {path}, which cannot be opened: {error.strerror}"
            raise ProtocolError(502, reason) from None

    def give(self, exchange: Exchange) -> None:
        """Answer with it: 200, 206, 304, 412 or 416, or with the program's own status."""
        try:
            if self._status != 200:
                self._send(exchange, self._status, self._reason, None)
            else:
                self._give_as_asked(exchange)
        finally:
            self._file.release()

    def _give_as_asked(self, exchange: Exchange) -> None:
        head = self._request.head
        if head.method in ("GET", "HEAD"):
            outcome = evaluate(head, self._etag, self._modified, int(time.time()))
            if outcome is Outcome.NOT_MODIFIED:
                exchange.begin(304, b"", self._of_not_modified(), None)
                exchange.finish()
                return
            if outcome is Outcome.PRECONDITION_FAILED:
                exchange.fail(412)
                return
        part = self._part()
        if isinstance(part, Unsatisfiable):
            kind = (b"Content-Type", b"text/html; charset=utf-8")
            size = (b"Content-Range", b"bytes */%d" % self._size)
            rules = self._request.match.route.rules
            exchange.answer(make_response(416, [size, kind], error_page(416), rules))
            return
        self._headers.append((b"Accept-Ranges", b"bytes"))
        if part is None:
            self._send(exchange, 200, self._reason, None)
        else:
            self._headers.append((b"Content-Range", part.content_range(self._size)))
            self._send(exchange, 206, b"", part)

    def _part(self) -> ByteRange | Unsatisfiable | None:
        """The range that is asked for; None: the whole."""
        head = self._request.head
        wanted = head.get(b"range")
        if wanted is None or head.method != "GET":
            return None
        if not range_applies(head, self._etag, self._modified):
            return None
        parts = parse_ranges(wanted, self._size)
        if parts is None or isinstance(parts, Unsatisfiable):
            return parts
        return parts[0] if len(parts) == 1 else None

    def _of_not_modified(self) -> list[tuple[bytes, bytes]]:
        kept = _LASTING | {b"set-cookie", b"last-modified"}
        return [one for one in self._headers if one[0].lower() in kept]

    def _send(self, exchange: Exchange, status: int, reason: bytes, part: ByteRange | None) -> None:
        start, length = (0, self._size) if part is None else (part.start, part.length)
        exchange.begin(status, reason, self._headers, length)
        if length:
            exchange.send_file(FileRange(self._file.hold(), start, length))
        exchange.finish()
