"""A program that a spawner starts for a person: feeds it, hears it, and judges what it answers."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from forkd.errors import ProtocolError
from forkd.handlers.cgi_failures import exit_words
from forkd.handlers.programs import Ended
from forkd.proto.cgi import CgiHead, ResponseParser
from forkd.proto.http1.raw_response import RawResponse
from forkd.spawner.orders import TERMINATE, NotStarted, Started, decode_fate
from forkd.system import messages

_PART = 65536
_ENDS_WITHIN_S = 10.0
"""After TERM; KILL comes after five seconds."""
_LAST_PARTS = 16
"""Of stderr: whoever was left behind may write for ever."""
_LONGEST_LINE = 4096

Show = Callable[[str, bytes], None]
"""Called with `out` or `err`, and a line without its end."""


class Ends:
    """Three pipes and a socket. Those of the program are given away, ours stay open."""

    def __init__(self, stack: ExitStack) -> None:
        """Raises OSError."""
        self._theirs = ExitStack()
        stack.push(self._theirs)
        self.reply, reply = messages.message_pair()
        stack.enter_context(self.reply)
        self._theirs.enter_context(reply)
        program_in, self.stdin = os.pipe2(os.O_CLOEXEC)
        self.stdout, program_out = os.pipe2(os.O_CLOEXEC)
        self.stderr, program_err = os.pipe2(os.O_CLOEXEC)
        for descriptor in (program_in, program_out, program_err):
            self._theirs.callback(os.close, descriptor)
        self.of_the_program = (reply.fileno(), program_in, program_out, program_err)

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Ends]:
        """Closes what is left open. A program that still runs is ended by that."""
        with ExitStack() as stack:
            ends = cls(stack)
            stack.callback(ends._close_ours)
            yield ends

    def given(self) -> None:
        """The program has its ends: while they were open here, their end would never come."""
        self._theirs.close()

    def close(self, name: str) -> None:
        """One of ours: stdin, stdout or stderr."""
        if (descriptor := getattr(self, name)) >= 0:
            os.close(descriptor)
            setattr(self, name, -1)

    def _close_ours(self) -> None:
        for name in ("stdin", "stdout", "stderr"):
            self.close(name)


class Rerun:
    """What becomes of the program: `end` or `not_started`, and a verdict on its output."""

    def __init__(
        self,
        ends: Ends,
        body: bytes,
        timeout_s: float,
        script: str,
        show: Show,
        grace_s: float = _ENDS_WITHIN_S,
    ) -> None:
        """timeout_s: how long it may go without progress. grace_s: how long it may take then."""
        self._ends = ends
        self._body = body
        self._timeout_s = timeout_s
        self._grace_s = grace_s
        self._show = show
        self._parser = ResponseParser()
        is_whole = os.path.basename(script).startswith("nph-")
        # Of a whole response only the head is judged, and that does not depend on the method.
        self._whole = RawResponse("GET", 11) if is_whole else None
        self._head: CgiHead | None = None
        self._failure = ""
        self._lines = {"out": b"", "err": b""}
        self._heard = True
        self.end: Ended | None = None
        self.not_started: NotStarted | None = None

    def run(self) -> None:
        """Until the program and its output have ended, or its time is over."""
        ends = self._ends
        ends.given()
        for descriptor in (ends.stdin, ends.stdout, ends.stderr):
            os.set_blocking(descriptor, False)
        if not self._body:
            ends.close("stdin")
        deadline = time.monotonic() + self._timeout_s
        terminated = False
        while self._under_way():
            left = deadline - time.monotonic()
            if left <= 0:
                if terminated:
                    break
                terminated = True
                self._failure = self._failure or (
                    f"504: no progress for {self._timeout_s:g} s: terminated"
                )
                self._terminate()
                deadline = time.monotonic() + self._grace_s
                continue
            if self._turn(left) and not terminated:
                deadline = time.monotonic() + self._timeout_s
        for _ in range(_LAST_PARTS):
            if self._ends.stderr < 0 or not self._read("stderr", "err"):
                break
        for mark, rest in self._lines.items():
            if rest:
                self._show(mark, rest)

    def verdict(self) -> str:
        """What forkd would make of it: a status, and a reason where it is a failure."""
        if self.not_started is not None:
            return f"{self.not_started.status}: {self.not_started.reason}"
        if self._failure:
            return self._failure
        if self._whole is not None and self._whole.head is not None:
            return "what it wrote, as it is (nph-)"
        if self._head is None:
            how = "" if self.end is None else f" ({exit_words(self.end.status)})"
            return f"502: {self._eof()}{how}"
        if self._head.local_redirect is not None:
            return f"what is at {self._head.local_redirect.decode('latin-1')} (a local Location)"
        if self._head.send_file is not None:
            name = self._head.send_file.decode("utf-8", "backslashreplace")
            return f"the file {name} that X-Sendfile names, which is not looked at here"
        return f"{self._head.status} {self._head.reason.decode('latin-1')}".rstrip()

    def _under_way(self) -> bool:
        if self.not_started is not None:
            return False
        # Others that it has left behind may hold its stderr: a worker does not wait for them.
        return self._heard or self._ends.stdout >= 0

    def _turn(self, patience_s: float) -> bool:
        """Wait, and do what can be done; whether the program has made progress."""
        ends = self._ends
        poll = select.poll()
        if self._heard:
            poll.register(ends.reply, select.POLLIN)
        for descriptor, mask in (
            (ends.stdin, select.POLLOUT),
            (ends.stdout, select.POLLIN),
            (ends.stderr, select.POLLIN),
        ):
            if descriptor >= 0:
                poll.register(descriptor, mask)
        progress = False
        for descriptor, _ in poll.poll(patience_s * 1000):
            if descriptor == ends.reply.fileno():
                self._hear()
            elif descriptor == ends.stdin:
                self._feed()
                progress = True
            elif descriptor == ends.stdout:
                progress = True
                self._read("stdout", "out")
            else:
                self._read("stderr", "err")
        return progress

    def _hear(self) -> None:
        try:
            message = messages.receive(self._ends.reply)
        except BlockingIOError:
            return
        except ConnectionError:
            # The spawner has hung up with a word of ours unread. It is said once, and before what
            # the spawner had told (unix(7)).
            self._hear()
            return
        if message is None:
            self._heard = False
            return
        match decode_fate(message.fields):
            case Ended() as end:
                self.end, self._heard = end, False
            case NotStarted() as failure:
                self.not_started, self._heard = failure, False
            case Started():
                pass

    def _feed(self) -> None:
        try:
            self._body = self._body[os.write(self._ends.stdin, self._body) :]
        except BlockingIOError:
            return
        except OSError:
            self._body = b""  # it reads no more
        if not self._body:
            self._ends.close("stdin")

    def _read(self, name: str, mark: str) -> bool:
        """Whether there was something to be read."""
        try:
            data = os.read(getattr(self._ends, name), _PART)
        except BlockingIOError:
            return False
        if not data:
            self._ends.close(name)
            return False
        *lines, rest = (self._lines[mark] + data).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            lines, rest = [*lines, rest], b""
        self._lines[mark] = rest
        for line in lines:
            self._show(mark, line)
        if mark == "out":
            self._judge(data)
        return True

    def _judge(self, data: bytes) -> None:
        if self._head is not None or self._failure:
            return
        try:
            if self._whole is None:
                self._head = self._parser.feed(data)
            elif self._whole.head is None:
                self._whole.feed(data)
        except ProtocolError as error:
            whose = "the script " if self._whole is not None else ""
            self._failure = f"{error.status}: {whose}{error.reason}"

    def _eof(self) -> str:
        """Why output that has ended before its header did is no answer."""
        if self._whole is not None:
            return f"the script {self._whole.eof().reason}"
        return self._parser.eof().reason

    def _terminate(self) -> None:
        try:
            messages.send(self._ends.reply, [TERMINATE])
        except OSError:
            self._heard = False
