"""A question to the master whose answer is waited for elsewhere: a hung master must not make the
keys dead."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Question:
    """One request on a connection of its own. Waited for by its descriptor, until `deadline`."""

    def __init__(self, path: Path, request: Mapping[str, object], deadline: float) -> None:
        """deadline: monotonic seconds. Raises OSError where nobody listens; BlockingIOError is one,
        for a queue that is full (connect(2))."""
        self.deadline = deadline
        self._buffer = b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # A Unix socket connects or refuses at once, and the line fits its buffer.
            self._socket.setblocking(False)
            self._socket.connect(os.fspath(path))
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> dict[str, Any] | None:
        """What has come; None while the answer is not whole. Raises OSError, also where the master
        went without an answer, and ValueError for what is no answer."""
        try:
            data = self._socket.recv(1 << 20)
        except BlockingIOError:
            return None
        if not data:
            raise ConnectionResetError("the master closed the connection without an answer")
        self._buffer += data
        if b"\n" not in data:
            return None
        answer = json.loads(self._buffer)
        if not isinstance(answer, dict):
            raise ValueError("an answer is a JSON object")
        return answer

    def close(self) -> None:
        self._socket.close()
