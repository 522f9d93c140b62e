"""One CGI request under way: the program's three pipes on one side, the exchange on the other.

stdin, stdout and stderr are served together, whichever is ready: a program that writes before it
reads, or the other way round, never locks up. Three ends may come in any order: the exchange is over,
the program has closed its output, the program is gone. The job lives until all of them have come.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from typing import BinaryIO

from forkd.config.routes import CgiRoute
from forkd.errors import ProtocolError
from forkd.handlers.base import PAUSE_ABOVE, Exchange
from forkd.handlers.cgi_failures import exit_words, interpreter_of, spawn_failure
from forkd.handlers.programs import Ended, Launcher, Program, Running
from forkd.handlers.script_log import ScriptLog
from forkd.loop.pipes import Sink, Source
from forkd.loop.timers import Timer
from forkd.proto.cgi import ResponseParser

log = logging.getLogger("forkd.cgi")

_END_GRACE_S = 2.0
"""How long a program that closed its output without a header may take to say why, by its end."""


class CgiJob:
    """Runs one program for one exchange. `order` builds it once the size of the body is known."""

    def __init__(
        self,
        settings: CgiRoute,
        script: str,
        launcher: Launcher,
        order: Callable[[int | None], Program],
    ) -> None:
        self._settings = settings
        self._script = script
        self._launcher = launcher
        self._order = order
        self._parser: ResponseParser | None = ResponseParser()
        """None once the program's header has been read."""
        self._running: Running | None = None
        self._gone = False
        """The program has ended; others of its group may still hold its output."""
        self._over = False
        """The exchange is over; what is left is to see the program off."""
        self._stdin: Sink | None = None
        self._stdout: Source | None = None
        self._stderr: Source | None = None
        self._spool: BinaryIO | None = None

    # What the exchange says.

    def start(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._loop = exchange.loop
        self._timer = Timer(self._on_timeout)
        self._log = ScriptLog(log, self._script, exchange.request.id)
        head = exchange.request.head
        if head.chunked:
            # CONTENT_LENGTH must be true, so the size has to be known before the program starts.
            self._spool = tempfile.TemporaryFile()  # noqa: SIM115 closed in _close_spool
            exchange.resume_body()
        elif head.has_body:
            read_end, write_end = os.pipe2(os.O_CLOEXEC)
            self._stdin = Sink(self._loop, write_end, self._input_taken)
            self._launch(read_end, head.content_length)
            exchange.resume_body()
        else:
            null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            self._launch(null, head.content_length if head.has_length else None)

    def body(self, data: bytes) -> None:
        if self._spool is not None:
            self._spool.write(data)
        elif self._stdin is not None:
            self._stdin.write(data)
            if self._stdin.queued > PAUSE_ABOVE:
                self._exchange.pause_body()

    def body_ended(self) -> None:
        if self._spool is not None:
            size = self._spool.tell()
            self._spool.seek(0)
            descriptor = os.dup(self._spool.fileno())
            self._close_spool()
            self._launch(descriptor, size)
        elif self._stdin is not None:
            self._stdin.end()

    def drained(self) -> None:
        if self._stdout is not None:
            self._stdout.resume()
        self._progress()

    def disconnected(self) -> None:
        self._over = True
        self._close_spool()
        if self._settings.on_disconnect == "kill":
            if not self._gone and self._running is not None:
                self._log.info("the client has gone: terminated")
            self._end_program()
        elif self._stdout is not None:
            if self._stdin is not None:
                self._stdin.end()
            self._stdout.resume()  # what it still writes is read and thrown away
            self._progress()

    # What becomes of the program.

    def started(self, pid: int) -> None:
        self._log.pid = pid

    def not_started(self, error: OSError) -> None:
        self._gone = True
        line = _first_line(self._script)
        exists = os.path.exists(interpreter_of(line)) if line.startswith(b"#!") else True
        self._fail(500, spawn_failure(error.errno or 0, self._script, line, exists))
        self._release()

    def ended(self, end: Ended | None) -> None:
        self._gone = True
        words = "unknown: the spawner died" if end is None else exit_words(end.status)
        for source in (self._stderr, self._stdout):
            if source is not None:
                source.read_rest()
        if end is None or end.status:
            self._log.warning(f"ended: {words}", end)
        else:
            self._log.debug(f"ended: {words}", end)
        if end is None:
            self._fail(502, "the spawner died while the program ran")
            self._release()
        elif self._output_closed:
            self._conclude(words)

    @property
    def _output_closed(self) -> bool:
        return self._stdout is None or self._stdout.closed

    # What the program writes.

    def _output(self, data: bytes) -> None:
        self._progress()
        if self._over:
            return
        exchange = self._exchange
        if self._parser is not None:
            try:
                head = self._parser.feed(data)
            except ProtocolError as error:
                self._fail(error.status, error.reason)
                self._end_program()
                return
            if head is None:
                return
            data, self._parser = self._parser.rest, None
            if head.local_redirect is not None:
                self._over = True
                exchange.redirect(head.local_redirect)
                return
            exchange.begin(head.status, head.reason, head.headers, head.content_length)
        exchange.write(data)
        if exchange.queued > PAUSE_ABOVE and self._stdout is not None and not self._over:
            self._stdout.pause()
            # Held back by the client, whose own deadline runs: this time is not the program's.
            self._loop.timers.set(self._timer, float("inf"))

    def _output_ended(self) -> None:
        if self._parser is None and not self._over:
            self._over = True
            self._exchange.finish()
        if self._gone:
            self._conclude("")
        elif self._parser is not None and not self._over:
            self._loop.timers.set(self._timer, self._loop.now + _END_GRACE_S)
        else:
            self._progress()

    def _input_taken(self) -> None:
        self._progress()
        if not self._over and self._stdin is not None and self._stdin.queued <= PAUSE_ABOVE:
            self._exchange.resume_body()

    # Both sides.

    def _launch(self, stdin: int, size: int | None) -> None:
        """Order the program. Our copies of its ends of the pipes are closed in any case."""
        ends = [stdin]
        try:
            stdout, child_stdout = os.pipe2(os.O_CLOEXEC)
            ends.append(child_stdout)
            self._stdout = Source(self._loop, stdout, self._output, self._output_ended)
            stderr, child_stderr = os.pipe2(os.O_CLOEXEC)
            ends.append(child_stderr)
            self._stderr = Source(self._loop, stderr, self._log.feed, self._log.end)
            descriptors = (stdin, child_stdout, child_stderr)
            self._running = self._launcher.launch(self._order(size), descriptors, self)
        except OSError as error:
            self._fail(503, f"the program cannot be started: {error.strerror}")
            self._release()
        finally:
            for end in ends:
                os.close(end)
        self._progress()

    def _progress(self) -> None:
        """Something was done: the time in which the program is waited for begins anew."""
        if self._running is not None:
            self._loop.timers.set(self._timer, self._loop.now + self._settings.timeout)

    def _on_timeout(self, _now: float) -> None:
        if self._parser is not None and self._output_closed:
            self._fail(502, "the program closed its output without a header, and runs on")
        else:
            self._fail(504, f"no progress for {self._settings.timeout:g} s: terminated")
        self._end_program()

    def _conclude(self, words: str) -> None:
        """Program and output have both ended."""
        if self._parser is not None:
            error = self._parser.eof()
            self._fail(error.status, f"{error.reason} ({words})" if words else error.reason)
        self._release()

    def _fail(self, status: int, reason: str) -> None:
        """The request fails, for a reason that belongs in the log."""
        if not self._over:
            self._over = True
            if self._stderr is not None:
                self._stderr.read_rest()
            self._log.failure(status, reason)
            self._exchange.fail(status)

    def _end_program(self) -> None:
        """It is wanted no more. Its end is still awaited, unless it never began or has come."""
        self._loop.timers.remove(self._timer)
        if self._running is None or self._log.pid == 0:
            self._release()
            return
        self._running.terminate()
        for end in (self._stdin, self._stdout):
            if end is not None:
                end.close()
        if self._gone:
            self._release()

    def _release(self) -> None:
        """Nothing is left to come."""
        self._loop.timers.remove(self._timer)
        if self._stderr is not None:
            self._stderr.read_rest()
            self._log.end()
        for end in (self._stdin, self._stdout, self._stderr):
            if end is not None:
                end.close()
        running, self._running = self._running, None
        if running is not None:
            running.close()

    def _close_spool(self) -> None:
        if self._spool is not None:
            self._spool.close()
            self._spool = None


def _first_line(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.readline(256)
    except OSError:
        return b""
