"""A user's request handler class, made ready for a worker: its log, and no fork in it."""

from __future__ import annotations

import functools
import http.server
import logging
import re
import time
import types
from collections.abc import Callable
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler
from typing import Any

from forkd.errors import OperationError
from forkd.handlers.handler_socket import HandlerSocket
from forkd.proto.http1.dates import http_date

log = logging.getLogger("forkd.handler")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def adapt(found: object, name: str, key: str) -> Callable[..., object]:
    """What makes an instance for a request: of the class, or of the class of a partial.

    name: what its log lines begin with. Raises OperationError where it is neither; key: where it
    is written.
    """
    if isinstance(found, functools.partial):
        inner = adapt(found.func, name, key)
        return functools.partial(inner, *found.args, **found.keywords)
    if not isinstance(found, type) or not issubclass(found, BaseHTTPRequestHandler):
        what = f"the class {found.__name__}" if isinstance(found, type) else type(found).__name__
        raise OperationError(
            f"{key}: {name} is {what}, not a class deriving from http.server.BaseHTTPRequestHandler"
        )
    return _derived(_without_fork(found), name)


def _without_fork(cls: type[BaseHTTPRequestHandler]) -> type[BaseHTTPRequestHandler]:
    """Put forkd's CGI class where the old one is among the bases.

    The old one forks, and a fork in a process with threads may deadlock. The bases are replaced
    in place: in a copy of the class super() would not work.
    """
    old = vars(http.server).get("CGIHTTPRequestHandler")
    if not isinstance(old, type) or not issubclass(cls, old):
        return cls
    from forkd.compat import CGIHTTPRequestHandler as Ours

    if old is Ours or issubclass(cls, Ours):
        return cls
    if cls is old:
        return Ours
    for one in cls.__mro__:
        if old in one.__bases__:
            one.__bases__ = tuple(Ours if base is old else base for base in one.__bases__)
    return cls


def _derived(cls: type[BaseHTTPRequestHandler], name: str) -> type[BaseHTTPRequestHandler]:
    """A subclass that answers one request, and writes to the error log what the base class would
    write on stderr. A log of the user's own stays."""

    def handle(self: BaseHTTPRequestHandler) -> None:
        # As http.server does it, but that there is no next request here to wait for.
        self.close_connection = True
        self.handle_one_request()
        if not self.close_connection and isinstance(self.request, HandlerSocket):
            self.request.ask_for_more()
            self.close_connection = True

    def handle_one_request(self: BaseHTTPRequestHandler) -> None:
        # For a class that handles requests in a loop of its own.
        connection = self.request
        if isinstance(connection, HandlerSocket) and not connection.take_request():
            self.close_connection = True  # that ends the loop of handle()
            return
        cls.handle_one_request(self)

    def parse_request(self: BaseHTTPRequestHandler) -> bool:
        connection = self.request
        if isinstance(connection, HandlerSocket) and self.MessageClass is HTTPMessage:
            line: bytes = getattr(self, "raw_requestline", b"")  # typeshed does not know of it
            head = connection.take_head(self.rfile, line)
            if head is not None:
                head.fill(self)
                return True
        return cls.parse_request(self)

    dates = _Dates()

    def date_time_string(self: BaseHTTPRequestHandler, timestamp: float | None = None) -> str:
        return cls.date_time_string(self, timestamp) if timestamp is not None else dates.now()

    def log_message(self: BaseHTTPRequestHandler, text: str, *args: Any) -> None:
        line = _CONTROL.sub(_escape, text % args if args else text)
        log.info("%s: %s id=%s", name, line, getattr(self.request, "request_id", "-"))

    namespace: dict[str, Any] = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
    }
    if cls.handle is BaseHTTPRequestHandler.handle:
        namespace["handle"] = handle
    else:
        namespace["handle_one_request"] = handle_one_request
    if cls.parse_request is BaseHTTPRequestHandler.parse_request:
        namespace["parse_request"] = parse_request
    if cls.date_time_string is BaseHTTPRequestHandler.date_time_string:
        namespace["date_time_string"] = date_time_string
    if cls.log_message is BaseHTTPRequestHandler.log_message:
        namespace["log_message"] = log_message
        if cls.log_request is BaseHTTPRequestHandler.log_request:
            namespace["log_request"] = _log_nothing
    return types.new_class(cls.__name__, (cls,), exec_body=lambda own: own.update(namespace))


class _Dates:
    """The time as a response says it, made once a second."""

    def __init__(self) -> None:
        self._made = (-1, "")
        """A second since the epoch and its text, in one: threads share this."""

    def now(self) -> str:
        second = int(time.time())
        made, text = self._made
        if made != second:
            text = http_date(second).decode()
            self._made = (second, text)
        return text


def _escape(found: re.Match[str]) -> str:
    return f"\\x{ord(found[0]):02x}"


def _log_nothing(self: BaseHTTPRequestHandler, code: object = "-", size: object = "-") -> None:
    """The access log has it."""
