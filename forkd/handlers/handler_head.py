"""The head of a request as a class of http.server reads it: as bytes, or parsed already.

http.server has the email package parse each head, which takes longer than all else that is done
for a request. What comes of it is made here from heads that forkd has checked: only the text has to
be cut. Deliberately absent: heads of which the email package makes more than a list of fields.
Those are left to http.server.
"""

from __future__ import annotations

from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler

from forkd.errors import ProtocolError
from forkd.handlers.quoting import quote_path
from forkd.proto.http1.head import Head
from forkd.proto.http1.target import resolve_path

_LINES = 99
"""http.client refuses more than that many header lines."""
_SIZE = 65536
"""Bytes. It refuses lines that are longer than that by themselves."""
_STRUCTURED = ("multipart", "message")
"""The types of which the email package looks for parts, which a head has not got."""


class HandlerHead:
    """One head, checked by forkd: one field on a line, and no blank in the request line's words.

    Made once for many requests with the same head: it is not written to.
    """

    __slots__ = ("_command", "_connection", "_fields", "_path", "_requestline", "_version", "data")

    def __init__(self, data: bytes) -> None:
        """data: the whole head, its empty line included."""
        self.data = data
        line, _, rest = data.decode("latin-1").partition("\r\n")
        self._requestline = line
        self._command, path, self._version = line.split(" ")
        # As http.server does: a client takes //name for another site (gh-87389).
        self._path = "/" + path.lstrip("/") if path.startswith("//") else path
        self._fields = _fields(rest)
        self._connection = ""
        for name, value in self._fields or ():
            if name.lower() == "connection":
                self._connection = value.lower()
                break

    @property
    def is_plain(self) -> bool:
        """Whether `fill` can do what http.server would."""
        return self._fields is not None

    def is_next_in(self, line: bytes, buffered: bytes) -> bool:
        """Whether it is what this line begins and these bytes go on with, and nothing else."""
        return len(line) + len(buffered) == len(self.data) and line + buffered == self.data

    def fill(self, instance: BaseHTTPRequestHandler) -> None:
        """Set what `parse_request` of http.server sets. Only for a plain head."""
        assert self._fields is not None, "http.server has to parse it"
        is_modern = instance.protocol_version >= "HTTP/1.1"
        instance.requestline = self._requestline
        instance.command = self._command
        instance.path = self._path
        instance.request_version = self._version
        instance.close_connection = not is_modern or self._version == "HTTP/1.0"
        if self._connection == "close":
            instance.close_connection = True
        elif self._connection == "keep-alive" and is_modern:
            instance.close_connection = False
        instance.headers = message = HTTPMessage()
        for name, value in self._fields:
            message.set_raw(name, value)
        message.set_payload("")


def _fields(rest: str) -> list[tuple[str, str]] | None:
    """Names and values as the email package gives them; None where it does more than that."""
    lines = rest.removesuffix("\r\n\r\n").split("\r\n") if rest != "\r\n" else []
    if len(lines) > _LINES or len(rest) > _SIZE:
        return None
    fields = []
    for line in lines:
        name, _, value = line.partition(":")
        value = value.lstrip(" \t")
        lower = name.lower()
        if lower == "expect":
            return None
        if lower == "content-type" and any(one in value.lower() for one in _STRUCTURED):
            return None
        fields.append((name, value))
    return fields


def request_bytes(head: Head, stripped: tuple[str, str] | None, size: int | None) -> bytes:
    """The head of a request as a class of http.server is to read it.

    stripped: the prefix of the path that is taken away, and what is left of the decoded path. size:
    that of a body which is whole, and takes the place of chunks. There is no Expect, since the body
    has been asked for; names with an underscore collide with others once they are variables.
    """
    line, _, rest = head.raw.partition(b"\r\n")
    if stripped is not None:
        target = _without_prefix(head, *stripped)
        line = b"%b %b HTTP/1.%d" % (head.method.encode(), target, head.version - 10)
    names = {name for name, _ in head.headers}
    unwanted = {name for name in names if b"_" in name} | (names & {b"expect"})
    if head.chunked:
        unwanted.add(b"transfer-encoding")
    elif not unwanted:
        return line + b"\r\n" + rest
    lines = [
        one
        for one in rest.removesuffix(b"\r\n\r\n").split(b"\r\n")
        if one.partition(b":")[0].lower() not in unwanted
    ]
    if head.chunked and size is not None:
        lines.append(b"Content-Length: %d" % size)
    return b"\r\n".join([line, *lines, b"", b""])


def _without_prefix(head: Head, prefix: str, rest: str) -> bytes:
    # As it was encoded, unless its spelling hides where the prefix ends.
    path = head.raw_path.removeprefix(quote_path(prefix))
    try:
        is_rest = path.startswith(b"/") and resolve_path(path) == rest
    except ProtocolError:
        is_rest = False
    if not is_rest:
        path = quote_path(rest or "/")
    mark = head.target.find(b"?")
    return path + (head.target[mark:] if mark >= 0 else b"")
