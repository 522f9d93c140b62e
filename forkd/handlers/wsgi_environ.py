"""The environ of a WSGI application (PEP 3333).

Native strings are latin-1: each character stands for a byte of what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from forkd import __version__
from forkd.handlers.base import Request
from forkd.proto.http1.head import Head
from forkd.proto.http1.reader import MEMO_HEAD

Environ = dict[str, object]

# An underscore would collide with a hyphen. Proxy would become HTTP_PROXY (CVE-2016-5385).
_PASSABLE = re.compile(rb"[a-z0-9!#$%&'*+.^`|~-]+")
_WITHHELD = frozenset({b"proxy", b"content-type", b"content-length", b"transfer-encoding"})
_MOST_REMEMBERED = 1024
_VERSION = (1, 0)


class EnvironMaker:
    """Makes the environs of one application. What depends on nothing but the head is remembered."""

    def __init__(self, extra: Mapping[str, str]) -> None:
        self._extra = dict(extra)
        self._known: dict[Head, Environ] = {}

    def make(self, request: Request, body_size: int | None) -> Environ:
        """The environ but for the input and the errors.

        body_size: bytes of a body that is whole already, where there is one; its length is then
        given also if it came in chunks.
        """
        head, peer = request.head, request.peer
        template = self._known.get(head)
        if template is None:
            template = self._template(request)
            if len(head.raw) <= MEMO_HEAD:
                if len(self._known) >= _MOST_REMEMBERED:
                    self._known.clear()
                self._known[head] = template
        environ = template.copy()
        environ["REMOTE_ADDR"] = peer.address
        environ["REMOTE_PORT"] = str(peer.port)
        environ["SERVER_PORT"] = str(peer.server_port)
        environ["wsgi.url_scheme"] = peer.scheme
        environ["REQUEST_ID"] = request.id
        if not head.host:
            environ["SERVER_NAME"] = peer.server_address
        if head.chunked and body_size is not None:
            environ["CONTENT_LENGTH"] = str(body_size)
        return environ

    def _template(self, request: Request) -> Environ:
        head, match = request.head, request.match
        environ: Environ = {
            "REQUEST_METHOD": head.method,
            "SCRIPT_NAME": _native(match.prefix),
            "PATH_INFO": _native(match.rest),
            "QUERY_STRING": head.query.decode("latin-1"),
            "REQUEST_URI": head.target.decode("latin-1"),
            "SERVER_NAME": head.host,
            "SERVER_PROTOCOL": "HTTP/1.1" if head.version == 11 else "HTTP/1.0",
            "SERVER_SOFTWARE": f"forkd/{__version__}",
            "CONTENT_TYPE": (head.get(b"content-type") or b"").decode("latin-1"),
            "wsgi.version": _VERSION,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            # Our input ends where the body does, so that one without a length can be read as well.
            "wsgi.input_terminated": True,
        }
        if head.has_length:
            environ["CONTENT_LENGTH"] = str(head.content_length)
        for name, value in head.headers:
            if name in _WITHHELD or _PASSABLE.fullmatch(name) is None:
                continue
            key = "HTTP_" + name.decode("ascii").upper().replace("-", "_")
            text = value.decode("latin-1")
            environ[key] = f"{environ[key]}, {text}" if key in environ else text
        if "HTTP_COOKIE" in environ:
            # Several Cookie lines are one list of pairs (RFC 6265 5.4), not one of elements.
            cookies = [value for name, value in head.headers if name == b"cookie"]
            environ["HTTP_COOKIE"] = b"; ".join(cookies).decode("latin-1")
        environ.update(self._extra)
        return environ


def _native(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("latin-1")
