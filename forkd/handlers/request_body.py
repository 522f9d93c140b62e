"""A request's body on its way from the loop to a thread that reads it.

A body of ordinary size is whole before the thread begins. A larger one lies in an unlinked file; of
a very large one the thread may read the beginning while the rest is still coming.
"""

from __future__ import annotations

import io
import os
import tempfile
import threading
from collections.abc import Callable
from typing import BinaryIO, cast

IN_MEMORY = 64 * 1024
"""Bytes. More than that goes to a file."""


class RequestBody:
    """`feed`, `end` and `fail` are for the loop, `open` and what it gives for one other thread."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._file: BinaryIO | None = None
        self.size = 0
        """Bytes that have come."""
        self.ended = False
        self.failed = False
        """The rest will never come."""
        self.pauses = 0
        """How often its reader has begun to wait for more."""
        self.is_awaited = False
        """It is waiting now."""
        self._news = threading.Event()

    def feed(self, data: bytes) -> None:
        """Raises OSError where the file cannot be written."""
        if self._file is None:
            self._pieces.append(data)
            if self.size + len(data) > IN_MEMORY:
                self._file = cast(BinaryIO, tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
                data = b"".join(self._pieces)
                self._pieces.clear()
                self._write(self._file, data)
                self.size = 0
        else:
            self._write(self._file, data)
        self.size += len(data)
        self._news.set()

    @staticmethod
    def _write(file: BinaryIO, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]

    def end(self) -> None:
        self.ended = True
        self._news.set()

    def fail(self) -> None:
        self.failed = True
        self._news.set()

    def open(self, going_to_wait: Callable[[], None]) -> BinaryIO:
        """The body as a file to be read. `going_to_wait` is called before a read that has to.

        A read raises ConnectionResetError where the rest of the body will never come.
        """
        if self._file is None:
            return io.BytesIO(b"".join(self._pieces))
        return cast(
            BinaryIO, io.BufferedReader(_Reader(self, self._file, going_to_wait), IN_MEMORY)
        )

    def wait(self, at: int) -> None:
        """Until there is more than `at`, or an end."""
        self.pauses += 1
        self.is_awaited = True
        while not self._has_more(at):
            self._news.clear()
            if not self._has_more(at):  # it may have come before the event was cleared
                self._news.wait()
        self.is_awaited = False

    def _has_more(self, at: int) -> bool:
        return self.size > at or self.ended or self.failed

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class _Reader(io.RawIOBase):
    def __init__(
        self, body: RequestBody, file: BinaryIO, going_to_wait: Callable[[], None]
    ) -> None:
        self._body = body
        self._file = file
        self._going_to_wait = going_to_wait
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer)).cast("B")
        body = self._body
        if body.size <= self._at and not body.ended:
            self._going_to_wait()
            body.wait(self._at)
        there = body.size - self._at
        if not there:
            if body.failed:
                raise ConnectionResetError("the body of the request ended early")
            return 0
        # Asked for each time: of a file that is closed by then, the number may be another's.
        count = os.preadv(self._file.fileno(), [view[:there]], self._at)
        self._at += count
        return count
