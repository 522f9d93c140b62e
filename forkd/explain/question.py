"""A URL as a person types it, as the request that a client would make of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote_from_bytes

from forkd.config.settings import Settings, Site
from forkd.errors import OperationError

_ABSOLUTE = re.compile(r"(?i:https?)://([^/?#]*)([^#]*)")
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PLAIN = "!$%&'()*+,-./:;<=>?@[]^_`{|}~\"\\"
"""What reaches the server as it is typed. A client escapes blanks and all that is not ASCII."""
ANY_HOST = "localhost"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about."""

    method: str
    authority: str | None
    """None where only a path was typed."""
    target: bytes
    client: str | None
    """The address of a client; None: whoever is welcome."""


def parse_question(request: Mapping[str, object]) -> Question:
    """Of `url`, `method` and `client`. Raises OperationError."""
    url, method, client = (request.get(name) for name in ("url", "method", "client"))
    if not isinstance(url, str) or not url.strip():
        raise OperationError("explain needs a URL: http://HOST/PATH, HOST/PATH or /PATH")
    url = url.strip()
    authority: str | None
    typed = url.partition("#")[0]
    if typed.startswith(("/", "*")):
        authority, rest = None, typed
    elif (found := _ABSOLUTE.fullmatch(typed)) is not None:
        authority, rest = found[1], found[2]
    elif "://" in typed.partition("?")[0]:
        raise OperationError(f"{url} is no http URL: write http://HOST/PATH, HOST/PATH or /PATH")
    else:
        authority, slash, rest = typed.partition("/")
        rest = slash + rest
    if not rest.startswith(("/", "*")):
        rest = "/" + rest
    if not isinstance(method, str):
        method = "GET"
    if not _METHOD.fullmatch(method):
        raise OperationError(f"{method!r} is no method")
    target = quote_from_bytes(rest.encode("utf-8", "surrogateescape"), _PLAIN).encode("ascii")
    return Question(method, authority, target, client if isinstance(client, str) else None)


def request_head(question: Question, authority: str) -> bytes:
    """The head of the request."""
    host = quote_from_bytes(authority.encode("utf-8", "surrogateescape"), _PLAIN)
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (
        question.method.encode("ascii"),
        question.target,
        host.encode("ascii"),
    )


def usual_host(settings: Settings) -> str:
    """Whom a path alone means: the site of all other hosts, else the first one."""
    sites = settings.sites
    return ANY_HOST if any(not site.host for site in sites) else _a_host(sites[0])


def _a_host(site: Site) -> str:
    return site.host[0].replace("*", "www")
