"""One client: sends the pieces of a conversation, and reads at the same time."""

from __future__ import annotations

import enum
import select
import socket
import struct
import time

from tests.fuzz.mutations import Conversation, End

PATIENCE_S = 30.0
"""From the last thing that is sent or received: no limit of the server is as long."""

STALL_S = 1.0


class Ended(enum.Enum):
    """How a connection ended."""

    CLOSED = enum.auto()
    RESET = enum.auto()
    LEFT = enum.auto()
    """The client went, without reading to the end."""
    HANGS = enum.auto()


class Client:
    """Speaks once. `received` is everything that came."""

    def __init__(self, port: int, conversation: Conversation) -> None:
        self.received = bytearray()
        self._conversation = conversation
        self._socket = socket.socket()
        if conversation.end is End.STALL:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.settimeout(PATIENCE_S)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setblocking(False)
        self._poll = select.poll()

    def speak(self) -> Ended:
        try:
            for pause_s, data in self._conversation.pieces:
                if self._read_for(pause_s) or self._send(data):
                    break
            return self._finish()
        except (ConnectionResetError, BrokenPipeError):
            return Ended.RESET
        except TimeoutError:
            return Ended.HANGS
        finally:
            self._socket.close()

    def _finish(self) -> Ended:
        match self._conversation.end:
            case End.RESET:
                linger = struct.pack("ii", 1, 0)
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return Ended.LEFT
            case End.HALF_CLOSE:
                try:
                    self._socket.shutdown(socket.SHUT_WR)
                except OSError:
                    return Ended.RESET  # not connected any more
            case End.STALL:
                self._wait(0, STALL_S)
            case End.READ:
                pass
        while not self._read_for(PATIENCE_S):
            pass
        return Ended.CLOSED

    def _wait(self, events: int, timeout_s: float) -> int:
        self._poll.register(self._socket, events)
        found = self._poll.poll(timeout_s * 1000)
        return found[0][1] if found else 0

    def _read(self) -> bool:
        """Whether the server has closed its side."""
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return False
        self.received += data
        return not data

    def _read_for(self, pause_s: float) -> bool:
        """Read while the pause lasts; for the whole patience, until something comes."""
        deadline = time.monotonic() + pause_s
        while (left := deadline - time.monotonic()) > 0:
            if self._wait(select.POLLIN, left):
                if self._read():
                    return True
                if pause_s == PATIENCE_S:
                    return False
        if pause_s == PATIENCE_S:
            raise TimeoutError
        return False

    def _send(self, data: bytes) -> bool:
        view = memoryview(data)
        while view:
            events = self._wait(select.POLLIN | select.POLLOUT, PATIENCE_S)
            if not events:
                raise TimeoutError
            if events & ~select.POLLOUT and self._read():
                return True
            if events & select.POLLOUT:
                view = view[self._socket.send(view) :]
        return False
