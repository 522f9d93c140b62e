"""CGI (RFC 3875): the meta-variables of a request, and the header that a program writes.

Names are bytes and so are the variables, since that is what execve(2) takes. Deliberately absent:
programs and processes, bodies, and the output of nph- scripts, which is a response of HTTP already
(http1/raw_response.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from functools import lru_cache

from forkd import __version__
from forkd.errors import ProtocolError

_SOFTWARE = b"forkd/" + __version__.encode("ascii")

# Never given to a program, whatever a client sends. Those of one connection (RFC 9110 7.6.1) are
# not the program's. Proxy would become HTTP_PROXY, which HTTP libraries take for an order
# (CVE-2016-5385). Length and type have variables of their own.
_WITHHELD = frozenset(
    {
        b"connection",
        b"content-length",
        b"content-type",
        b"keep-alive",
        b"proxy",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_CREDENTIALS = frozenset({b"authorization", b"proxy-authorization"})

# An underscore would collide with a hyphen (X_Forwarded_For); a shell cannot name the others.
_PASSABLE_NAME = re.compile(rb"[a-z0-9-]+")


# Not frozen: that doubles what it costs to make one, and one is made for each request.
@dataclass(slots=True, kw_only=True)
class Meta:
    """What the variables of one request are made of. Empty or None means that there is none.

    `headers` is as Head has it: lower-case names, no NUL. `extra` is laid over all else.
    """

    method: str
    scheme: str
    protocol: str
    server_name: str
    server_port: int
    remote_addr: str
    remote_port: int | None
    script_name: bytes
    path_info: bytes
    path_translated: bytes
    query: bytes
    request_uri: bytes
    document_root: bytes
    script_filename: bytes
    content_length: int | None
    headers: Iterable[tuple[bytes, bytes]]
    request_id: bytes
    pass_authorization: bool = False
    path: bytes = b"/usr/local/bin:/usr/bin:/bin"
    extra: Mapping[bytes, bytes] = field(default_factory=dict)


def environment(meta: Meta) -> dict[bytes, bytes]:
    """The whole environment of a program, made from nothing (RFC 3875 section 4.1).

    PATH_INFO is there only where there is one, and PATH_TRANSLATED only with it. REDIRECT_STATUS is
    what php-cgi wants to see before it runs anything. Several lines of one header are joined.
    """
    variables = {
        b"GATEWAY_INTERFACE": b"CGI/1.1",
        b"SERVER_SOFTWARE": _SOFTWARE,
        b"SERVER_NAME": _encode(meta.server_name),
        b"SERVER_PORT": b"%d" % meta.server_port,
        b"SERVER_PROTOCOL": _encode(meta.protocol),
        b"REQUEST_METHOD": _encode(meta.method),
        b"REQUEST_SCHEME": _encode(meta.scheme),
        b"REQUEST_URI": meta.request_uri,
        b"REQUEST_ID": meta.request_id,
        b"QUERY_STRING": meta.query,
        b"REMOTE_ADDR": _encode(meta.remote_addr),
        b"SCRIPT_NAME": meta.script_name,
        b"SCRIPT_FILENAME": meta.script_filename,
        b"DOCUMENT_ROOT": meta.document_root,
        b"REDIRECT_STATUS": b"200",
        b"PATH": meta.path,
    }
    if meta.remote_port is not None:
        variables[b"REMOTE_PORT"] = b"%d" % meta.remote_port
    if meta.scheme == "https":
        variables[b"HTTPS"] = b"on"
    if meta.path_info:
        variables[b"PATH_INFO"] = meta.path_info
        if meta.path_translated:
            variables[b"PATH_TRANSLATED"] = meta.path_translated
    if meta.content_length is not None:
        variables[b"CONTENT_LENGTH"] = b"%d" % meta.content_length
    _add_headers(variables, meta)
    variables.update(meta.extra)
    return variables


def _add_headers(variables: dict[bytes, bytes], meta: Meta) -> None:
    withheld: Set[bytes] = frozenset() if meta.pass_authorization else _CREDENTIALS
    for name, value in meta.headers:
        if name == b"connection":
            named = {option.strip(b" \t").lower() for option in value.split(b",")}
            # The Host is nobody's hop: naming it must not take it away (RFC 9110 section 7.6.1).
            # Nor the type, or a body would be taken for what it is not.
            withheld = withheld | named - {b"host", b"content-type"}
    for name, value in meta.headers:
        variable = _known_variable(name) if len(name) <= _USUAL_NAME else _variable(name)
        if variable is None or name in withheld:
            continue
        if variable not in variables:
            variables[variable] = value
        elif variable != b"CONTENT_TYPE":
            separator = b"; " if name == b"cookie" else b", "
            variables[variable] += separator + value


def _variable(name: bytes) -> bytes | None:
    """The variable of a header, by its name in lower case; None where it has none."""
    if name == b"content-type":
        return b"CONTENT_TYPE"
    if name in _WITHHELD or not _PASSABLE_NAME.fullmatch(name):
        return None
    return b"HTTP_" + name.upper().replace(b"-", b"_")


_known_variable = lru_cache(maxsize=512)(_variable)
"""Browsers send ten names or more, always the same."""
_USUAL_NAME = 64
"""Bytes. Longer names are not kept: a client could fill the memory with them."""


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


# What a program writes is bounded as a header, not as a body.
_MAX_HEAD = 64 * 1024
_MAX_LINES = 200
_SHOWN = 60

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_STATUS = re.compile(rb"([2-5][0-9][0-9])(?:[ \t]+(.*))?")
_LENGTH = re.compile(rb"[0-9]{1,18}")

# Fields of a connection, which is forkd's and not the program's, and those that forkd writes.
_DROPPED = frozenset(
    {
        b"connection",
        b"date",
        b"keep-alive",
        b"proxy-connection",
        b"server",
        b"trailer",
        b"upgrade",
    }
)
_ONCE = frozenset({b"content-length", b"location", b"status", b"x-sendfile"})
# Given apart, and never sent as they were written.
_APART = frozenset({b"content-length", b"status", b"x-sendfile"})


@dataclass(frozen=True, slots=True)
class CgiHead:
    """The header that a program wrote (RFC 3875 section 6).

    `reason` is what stood after the number of Status, b"" where nothing did. `headers` is as
    written, without Status, Content-Length and X-Sendfile, which are given apart, without the
    fields of a connection, and without Server and Date, since forkd writes its own.
    `local_redirect` is a Location that is to be served in the program's place (section 6.2.2); its
    Location is in `headers` too. It begins with a slash. Also //host/x is a path here, as the
    section's grammar has it: what a script makes of "/" and words of a client must not lead to
    another site. `send_file` is the file that X-Sendfile names, in whatever spelling.
    """

    status: int
    reason: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    content_length: int | None
    local_redirect: bytes | None
    send_file: bytes | None = None


class ResponseParser:
    """The header of one program's output, which may come in pieces. Lines end with LF or CRLF.

    Every line is judged as soon as it is whole, so that a program that prints a page at once is
    found out at its first line. Errors are ProtocolError(502) and name what was written.
    """

    __slots__ = ("_buffer", "_has_type", "_headers", "_lines", "_read", "_special", "rest")

    def __init__(self) -> None:
        self.rest = b""
        self._buffer = bytearray()  # a line that has not ended
        self._read = 0
        self._lines = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._special: dict[bytes, bytes] = {}
        self._has_type = False

    def feed(self, data: bytes) -> CgiHead | None:
        """The header once it is whole, with the beginning of the body in `rest`; None before.

        Not called again after that.
        """
        at = 0
        while (end := data.find(b"\n", at)) >= 0:
            self._count(end + 1 - at)
            line = bytes(self._buffer) + data[at:end]
            self._buffer.clear()
            at = end + 1
            line = line.removesuffix(b"\r")
            if not line:
                self.rest = data[at:]
                return self._head()
            self._take(line)
        self._count(len(data) - at)
        self._buffer += data[at:]
        return None

    def eof(self) -> ProtocolError:
        """The error for output that ended before the header did."""
        if self._lines or self._buffer:
            return _refuse("the script ended within its header")
        return _refuse("the script ended without a header")

    def _count(self, size: int) -> None:
        self._read += size
        if self._read > _MAX_HEAD:
            raise _refuse(f"the script's header is longer than {_MAX_HEAD} bytes")

    def _take(self, line: bytes) -> None:
        self._lines += 1
        if self._lines > _MAX_LINES:
            raise _refuse(f"the script's header has more than {_MAX_LINES} lines")
        name, colon, value = line.partition(b":")
        if not colon:
            hint = " (a script writes its status as Status: 404 Not Found)"
            raise _refuse(
                "the script wrote a line without a colon where its header should be"
                + (hint if line.startswith(b"HTTP/") else ""),
                line,
            )
        if not _TOKEN.fullmatch(name):
            raise _refuse("the script wrote a line that does not begin with a header's name", line)
        if _CONTROL.search(value):
            raise _refuse("the script wrote a header with control bytes in it", line)
        value = value.strip(b" \t")
        key = name.lower()
        if key == b"transfer-encoding":
            raise _refuse("the script wrote a Transfer-Encoding, which is forkd's to choose", line)
        if key in _ONCE:
            if key in self._special:
                raise _refuse(f"the script wrote {name.decode()} twice", line)
            self._special[key] = value
        if key == b"content-type":
            self._has_type = True
            # Scripts repeat it, and the last one counts, as it does in Apache.
            self._headers = [header for header in self._headers if header[0].lower() != key]
        if key not in _DROPPED and key not in _APART:
            self._headers.append((name, value))

    def _head(self) -> CgiHead:
        if not self._lines:
            raise _refuse("the script wrote an empty line where its header should be")
        special = self._special
        location = special.get(b"location")
        if location == b"":
            raise _refuse("the script wrote an empty Location")
        status, reason = _status(special.get(b"status"), redirects=location is not None)
        if not self._has_type and location is None and b"status" not in special:
            raise _refuse("the script wrote no Content-Type, Location or Status")
        length = special.get(b"content-length")
        if length is not None and not _LENGTH.fullmatch(length):
            raise _refuse("the script wrote a malformed Content-Length", length)
        send_file = special.get(b"x-sendfile")
        if send_file == b"":
            raise _refuse("the script wrote an empty X-Sendfile")
        local = location is not None and location.startswith(b"/") and b"status" not in special
        return CgiHead(
            status=status,
            reason=reason,
            headers=tuple(self._headers),
            content_length=None if length is None else int(length),
            local_redirect=location if local else None,
            send_file=send_file,
        )


def _status(value: bytes | None, *, redirects: bool) -> tuple[int, bytes]:
    if value is None:
        return (302 if redirects else 200), b""
    match = _STATUS.fullmatch(value)
    if match is None:
        raise _refuse("the script wrote a Status that is not a number from 200 to 599", value)
    return int(match[1]), match[2] or b""


def _refuse(reason: str, wrote: bytes | None = None) -> ProtocolError:
    if wrote is None:
        return ProtocolError(502, reason)
    shown = repr(wrote[:_SHOWN])[1:]
    return ProtocolError(502, f"{reason}: {shown}{'...' if len(wrote) > _SHOWN else ''}")
