"""A CGI program that runs: its output, its stderr line by line, its end.

Its input is a file that is whole before it starts, so it may write before it reads, and the client
need not take output while it sends. Programs are started by subprocess without preexec_fn: a fork
that runs Python in a process with threads may deadlock.
"""

from __future__ import annotations

import errno
import os
import pwd
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

_GRACE_S = 5.0
"""From TERM to KILL, and from the end of a client's sending to the end of its program."""

_PIECE = 32 * 1024
_MAX_LINE = 8 * 1024
_MAX_LEFT = 64 * 1024
_OVERFLOW_ID = 65534


class Silent(Exception):
    """The program made no progress for too long."""


class ClientGone(ConnectionError):
    """The client does not wait for the answer any more."""


class Program:
    """One program and its process group, from start to end. For one thread.

    `body` is the descriptor of what it reads, `client` that of the client's connection, -1 where
    there is none to watch. Raises OSError where the program cannot be executed; then nothing runs.
    close() is due in any case.
    """

    def __init__(
        self,
        argv: Sequence[str],
        environ: Mapping[str, bytes],
        body: int,
        *,
        client: int,
        log: Callable[[str], None],
    ) -> None:
        user = group = groups = None
        if _is_root():
            user, group, groups = nobody_uid(), _nobody_gid(), ()
        self._process = subprocess.Popen(
            argv,
            stdin=body,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=environ,
            cwd=os.path.dirname(argv[-1]),
            start_new_session=True,
            user=user,
            group=group,
            extra_groups=groups,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdout = self._process.stdout.fileno()
        self._stderr = self._process.stderr.fileno()
        # It says that the program has ended without reaping it: until then its process group's
        # number cannot become somebody else's, and signals reach only whom they are meant for.
        try:
            self._ended = os.pidfd_open(self._process.pid)
        except OSError:
            os.killpg(self._process.pid, signal.SIGKILL)
            with self._process:
                raise
        self._log = log
        self._line = b""
        self._client = client
        self._client_gone_at: float | None = None
        self._poll = select.poll()
        self._poll.register(self._stderr, select.POLLIN)
        if client >= 0:
            self._poll.register(client, select.POLLRDHUP)

    def read(self, timeout_s: float) -> bytes:
        """The next piece of output, b"" at its end. Raises Silent or ClientGone."""
        self._await(self._stdout, timeout_s)
        return os.read(self._stdout, _PIECE)

    def finish(self, timeout_s: float) -> int:
        """Wait for the end: the exit status, or -N for signal N. Raises Silent or ClientGone.

        Processes that it left in the background stay.
        """
        self._await(self._ended, timeout_s)
        self._read_stderr_left()
        return self._process.wait()

    def close(self) -> None:
        """End what still runs: TERM for the whole group, and KILL after five seconds."""
        try:
            if self._process.returncode is None:
                self._end()
        finally:
            for pipe in (self._process.stdout, self._process.stderr):
                if pipe is not None:
                    pipe.close()
            os.close(self._ended)

    def _end(self) -> None:
        # A program that is held back by its own output has to notice that nobody reads it.
        if self._process.stdout is not None:
            self._process.stdout.close()
        if self._client >= 0:
            self._poll.unregister(self._client)
        self._client_gone_at = None
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
            except OSError as error:
                # A set-user-ID program is somebody else's.
                self._log(f"cannot be ended: {error.strerror}")
            try:
                self._await(self._ended, _GRACE_S)
            except Silent:
                continue
        self._read_stderr_left()
        # Does not block where even KILL was refused: subprocess reaps it some time later.
        self._process.poll()

    def _await(self, wanted: int, timeout_s: float) -> None:
        """Serve stderr and watch the client until wanted is readable."""
        deadline = time.monotonic() + timeout_s
        self._poll.register(wanted, select.POLLIN)
        try:
            while True:
                now = time.monotonic()
                if self._client_gone_at is not None and now >= self._client_gone_at:
                    raise ClientGone(errno.ECONNRESET, "the client is gone")
                if now >= deadline:
                    raise Silent
                until = min(deadline, self._client_gone_at or deadline)
                ready = dict(self._poll.poll(max(1, (until - now) * 1000)))
                if self._stderr in ready:
                    self._read_stderr()
                if self._client in ready:
                    self._note_client(ready[self._client])
                if wanted in ready:
                    return
        finally:
            self._poll.unregister(wanted)

    def _note_client(self, events: int) -> None:
        if events & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
            raise ClientGone(errno.ECONNRESET, "the client is gone")
        # It sends no more but may still listen. A reset is reported without being asked for.
        self._client_gone_at = time.monotonic() + _GRACE_S
        self._poll.modify(self._client, 0)

    def _read_stderr(self) -> None:
        data = os.read(self._stderr, _PIECE)
        if not data:
            self._poll.unregister(self._stderr)
        self._log_lines(data, last=not data)

    def _read_stderr_left(self) -> None:
        """What is there now. No more: a process in the background may write for ever."""
        os.set_blocking(self._stderr, False)
        try:
            data = os.read(self._stderr, _MAX_LEFT)
        except BlockingIOError:
            data = b""
        self._log_lines(data, last=True)

    def _log_lines(self, data: bytes, *, last: bool) -> None:
        *lines, rest = (self._line + data).split(b"\n")
        if rest and (last or len(rest) > _MAX_LINE):
            lines.append(rest)
            rest = b""
        self._line = rest
        for line in lines:
            self._log(line[:_MAX_LINE].rstrip(b"\r").decode("utf-8", "backslashreplace"))


def start_failure(error: OSError) -> tuple[int, str]:
    """Why a program cannot be started: the status to answer, and the reason."""
    match error.errno:
        case errno.ENOENT:
            return 500, "the interpreter in its first line does not exist"
        case errno.ENOEXEC:
            return 500, "it is no program, and its first line does not begin with #!"
        case errno.EACCES:
            return 500, f"{_who()} may not run it, or not search its directory"
        case errno.E2BIG:
            return 431, "the headers of the request are too large for its environment"
        case errno.EAGAIN | errno.EMFILE | errno.ENFILE | errno.ENOMEM:
            return 503, f"the machine is busy: {error.strerror}"
    return 500, error.strerror or str(error)


def exit_words(code: int) -> str:
    """How a program ended, to be put after other words; "" for success."""
    if code >= 0:
        return f"; exit status {code}" if code else ""
    try:
        return f"; signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"; signal {-code}"


def _who() -> str:
    return (
        "nobody, the user of programs where root runs the server," if _is_root() else "the server"
    )


def _is_root() -> bool:
    return os.geteuid() == 0


def nobody_uid() -> int:
    """The user that programs run as where root runs the server."""
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return _OVERFLOW_ID


def _nobody_gid() -> int:
    try:
        return pwd.getpwnam("nobody").pw_gid
    except KeyError:
        return _OVERFLOW_ID
