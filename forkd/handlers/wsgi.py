"""`wsgi: MODULE:CALLABLE`: applications of PEP 3333."""

from __future__ import annotations

import io
import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, BinaryIO

from forkd.config.settings import HeaderChanges
from forkd.handlers.application import ApplicationCall
from forkd.handlers.base import Request, Response
from forkd.handlers.wsgi_environ import EnvironMaker
from forkd.handlers.wsgi_response import Start, Starts, WsgiError
from forkd.loop.crew import Crew, Pace
from forkd.loop.stream import FileRange, SharedFile
from forkd.loop.timers import NEVER

log = logging.getLogger("forkd.wsgi")

Application = Callable[..., Iterable[bytes]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

_TOGETHER = 64 * 1024
"""Bytes of a first piece that go out with the head. To copy more costs more than a system call."""


class Wsgi:
    """Calls one application for every request, whatever its method."""

    methods = None

    def __init__(
        self,
        application: Application,
        name: str,
        rules: HeaderChanges,
        env: Mapping[str, str],
        crew: Crew,
        timeout_s: float = NEVER,
    ) -> None:
        self.application = application
        self.name = name
        self.environs = EnvironMaker(env)
        self.starts = Starts(rules)
        self._crew = crew
        self._pace = Pace(timeout_s)

    def answer(self, request: Request) -> WsgiCall:
        return WsgiCall(self, self._crew, self._pace, request)


class WsgiCall(ApplicationCall):
    """One call of an application, and what becomes of its result."""

    def __init__(self, handler: Wsgi, crew: Crew, pace: Pace, request: Request) -> None:
        super().__init__(crew, pace, request)
        self._handler = handler
        self._start: Start | None = None
        self._begun = False
        """The head has gone out."""

    def answer(self) -> None:
        try:
            self._call()
        except BaseException as error:  # an application's sys.exit() ends its request, no more
            if self.gone and isinstance(error, ConnectionError):
                return
            name, request_id = self._handler.name, self.request.id
            if isinstance(error, WsgiError):
                log.error("%s breaks a rule of PEP 3333: %s id=%s", name, error, request_id)
            else:
                log.exception("%s failed id=%s", name, request_id)
            self.fail(500)

    def _call(self) -> None:
        body = self.body_read
        whole = body.size if body is not None and body.ended else None
        environ = self._handler.environs.make(self.request, whole)
        environ["wsgi.input"] = io.BytesIO() if body is None else body.open(self.waits)
        environ["wsgi.errors"] = _Errors(self._handler.name, self.request)
        environ["wsgi.file_wrapper"] = FileWrapper
        result = self._handler.application(environ, self._start_response)
        try:
            self._send(result)
        finally:
            if (close := getattr(result, "close", None)) is not None:
                close()

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        if exc_info is not None:
            try:
                if self._begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # no cycle through the frame
        elif self._start is not None:
            raise WsgiError("start_response was called twice without exc_info")
        self._start = self._handler.starts.get(status, headers)
        return self._write

    def _write(self, data: bytes) -> None:
        """What start_response returns."""
        if not isinstance(data, bytes):
            raise WsgiError(f"expected bytes to be written, not {type(data).__name__}")
        self._send_piece(data)

    def _send_piece(self, piece: bytes) -> None:
        """Send a piece of the body; with the head, if that has not gone out."""
        if not self._begun and len(piece) <= _TOGETHER:
            self._begin(body=piece)
            return
        self._begin()
        if piece:
            self.write(piece)

    def _begin(self, length: int | None = None, body: bytes = b"") -> None:
        """Send the head, if it has not gone out. length: what the body comes to, if known."""
        if self._begun:
            return
        start = self._start
        if start is None:
            raise WsgiError("the body begins before start_response was called")
        self._begun = True
        self.begin(
            start.status,
            start.reason,
            start.headers,
            start.length if start.length is not None else length,
            body,
        )

    def _send(self, result: Iterable[bytes]) -> None:
        if isinstance(result, FileWrapper) and self._send_by_kernel(result):
            return
        # A result of one piece has a known length (PEP 3333, "Content-Length"): most are like that.
        is_one = isinstance(result, (list, tuple)) and len(result) <= 1 and not self._begun
        if is_one and self._send_whole(next(iter(result), b"")):
            return
        pieces = iter(result)
        for piece in pieces:
            if not isinstance(piece, bytes):
                raise WsgiError(f"expected pieces of bytes, not {type(piece).__name__}")
            # Nothing is sent before the first piece that is not empty: until then the application
            # may change its mind about the head.
            if piece:
                if not self._begun and self._is_all(piece):
                    self._send_whole(piece)
                    self._run_out(pieces)
                    return
                self._send_piece(piece)
            if self.gone:
                return
            # The loop may be in another thread by now: what it says becomes true once, and stays.
            if self.exchange.complete:
                break
        # Of an answer to HEAD, and of a 304, nobody knows what the length would be.
        self._begin(None if self._is_bodiless else 0)
        self.finish()

    @property
    def _is_bodiless(self) -> bool:
        """Whether there is no body, whatever the application gives (RFC 9110 6.4.1)."""
        start = self._start
        is_head = self.request.head.method == "HEAD"
        return is_head or (start is not None and start.status in (204, 304))

    def _is_all(self, piece: bytes) -> bool:
        """Whether this is as much as the application has promised: frameworks give most of their
        answers in an iterator of one piece, with a Content-Length."""
        return self._start is not None and self._start.length == len(piece)

    def _run_out(self, pieces: Iterator[bytes]) -> None:
        """The answer is out: let the application come to its end."""
        for piece in pieces:
            if piece:
                # PEP 3333, "Content-Length": iterate no further when enough has been sent.
                name, request_id = self._handler.name, self.request.id
                log.warning("%s: more body than its Content-Length id=%s", name, request_id)
                return

    def _send_whole(self, body: bytes) -> bool:
        """Send head and body in one. False where the length that was given is another one."""
        if not isinstance(body, bytes):
            raise WsgiError(f"expected pieces of bytes, not {type(body).__name__}")
        start = self._start
        if start is None:
            raise WsgiError("the application returned before start_response was called")
        length: int | None = len(body)
        if self._is_bodiless:
            # What a GET would have is for the application to say.
            length = start.length if start.length is not None else (length or None)
            length = None if start.status == 204 else length
            body = b""
        elif start.length not in (None, length):
            return False
        prefix = start.prefix
        if length is not None:
            prefix += b"Content-Length: %d\r\n" % length
        self._begun = True
        self.give(Response(start.status, prefix, body))
        return True

    def _send_by_kernel(self, wrapper: FileWrapper) -> bool:
        """Send a regular file from where it stands, by sendfile(2); whether that can be done."""
        try:
            descriptor = wrapper.file.fileno()
            at = wrapper.file.tell()
            status = os.fstat(descriptor)
        except (AttributeError, OSError, ValueError):
            return False
        if not stat.S_ISREG(status.st_mode) or self._start is None or self._begun:
            return False
        length = max(0, status.st_size - at)
        if self._start.length is not None:
            length = min(length, self._start.length)
        self._begin(length)
        if length and not self.gone:
            self.send_file(FileRange(SharedFile(os.dup(descriptor)), at, length))
        self.finish()
        return True


class FileWrapper:
    """`wsgi.file_wrapper`: a file as an iterable. A real file is sent without being read."""

    def __init__(self, file: BinaryIO, block_size: int = 65536) -> None:
        self.file = file
        self._block_size = block_size
        if hasattr(file, "close"):
            self.close: Callable[[], Any] = file.close

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.file.read(self._block_size), b"")


class _Errors:
    """`wsgi.errors`: each line is a line of the error log."""

    def __init__(self, name: str, request: Request) -> None:
        self._name = name
        self._request = request

    def write(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"expected text, not {type(text).__name__}")
        for line in text.splitlines():
            if line:
                log.warning("%s: %s id=%s", self._name, line, self._request.id)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Each line has been written."""
