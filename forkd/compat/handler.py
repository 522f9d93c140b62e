"""The request handler class: which program, what becomes of its answer."""

from __future__ import annotations

import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler
from typing import IO, Any
from urllib.parse import quote

from forkd.compat.answer import BadHead, Framing, Head, HeadReader, framing
from forkd.compat.client import descriptor, discard, patience
from forkd.compat.program import Program, Silent, exit_words, start_failure
from forkd.compat.request import (
    Refused,
    body_length,
    claim,
    collapse,
    encode,
    header_variables,
)
from forkd.compat.script import Script, find_script, lies_in

_PATH = "/usr/local/bin:/usr/bin:/bin"
_PIECE = 64 * 1024
_MAX_REDIRECTS = 10


class CGIHTTPRequestHandler(SimpleHTTPRequestHandler):
    """Files as SimpleHTTPRequestHandler serves them, and CGI programs (RFC 3875).

    The interface is that of the class in http.server. A program decides about the status itself, is
    told only what RFC 3875 says, runs in its own directory, and as nobody where root runs the
    server. Its stderr goes to log_error(). Its process group is ended (TERM, after five seconds
    KILL) when it is silent for `cgi_timeout`, after a reset or a failed write, or five seconds
    after the client has closed its side.

    To a Location that begins with one slash and comes without a Status, the answer is what GET of
    it gives (section 6.2.2). Bodies with a Transfer-Encoding are answered with 501. The whole body
    is read, into a temporary file, before the program starts.
    """

    have_fork = False
    """Nothing is forked here, since this class is for processes with threads."""

    rbufsize = 0

    cgi_directories: list[str] = ["/cgi-bin", "/htbin"]
    """Paths in the URL. All below them is CGI's and never served as a file."""

    cgi_timeout: float = 60.0
    """Seconds that a program, or a client that takes its output, may go without progress."""

    cgi_max_body: int = 100 * 1024 * 1024
    """Bytes; 413 above."""

    cgi_info: tuple[str, str] = ("", "")
    _redirects = 0

    def do_POST(self) -> None:
        """Run a CGI program; 501 for all else."""
        match self._is_cgi():
            case True:
                self.run_cgi()
            case False:
                self._refuse(Refused(HTTPStatus.NOT_IMPLEMENTED, "Can only POST to CGI scripts"))

    def send_head(self) -> Any:
        """Answer for a CGI program, or do what SimpleHTTPRequestHandler does for a file."""
        match self._is_cgi():
            case True:
                self.run_cgi()
            case False:
                return super().send_head()
        return None

    def is_cgi(self) -> bool:
        """Whether the path is CGI's, with `cgi_info` set to (directory, rest) if so.

        Both are decoded; rest has the query at its end. Raises ValueError where the path is to be
        refused: it climbs above the root, or reaches a program by another name.
        """
        path = collapse(self.path)
        claimed = claim(path, self.cgi_directories)
        if claimed is None:
            if lies_in(self._file_of(path), map(self._file_of, self.cgi_directories)):
                raise ValueError("a file in a CGI directory, by another name")
            return False
        _, mark, query = self.path.partition("?")
        self.cgi_info = claimed[0], claimed[1] + mark + query
        return True

    def is_executable(self, path: str) -> bool:
        """Whether the file has the run bit."""
        return executable(path)

    def is_python(self, path: str) -> bool:
        """Whether the file, by its name, is Python's to run, with or without the run bit."""
        return os.path.splitext(path)[1].lower() in (".py", ".pyw")

    def run_cgi(self) -> None:
        """Run the program that `cgi_info` tells of, and answer, with an error if need be."""
        try:
            length = body_length(self.headers.items())
            script = self._find_script()
            if length is not None and length > self.cgi_max_body:
                raise Refused(413, f"a body of more than {self.cgi_max_body} bytes (cgi_max_body)")
            environ = self._environ(script, length)
        except Refused as refused:
            self._refuse(refused)
            return
        try:
            with patience(self.connection, self.cgi_timeout), self._body(length) as body:
                location = self._run(script, environ, body)
            if location is not None:
                self._redirect(script, location)
        except Refused as refused:
            self._refuse(refused, body_read=True)
        except (ConnectionError, TimeoutError) as error:
            self.log_error("%s: the client does not go on: %s", script, error)
            self.close_connection = True

    def _is_cgi(self) -> bool | None:
        """is_cgi(), or None where the path was refused and that was answered."""
        try:
            return self.is_cgi()
        except (ValueError, LookupError):
            self._refuse(Refused(HTTPStatus.NOT_FOUND, "File not found"))
            return None

    def _file_of(self, path: str) -> str:
        """The file of a decoded path. translate_path() decodes, so that is undone before."""
        return os.path.abspath(self.translate_path(quote(path, errors="surrogateescape")))

    def _find_script(self) -> Script:
        directory, rest = self.cgi_info
        _, mark, query = self.path.partition("?")
        return find_script(directory, rest.removesuffix(mark + query), self._file_of, self._may_run)

    def _may_run(self, file: str) -> bool:
        return self.is_executable(file) or self.is_python(file)

    def _environ(self, script: Script, length: int | None) -> dict[str, bytes]:
        variables = {
            "GATEWAY_INTERFACE": "CGI/1.1",
            "SERVER_SOFTWARE": self.version_string(),
            "SERVER_NAME": str(getattr(self.server, "server_name", "localhost")),
            "SERVER_PORT": str(getattr(self.server, "server_port", 80)),
            "SERVER_PROTOCOL": self.request_version,
            "REQUEST_METHOD": self.command,
            "REQUEST_SCHEME": "http",
            "SCRIPT_NAME": script.name,
            "SCRIPT_FILENAME": script.file,
            "DOCUMENT_ROOT": self._file_of("/"),
            "PATH_INFO": script.path_info,
            "PATH": _PATH,
            # What php-cgi wants to see before it runs anything.
            "REDIRECT_STATUS": "200",
        }
        if isinstance(self.connection, ssl.SSLSocket):
            variables |= {"REQUEST_SCHEME": "https", "HTTPS": "on"}
        if isinstance(self.client_address, tuple):  # a unix socket has no address to tell
            host, port = self.client_address[:2]
            variables |= {"REMOTE_ADDR": str(host), "REMOTE_PORT": str(port)}
        if script.path_info:
            variables["PATH_TRANSLATED"] = self._file_of(script.path_info)
        if length is not None:
            variables["CONTENT_LENGTH"] = str(length)
        # http.server decodes the request line as Latin-1: so encoded, it is what was sent.
        target = self.path.encode("latin-1", "replace")
        environ = header_variables(self.headers.items()) | encode(variables.items())
        environ |= {"REQUEST_URI": target, "QUERY_STRING": target.partition(b"?")[2]}
        if any(b"\0" in value for value in environ.values()):
            raise Refused(400, "a NUL byte")
        return environ

    @contextmanager
    def _body(self, length: int | None) -> Iterator[IO[bytes]]:
        if not length:
            with open(os.devnull, "rb") as nothing:
                yield nothing
            return
        with tempfile.TemporaryFile(buffering=0) as file:
            left = length
            while left:
                try:
                    data = self._read(min(left, _PIECE))
                except TimeoutError:
                    raise Refused(408, f"a body that stops {left} bytes before its end") from None
                if not data:
                    raise Refused(400, f"a body that ends {left} bytes before its Content-Length")
                left -= len(data)
                try:
                    file.write(data)
                except OSError as error:
                    raise Refused(503, f"The body cannot be stored: {error.strerror}") from None
            file.seek(0)
            yield file

    def _read(self, size: int) -> bytes:
        """What is there of the body, at most size bytes; b"" where the client sends no more."""
        read = getattr(self.rfile, "read1", self.rfile.read)
        data: bytes | None = read(size)
        return data or b""

    def _run(self, script: Script, environ: dict[str, bytes], body: IO[bytes]) -> str | None:
        """Run it and answer, or give the Location that is to be served in its place."""
        direct = self.is_executable(script.file)
        argv = [script.file] if direct else [sys.executable, "-u", script.file]
        try:
            program = Program(
                argv,
                environ,
                body.fileno(),
                client=descriptor(self.connection),
                log=lambda line: self.log_error("%s: %s", script, line),
            )
        except OSError as error:
            status, reason = start_failure(error)
            raise Refused(status, f"{script} cannot be executed: {reason}") from None
        try:
            head, first = self._read_head(script, program)
            if head.local is None:
                self._send(head, script, first, program)
            else:
                self._finish(script, program)
            return head.local
        finally:
            program.close()

    def _read_head(self, script: Script, program: Program) -> tuple[Head, bytes]:
        reader = HeadReader()
        try:
            while data := program.read(self.cgi_timeout):
                if (head := reader.feed(data)) is not None:
                    return head, reader.rest
            ended = exit_words(program.finish(self.cgi_timeout))
            raise Refused(502, f"{script} {reader.eof()}{ended}")
        except BadHead as bad:
            raise Refused(502, f"{script} {bad}") from None
        except Silent:
            raise Refused(504, f"{script} made no progress for {self.cgi_timeout:g} s") from None

    def _send(self, head: Head, script: Script, first: bytes, program: Program) -> None:
        """Send the answer as it is made. From here on an error can only cut it off."""
        modern = min(self.protocol_version, self.request_version) >= "HTTP/1.1"
        frame = framing(head, command=self.command, modern=modern)
        self.send_response(head.status, head.reason)
        for name, value in head.headers:
            self.send_header(name, value)
        if head.length is not None and head.status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(head.length))
        if frame is Framing.CHUNKED:
            self.send_header("Transfer-Encoding", "chunked")
        if frame is Framing.CLOSE or not modern or self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        try:
            left = self._send_body(frame, head.length, first, program)
        except Silent:
            self.log_error("%s: no progress for %g s: cut off", script, self.cgi_timeout)
            self.close_connection = True
            return
        if left:
            self.log_error("%s: %d bytes differ from its Content-Length", script, abs(left))
            # The client has to see that the answer is not whole.
            self.close_connection = self.close_connection or left > 0
        self._finish(script, program)

    def _send_body(self, frame: Framing, length: int | None, data: bytes, program: Program) -> int:
        """Send the rest. Gives how many bytes of Content-Length are missing, below 0: too many."""
        left = length if length is not None and frame is Framing.LENGTH else 0
        while data or (data := program.read(self.cgi_timeout)):
            match frame:
                case Framing.LENGTH:
                    self._write(data[: max(left, 0)])
                    left -= len(data)
                case Framing.CHUNKED:
                    self._write(b"%x\r\n%b\r\n" % (len(data), data))
                case Framing.CLOSE:
                    self._write(data)
            data = b""
        if frame is Framing.CHUNKED:
            self._write(b"0\r\n\r\n")
        return left

    def _write(self, data: bytes) -> None:
        if data:
            self.wfile.write(data)
            self.wfile.flush()

    def _finish(self, script: Script, program: Program) -> None:
        """Wait for its end, and throw away what else it writes."""
        try:
            while program.read(self.cgi_timeout):
                pass
            if words := exit_words(program.finish(self.cgi_timeout)):
                self.log_error("%s%s", script, words)
        except Silent:
            self.log_error("%s: still runs %g s after its answer", script, self.cgi_timeout)

    def _redirect(self, script: Script, location: str) -> None:
        if self._redirects == _MAX_REDIRECTS:
            raise Refused(502, f"{script} leads to itself: {_MAX_REDIRECTS} redirects")
        self._redirects += 1
        try:
            self.path = location
            # The request that goes on has no body: it was the program's.
            for name in ("Content-Length", "Content-Type", "Expect"):
                del self.headers[name]
            if self.command == "HEAD":
                self.do_HEAD()
            else:
                self.command = "GET"
                self.do_GET()
        finally:
            self._redirects -= 1

    def _refuse(self, refused: Refused, *, body_read: bool = False) -> None:
        self.close_connection = True
        try:
            self.send_error(refused.status, refused.reason)
            if not body_read:
                discard(self.connection, self._read, body_length(self.headers.items()) or 0)
        except Refused:
            return  # it was refused because nobody can say how long the body is
        except (ConnectionError, TimeoutError) as error:
            self.log_error("the client does not wait for the answer: %s", error)


def executable(path: str) -> bool:
    """Whether the file has the run bit."""
    return os.access(path, os.X_OK)
