"""One CGI request under way: the program's three pipes on one side, the exchange on the other.

stdin, stdout and stderr are served together, whichever is ready: a program that writes before it
reads, or the other way round, never locks up. Three ends may come in any order: the exchange is
over, the program has closed its output, the program is gone. The job lives until all have come.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from forkd.config.settings import CgiRoute
from forkd.errors import ProtocolError
from forkd.handlers.base import PAUSE_ABOVE, Exchange
from forkd.handlers.cgi_failures import order_failure
from forkd.handlers.cgi_input import Input
from forkd.handlers.cgi_life import (
    ENDED,
    NONE,
    ORDERED,
    RUNNING,
    TERMINATED,
    no_progress,
    overdue,
)
from forkd.handlers.cgi_output import output_of
from forkd.handlers.cgi_streams import Streams
from forkd.handlers.fate import Fate
from forkd.handlers.patience import Patience
from forkd.handlers.programs import Ended, Launcher, Program, Running
from forkd.handlers.recording import RECORDED, Recorder, Unrecorded
from forkd.handlers.script_log import ScriptLog, at_work

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
        recorder: Recorder | None = None,
    ) -> None:
        self._settings = settings
        self._script = script
        self._launcher = launcher
        self._order = order
        self._recorder: Recorder = recorder or Unrecorded()
        self.fate = Fate()
        self._exchange: Exchange | None = None
        """None once it is over; what is left then is to see the program off."""
        self._life = NONE
        self._running: Running | None = None
        self._stdin = Input()
        self._streams = Streams()
        self._lasts = False
        """Most programs do not: their time is not looked at."""
        self._patience: Patience | None = None

    # What the exchange says.

    def start(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._request = exchange.request
        self._loop = exchange.loop
        self._log = ScriptLog(log, self._script, exchange.request.id)
        directories = self._settings.x_sendfile
        self._answer = output_of(self._script, directories, self._request, self._log.warning)
        head = exchange.request.head
        try:
            if (ready := self._stdin.open(self._loop, head, self._input_taken)) is not None:
                self._launch(*ready)
        except OSError as error:
            self._cannot_start(error)
            return
        if head.has_body:
            exchange.resume_body()

    def body(self, data: bytes) -> None:
        self._recorder.body(data)
        try:
            self._stdin.write(data)
        except OSError as error:
            self._cannot_start(error)
            return
        self._progress()
        if self._stdin.queued > PAUSE_ABOVE and self._exchange is not None:
            self._exchange.pause_body()

    def body_ended(self) -> None:
        try:
            if (ready := self._stdin.end()) is not None:
                self._launch(*ready)
        except OSError as error:
            self._cannot_start(error)
            return
        self._progress()

    def drained(self) -> None:
        self._streams.resume_output()
        self._progress()

    def disconnected(self) -> None:
        self._leave_exchange(cut=self._settings.on_disconnect == "finish")
        self._look()
        if self._settings.on_disconnect == "kill" or self._running is None:
            if self._life in (ORDERED, RUNNING):
                self._log.info("the client has gone: terminated")
            self._end_program()
            return
        self._streams.resume_output()  # what it still writes is read and thrown away
        self._progress()

    # What becomes of the program.

    def started(self, pid: int) -> None:
        if self._life is ORDERED:
            self._life = RUNNING
        self._log.pid = self.fate.pid = pid

    def lasts(self) -> None:
        self._lasts = True
        if self._life is not TERMINATED:
            self._progress()
        self._streams.watch_errors()

    def not_started(self, status: int, reason: str) -> None:
        self._life = ENDED
        self._fail(status, reason)
        self._release()

    def ended(self, end: Ended | None) -> None:
        was_terminated = self._life is TERMINATED
        self._life = ENDED
        self.fate.settle(end)
        self._streams.read_rest_of_errors()  # why comes before how
        self._log.ended(self.fate, as_wanted=was_terminated)
        if end is None:
            # Before any output is read: the program was killed with its spawner, and the end of its
            # output would look like the end of its answer.
            if self.fate.pid:
                self._fail(502, "the spawner died while the program ran")
            else:
                self._fail(503, "the spawner died before it started the program")
            self._release()
            return
        self._request.match.route.figures.count_program(end.cpu_s, end.peak_memory)
        self._streams.read_rest()
        if self._streams.output_closed:
            self._conclude()

    # What the program writes.

    def _output(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            if self._settings.on_disconnect == "finish":
                self._progress()
            return
        try:
            elsewhere = self._answer.put(exchange, data, self._finish_if_complete)
        except ProtocolError as error:
            self._fail(error.status, error.reason)
            self._end_program()
            return
        if elsewhere is not None:
            self._leave_exchange()
            self._progress()
            elsewhere(exchange)
            return
        if self._exchange is None:
            return  # the client was lost in this very moment
        if exchange.queued > PAUSE_ABOVE:
            self._streams.pause_output()
        if exchange.complete:  # output that nobody gets is no progress, or it would never be ended
            self._finish_if_complete()
        else:
            self._progress()

    def _output_ended(self) -> None:
        if self._running is not None:
            # What a program without a header did wrong is told by its end.
            has_head = self._answer.has_head
            (self._running.expect_end if has_head else self._running.await_end)()
        exchange = self._exchange
        if self._answer.has_head and exchange is not None:
            self._end_answer(exchange)
        if self._life is ENDED:
            self._conclude()
        elif not self._answer.has_head and exchange is not None:
            self._waiting().limit(_END_GRACE_S)
        else:
            self._progress()

    def _end_answer(self, exchange: Exchange) -> None:
        try:
            self._answer.check_end()
        except ProtocolError as error:
            self._fail(error.status, error.reason)
            self._stdin.cut()
            return
        self._finish(exchange)

    def _finish(self, exchange: Exchange) -> None:
        self._leave_exchange()
        self._answer.finish(exchange)

    def _finish_if_complete(self) -> None:
        """What the client has got is all that it will: what the program does now is its own.

        But for HEAD: a program that writes for ever because it does not look at the method is ended
        when its client goes.
        """
        exchange = self._exchange
        if exchange is not None and exchange.complete and self._request.head.method != "HEAD":
            self._finish(exchange)

    def _said(self, data: bytes) -> None:
        self._log.feed(data)
        self._recorder.stderr(data)

    def _input_taken(self) -> None:
        self._progress()
        if self._exchange is not None and self._stdin.queued <= PAUSE_ABOVE:
            self._exchange.resume_body()

    # Both sides.

    def _launch(self, stdin: int | None, size: int | None) -> None:
        """Order the program. Raises OSError. Our copies of its ends are closed in any case."""
        output, errors = (self._output, self._output_ended), (self._said, self._log.end)
        with self._streams.given(self._loop, stdin, output, errors) as ends:
            program = self._order(size)
            self._recorder.ordered(program)
            self._running = self._launcher.launch(program, ends, self)
        self._life = ORDERED
        self._progress()

    def _progress(self) -> None:
        """Something was done: the time in which the program is waited for begins anew."""
        if not self._lasts or self._running is None:
            return
        if self._exchange is not None and self._streams.output_closed and not self._answer.has_head:
            return  # its end is awaited, and nothing else
        held_back = self._stdin.idle or self._streams.output_paused
        # Held back by the client, whose own deadline runs: this time is not the program's.
        self._waiting().renew(held_back)

    def _waiting(self) -> Patience:
        if self._patience is None:
            self._patience = Patience(
                self._loop, self._settings.timeout, self._on_slow, self._on_timeout
            )
        return self._patience

    def _on_slow(self) -> None:
        doing = at_work(self._request, self._log.pid, self._loop.now)
        self._log.warning(f"slow: no progress for {self._settings.timeout / 2:g} s, {doing}")

    def _on_timeout(self) -> None:
        self._look()
        if self._running is None:
            return  # it has just ended
        exchange, timeout = self._exchange, self._settings.timeout
        if exchange is None or exchange.complete:
            if exchange is not None:
                self._finish(exchange)
            self._log.warning(f"ran on after the answer, {no_progress(self._life, timeout)}")
        else:
            closed_early = self._streams.output_closed and not self._answer.has_head
            self._fail(*overdue(self._life, timeout, closed_early=closed_early))
        self._end_program()

    def _conclude(self) -> None:
        """Program and output have both ended."""
        if not self._answer.has_head:
            error = self._answer.eof()
            self._fail(error.status, f"{error.reason} ({self.fate.words})")
        self._release()

    def _cannot_start(self, error: OSError) -> None:
        """The machine lacks something: descriptors, disk, memory."""
        self._life = ENDED
        self._fail(*order_failure(error, self._script))
        self._release()

    def _fail(self, status: int, reason: str) -> None:
        """The request fails, for a reason that belongs in the log."""
        exchange = self._leave_exchange(cut=False)
        if exchange is not None:
            try:
                self._streams.read_rest_of_errors()
                self._log.failure(status, reason)
                if status in RECORDED:
                    self._recorder.failed(status, reason)
            finally:
                exchange.fail(status)  # whatever else goes wrong, somebody waits for an answer

    def _leave_exchange(self, *, cut: bool = True) -> Exchange | None:
        """The exchange is over, or is ended by the caller: no more of the body will come.

        cut: the program sees the end of what has come. Not before it is to be ended, since it would
        take a part of an upload for all of it.
        """
        exchange, self._exchange = self._exchange, None
        if cut:
            self._stdin.cut()
        return exchange

    def _end_program(self) -> None:
        """It is wanted no more. Its end is still awaited, unless it never began or has come."""
        if self._patience is not None:
            self._patience.end()
        self._look()
        # An order is taken back, unless the program may have begun to read a part of its body: then
        # it has to be seen to its end.
        ordered = self._life is ORDERED and not self._stdin.is_open
        if self._running is not None and not ordered:
            self._running.terminate()
        if ordered or self._life in (NONE, ENDED):
            self._release()
            return
        self._life = TERMINATED
        self._stdin.drop()
        self._streams.close_output()

    def _look(self) -> None:
        """It may have begun, or have ended, without our having heard of it."""
        if self._running is not None:
            self._running.look()

    def _release(self) -> None:
        """Nothing is left to come."""
        if self._patience is not None:
            self._patience.forget()
        self._streams.read_rest_of_errors()
        self._log.end()
        self._stdin.close()
        self._streams.close()
        running, self._running = self._running, None
        if running is not None:
            running.close()
        self.fate.settle(None)
        recorder, self._recorder = self._recorder, Unrecorded()
        recorder.ended(self.fate.end)
