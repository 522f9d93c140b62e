"""What a CGI program is told of a request (RFC 3875 section 4). Pure.

Deliberately absent: the query as arguments (section 4.4, which is optional: CVE-2012-1823), and
Authorization, which concerns whoever checks it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from urllib.parse import unquote

# Length and type have variables of their own. Proxy would become HTTP_PROXY, which HTTP libraries
# take for an order (CVE-2016-5385). The others concern one connection (RFC 9110 section 7.6.1).
_WITHHELD = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "keep-alive",
        "proxy",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

# An underscore would collide with a hyphen (X_Forwarded_For); a shell cannot name the others.
_PASSABLE_NAME = re.compile(r"[a-z0-9-]+")

_FOLD = re.compile(r"[\r\n]+[ \t]*")


class Refused(Exception):
    """A request that is answered with an error. The reason is for the client and for the log."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"{status}: {reason}")


def collapse(target: str) -> str:
    """The path of a request target, decoded once, without empty and dot segments.

    Decoded first and collapsed after: the other order lets %2e%2e pass (CVE-2021-41773). Begins
    with a slash, and ends with one where the target does. What is not UTF-8 becomes surrogates, as
    os.fsdecode() makes them. Raises ValueError for a path that climbs above its root.
    """
    # The marks are looked for before anything is decoded, as translate_path() does.
    path = unquote(target.partition("?")[0].partition("#")[0], errors="surrogateescape")
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            if not kept:
                raise ValueError("the path climbs above its root")
            kept.pop()
        elif segment not in ("", "."):
            kept.append(segment)
    closed = bool(kept) and segments[-1] in ("", ".", "..")
    return "/" + "/".join(kept) + ("/" if closed else "")


def claim(path: str, directories: Iterable[str]) -> tuple[str, str] | None:
    """Divide a collapsed path at the first of its ancestors that is one of the directories.

    Gives the directory, without a slash at its end, and what follows the slash after it.
    """
    roots = {directory.rstrip("/") for directory in directories}
    at = 0
    while at >= 0:
        if path[:at] in roots:
            return path[:at], path[at + 1 :]
        at = path.find("/", at + 1)
    return (path, "") if path in roots else None


def body_length(headers: Iterable[tuple[str, str]]) -> int | None:
    """How many bytes the body has; None where the request has none (RFC 9112 section 6.3).

    Refused where that is unclear: a request hidden in a body is an attack.
    """
    lengths: set[str] = set()
    for name, value in headers:
        match name.lower():
            case "transfer-encoding":
                raise Refused(501, "a body with a Transfer-Encoding: send it with Content-Length")
            case "content-length":
                lengths.add(value.strip(" \t"))
    if not lengths:
        return None
    (length,) = lengths if len(lengths) == 1 else ("",)
    if not re.fullmatch(r"[0-9]{1,18}", length):
        raise Refused(400, "a Content-Length that is not one number")
    return int(length)


def header_variables(headers: Iterable[tuple[str, str]]) -> dict[str, bytes]:
    """CONTENT_TYPE and the HTTP_ variables. Several lines of one header are joined."""
    lines = [(name.lower(), _FOLD.sub(" ", value).strip(" \t")) for name, value in headers]
    named = {
        option.strip().lower()
        for name, value in lines
        if name == "connection"
        for option in value.split(",")
    }
    # Host concerns the request whatever Connection says of it.
    withheld = _WITHHELD | (named - {"host"})
    variables: dict[str, bytes] = {}
    for name, text in lines:
        value = text.encode("latin-1", "replace")
        if name == "content-type":
            variables.setdefault("CONTENT_TYPE", value)
        elif name not in withheld and _PASSABLE_NAME.fullmatch(name):
            variable = "HTTP_" + name.upper().replace("-", "_")
            if variable in variables:
                value = variables[variable] + (b"; " if name == "cookie" else b", ") + value
            variables[variable] = value
    return variables


def encode(variables: Iterable[tuple[str, str]]) -> dict[str, bytes]:
    """Variables as execve(2) takes them. Surrogates become the bytes that they stand for."""
    return {name: os.fsencode(value) for name, value in variables}
