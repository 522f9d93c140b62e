"""`record: DIR`: what is needed to look into a failed CGI request later, and to run it again.

A record is one file of JSON, named after the request. It holds all that the program was given, and
that may be passwords and cookies: nobody but its owner may read it. A directory holds so many
records and so many bytes of them; the oldest go. Several workers write to it at a time.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forkd.handlers.cgi_failures import exit_words
from forkd.handlers.programs import Ended, Program

log = logging.getLogger("forkd.cgi")

KEPT_BODY: Final = 64 * 1024
"""Bytes of the request's body, from its beginning."""
KEPT_STDERR: Final = 64 * 1024
"""Bytes of what the program said, up to its end."""
MOST_RECORDS: Final = 100
MOST_BYTES: Final = 64 << 20
"""Of all records in a directory."""
VERSION: Final = 1

RECORD_ID: Final = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"[0-9a-f]{16}\.json")
_UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.[0-9]+")
_ABANDONED_S = 60.0
"""By then whoever was writing has died."""


@dataclass(frozen=True, slots=True)
class BlackBox:
    """The records of one route. site, pattern: which route that is."""

    directory: Path
    site: int
    pattern: str
    most_records: int = MOST_RECORDS
    most_bytes: int = MOST_BYTES

    def recorder(self, request_id: str, script: str) -> Record:
        """For one request."""
        return Record(self, request_id, script)

    def keep(self, request_id: str, record: Mapping[str, object]) -> None:
        """Write a record and let the oldest go. Raises OSError, and then leaves nothing behind."""
        data = json.dumps(record, indent=1).encode()
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = self.directory / f".{request_id}.{os.getpid()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with open(os.open(unfinished, flags, 0o600), "wb") as file:
                file.write(data)
            os.rename(unfinished, self.directory / record_name(request_id))
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        self._tidy(time.time())

    def _tidy(self, now: float) -> None:
        """now: seconds since the epoch."""
        records: list[tuple[float, int, str]] = []
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if not (_NAME.fullmatch(entry.name) or _UNFINISHED.fullmatch(entry.name)):
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # another worker was faster
                if not stat.S_ISREG(found.st_mode):
                    continue  # somebody else's: no worker writes it
                if _NAME.fullmatch(entry.name):
                    records.append((found.st_mtime, found.st_size, entry.path))
                elif now - found.st_mtime > _ABANDONED_S:
                    _remove(entry.path)
        kept = 0
        for number, (_, size, path) in enumerate(sorted(records, reverse=True)):
            kept += size
            # The newest stays whatever its size is: it is bounded by what is kept of a request.
            if number and (number >= self.most_records or kept > self.most_bytes):
                _remove(path)


class Record:
    """Implements handlers.recording.Recorder: collects, and writes if the request has failed."""

    def __init__(self, box: BlackBox, request_id: str, script: str) -> None:
        self._box = box
        self._id = request_id
        self._script = script
        self._program: Program | None = None
        self._body = bytearray()
        self._body_size = 0
        self._stderr = b""
        self._stderr_size = 0
        self._failure: tuple[int, str, float] | None = None

    def ordered(self, program: Program) -> None:
        self._program = program

    def body(self, data: bytes) -> None:
        self._body_size += len(data)
        self._body += data[: max(0, KEPT_BODY - len(self._body))]

    def stderr(self, data: bytes) -> None:
        self._stderr_size += len(data)
        self._stderr = (self._stderr + data)[-KEPT_STDERR:]

    def failed(self, status: int, reason: str) -> None:
        self._failure = (status, reason, time.time())

    def ended(self, end: Ended | None) -> None:
        if self._failure is None or self._program is None:
            return
        tail = f"id={self._id} script={self._script}"
        try:
            self._box.keep(self._id, self._contents(self._program, *self._failure, end))
        except OSError as error:
            log.error("cgi not recorded in %s: %s %s", self._box.directory, error.strerror, tail)
        else:
            log.info("cgi recorded: forkd replay %s runs it again %s", self._id, tail)

    def _contents(
        self, program: Program, status: int, reason: str, at: float, end: Ended | None
    ) -> dict[str, object]:
        return {
            "version": VERSION,
            "id": self._id,
            "at": round(at, 3),
            "time": time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(at)),
            "status": status,
            "reason": reason,
            "site": self._box.site,
            "route": self._box.pattern,
            "script": self._script,
            "exit": None if end is None else exit_words(end.status),
            "cpu_s": None if end is None else end.cpu_s,
            "peak_memory": None if end is None else end.peak_memory,
            "argv": [_text(argument) for argument in program.argv],
            "directory": _text(program.directory),
            "environ": {_text(name): _text(value) for name, value in program.environ.items()},
            "body_size": self._body_size,
            "body": pack(bytes(self._body)),
            "stderr_size": self._stderr_size,
            "stderr": pack(self._stderr),
        }


def record_name(request_id: str) -> str:
    """The name of a record's file."""
    return f"{request_id}.json"


def pack(data: bytes) -> dict[str, str]:
    """Bytes for JSON: text where it is UTF-8."""
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def unpack(packed: Mapping[str, str]) -> bytes:
    """Raises ValueError and KeyError for what `pack` has not made."""
    if "text" in packed:
        return packed["text"].encode()
    return base64.b64decode(packed["base64"], validate=True)


def _text(value: bytes) -> str:
    """Lossless: what is not UTF-8 becomes surrogates, which JSON writes as escapes."""
    return value.decode("utf-8", "surrogateescape")


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # another worker was faster, or it may not be removed: the others can go nevertheless
