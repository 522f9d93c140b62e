"""The control socket: JSON lines, one request and one answer each. Only its owner may connect."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from forkd.errors import OperationError
from forkd.loop.loop import Loop
from forkd.loop.stream import Stream
from forkd.system.sockets import answers, listen_unix, peer_pid

log = logging.getLogger("forkd.master")

_LONGEST = 65536
_MOST_DESCRIPTORS = 8

DESCRIPTORS: Final = "descriptors"
"""Under this key a command finds those that came with its request, as a tuple. They are closed when
it returns."""

Reply = Callable[[dict[str, object]], None]
Command = Callable[[dict[str, object], Reply], None]
"""A command answers by calling reply, at once or when it is done."""


class ControlServer:
    """Listens on the control socket and calls the command that a client names."""

    def __init__(
        self,
        loop: Loop,
        path: Path,
        commands: Mapping[str, Command],
        welcomes: Callable[[int], bool],
        *,
        replaces: bool = False,
    ) -> None:
        """welcomes: whether the process with a pid (0: not known) may give commands. replaces:
        another forkd that answers there is going to be replaced (`take_over`).

        Raises OperationError, also where another forkd answers there.
        """
        self._loop = loop
        self._path = path
        self._commands = commands
        self._welcomes = welcomes
        self._sessions: set[_Session] = set()
        if not replaces and answers(str(path)):
            raise OperationError(
                f"forkd is already running: it answers on the control socket {path} "
                f"(another instance needs its own `control`)"
            )
        try:
            path.parent.mkdir(mode=0o755, exist_ok=True)
        except OSError as error:
            raise OperationError(
                f"cannot make the directory {path.parent} of the control socket: {error.strerror}"
            ) from None
        # Until it takes over it listens in another place; the name is no longer than the other one.
        self._here = path.with_name(f".{os.getpid()}") if replaces else path
        self._socket = listen_unix(str(self._here), 0o600, -1, -1)
        self._file = _identity(self._here)
        loop.watch(self._socket.fileno(), self._on_ready)

    def close(self) -> None:
        """Close, and leave the answers that are on their way to the kernel."""
        for session in list(self._sessions):
            session.close()
        self._loop.forget(self._socket.fileno())
        self._socket.close()
        # Another master may have taken over the place.
        if self._file == _identity(self._here):
            os.unlink(self._here)

    def take_over(self) -> None:
        """From now on whoever connects to the control socket connects to this one.

        Raises OperationError.
        """
        try:
            os.replace(self._here, self._path)
        except OSError as error:
            raise OperationError(
                f"cannot take over the control socket {self._path}: {error.strerror}"
            ) from None
        self._here = self._path

    def _on_ready(self, _mask: int) -> None:
        try:
            sock, _ = self._socket.accept()
        except OSError:
            return
        sock.setblocking(False)
        commands, pid = self._commands, peer_pid(sock)
        if not self._welcomes(pid):
            log.warning("control socket: refused to pid %d, of a program in a sandbox", pid)
            commands = dict.fromkeys(commands, _refuse)
        self._sessions.add(_Session(self._loop, sock, commands, self._sessions.discard))


def _refuse(_request: dict[str, object], reply: Reply) -> None:
    reply({"ok": False, "reasons": ["programs in a sandbox may not give commands"]})


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells one file from another; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class _TakingSocket(socket.socket):
    """Takes the descriptors that come with what it receives (unix(7), SCM_RIGHTS)."""

    def __init__(self, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self.taken: list[int] = []

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        data, descriptors, _, _ = socket.recv_fds(
            self, bufsize, _MOST_DESCRIPTORS, flags | socket.MSG_CMSG_CLOEXEC
        )
        self.taken += descriptors
        return data

    def close(self) -> None:
        self.let_go()
        super().close()

    def let_go(self) -> None:
        """Close those that nobody has wanted."""
        while self.taken:
            os.close(self.taken.pop())


class _Session(Stream):
    """One client of the control socket."""

    __slots__ = ("_buffer", "_commands", "_over", "_socket")

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        commands: Mapping[str, Command],
        over: Callable[[_Session], None],
    ) -> None:
        self._socket = _TakingSocket(fileno=sock.detach())
        self._socket.setblocking(False)
        super().__init__(loop, self._socket)
        self._commands = commands
        self._over = over
        self._buffer = b""

    def received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > _LONGEST:
            self.finish()
            return
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            self._command(line)

    def _command(self, line: bytes) -> None:
        try:
            request = json.loads(line)
            command = self._commands[request["command"]]
        except (ValueError, TypeError, KeyError, RecursionError):
            known = ", ".join(sorted(self._commands))
            self._reply({"ok": False, "reasons": [f"not a command; there are: {known}"]})
            return
        request.pop(DESCRIPTORS, None)
        if self._socket.taken:
            request[DESCRIPTORS] = tuple(self._socket.taken)
        try:
            command(request, self._reply)
        finally:
            self._socket.let_go()

    def _reply(self, answer: dict[str, object]) -> None:
        if not self.closed:
            self.send(json.dumps(answer).encode() + b"\n")

    def input_ended(self) -> None:
        pass  # it may still wait for its answer; a close of both ways is a reset or a hang-up

    def drained(self) -> None:
        pass

    def lost(self, error: OSError) -> None:  # noqa: ARG002 whoever asked is gone, that is all
        self.finish()

    def finish(self) -> None:
        self.close()
        self._over(self)
