"""What an application gives start_response, checked and made into bytes (PEP 3333)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from forkd.config.settings import HeaderChanges
from forkd.handlers.base import apply_rules
from forkd.proto.http1.response import make_prefix
from forkd.proto.http1.syntax import TOKEN

_STATUS = re.compile(r"([1-9][0-9]{2})(?: ([\t -~\x80-\xff]*))?")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_LENGTH = re.compile(r"[0-9]{1,18}")
_OURS = frozenset({"date", "server"})
"""We say them ourselves."""
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""RFC 2616 13.5.1, to which PEP 3333 refers: they are the server's business."""


_MOST_REMEMBERED = 256


class WsgiError(Exception):
    """The application broke a rule. The text says which."""


@dataclass(slots=True)
class Start:
    """What start_response was told. The headers are without Content-Length, Date and Server."""

    status: int
    reason: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    length: int | None
    prefix: bytes = b""
    """All of it as the head of a response, but for the length."""


class Starts:
    """What one application tells start_response. It repeats itself: what it said before is not
    checked again, and where only the length is another, that is all that is looked at."""

    def __init__(self, rules: HeaderChanges) -> None:
        self._rules = rules
        self._known: dict[object, Start] = {}

    def get(self, status: object, headers: object) -> Start:
        """Raises WsgiError."""
        try:
            key = (status, *headers)  # type: ignore[misc]
            start = self._known.get(key)
        except TypeError:  # nothing that could be right: the check says what is wrong
            return check_start(status, headers)
        if start is None or type(headers) is not list:
            start = self._with_length(status, headers) or self._make(status, headers)
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[key] = start
        return start

    def _with_length(self, status: object, headers: object) -> Start | None:
        """The start that is the same but for its Content-Length, with this one. None where there is
        not one length, well formed, and spelt like that."""
        if type(headers) is not list:
            return None
        rest = [header for header in headers if not _is_length(header)]
        if len(rest) != len(headers) - 1:
            return None
        (length,) = (int(header[1]) for header in headers if _is_length(header))
        same = self.get(status, rest)
        if same.length is not None:
            return None
        return Start(same.status, same.reason, same.headers, length, same.prefix)

    def _make(self, status: object, headers: object) -> Start:
        start = check_start(status, headers)
        own = apply_rules(start.headers, self._rules)
        start.prefix = make_prefix(start.status, own, start.reason)
        return start


def _is_length(header: object) -> bool:
    return (
        type(header) is tuple
        and len(header) == 2
        and header[0] == "Content-Length"
        and type(header[1]) is str
        and _LENGTH.fullmatch(header[1]) is not None
    )


def check_start(status: object, headers: object) -> Start:
    """Raises WsgiError."""
    if not isinstance(status, str) or (match := _STATUS.fullmatch(status)) is None:
        raise WsgiError(f'expected a status such as "200 OK", not {status!r}')
    code = int(match[1])
    if code < 200:
        raise WsgiError(f"status {code} is not one that an application can give")
    if not isinstance(headers, list):
        raise WsgiError(f"expected a list of headers, not {type(headers).__name__}")
    length = None
    checked = []
    for header in headers:
        name, value = _check_header(header)
        lower = name.lower()
        if lower == "content-length":
            if _LENGTH.fullmatch(value.strip()) is None:
                raise WsgiError(f"the Content-Length is {value!r}")
            length = int(value)
        elif lower in _HOP_BY_HOP:
            raise WsgiError(f"the header {name} is the server's business")
        elif lower not in _OURS:
            checked.append((name.encode("ascii"), value.encode("latin-1")))
    return Start(code, (match[2] or "").encode("latin-1"), tuple(checked), length)


def _check_header(header: object) -> tuple[str, str]:
    if not isinstance(header, tuple) or len(header) != 2:
        raise WsgiError(f"expected a header as a tuple of two texts, not {header!r}")
    name, value = header
    if not isinstance(name, str) or not isinstance(value, str):
        raise WsgiError(f"expected a header as a tuple of two texts, not {header!r}")
    try:
        well_formed = TOKEN.fullmatch(name.encode("ascii")) is not None
    except UnicodeEncodeError:
        well_formed = False
    if not well_formed:
        raise WsgiError(f"{name!r} is no name of a header")
    if _VALUE.fullmatch(value) is None:
        raise WsgiError(f"the header {name} has a character that does not belong there: {value!r}")
    return name, value
