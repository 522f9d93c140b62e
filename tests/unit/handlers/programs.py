"""A CGI program and a client that do what a test says, around a real CgiJob."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from forkd.config.settings import CgiRoute
from forkd.handlers.base import Headers, Request, Response
from forkd.handlers.cgi_job import CgiJob
from forkd.handlers.programs import Ended, Program, Running, Standard, Watcher
from forkd.handlers.recording import Recorder
from forkd.loop.stream import FileRange
from tests.unit.handlers.requests import request
from tests.unit.stepped import SteppedLoop
from tests.unit.written import written

OK = Ended(0, 0.01, 4096)


class FakeProgram:
    """The far side of the pipes. Implements Running and, since there is but one, Launcher."""

    def __init__(self) -> None:
        self.refusal: OSError | None = None
        self.ordered: Program | None = None
        self.ends: dict[int, int] = {}
        """Its descriptors by their numbers: 0, 1, 2."""
        self.calls: list[str] = []
        self._watcher: Watcher | None = None

    def launch(self, program: Program, descriptors: Standard, watcher: Watcher) -> Running:
        if self.refusal is not None:
            raise self.refusal
        assert self.ordered is None, "one request, one program"
        self.ordered = program
        self.ends = {
            number: os.open(os.devnull, os.O_RDONLY) if end is None else os.dup(end)
            for number, end in enumerate(descriptors)
        }
        os.set_blocking(self.ends[1], False)
        self._watcher = watcher
        return self

    @property
    def watcher(self) -> Watcher:
        assert self._watcher is not None, "the program was not ordered"
        return self._watcher

    def forget_watcher(self) -> None:
        self._watcher = None

    def look(self) -> None:
        """What becomes of it is told by the test."""

    def expect_end(self) -> None:
        pass

    def await_end(self) -> None:
        pass

    def terminate(self) -> None:
        self.calls.append("terminate")

    def close(self) -> None:
        self.calls.append("close")

    def say(self, data: bytes) -> int:
        return os.write(self.ends[1], data)

    def complain(self, data: bytes) -> None:
        os.write(self.ends[2], data)

    def read(self, size: int = 1 << 20) -> bytes:
        os.set_blocking(self.ends[0], False)
        return os.read(self.ends[0], size)

    def shut(self, *numbers: int) -> None:
        for number in numbers or list(self.ends):
            if number in self.ends:
                os.close(self.ends.pop(number))


class FakeExchange:
    """What the client's side would see, as a list of calls."""

    def __init__(self, loop: SteppedLoop, asked: Request) -> None:
        self.loop = loop
        self.request = asked
        self.queued = 0
        self.begun = False
        self.over = False
        self.complete = False
        self.completes_at = 0
        """Bytes of the body with which it is; 0: the test says when."""
        self.body = b""
        self.length: int | None = None
        self.calls: list[str] = []

    def begin(
        self, status: int, reason: bytes, headers: Headers, length: int | None, body: bytes = b""
    ) -> None:
        self.begun = True
        self.body += body
        self._count()
        self.length = length
        self.calls.append(f"begin {status}{' ' + reason.decode() if reason else ''}")
        self.headers = list(headers)

    def begin_raw(
        self, status: int, data: bytes, length: int | None, closes: bool, body: bytes = b""
    ) -> None:
        self.begun = True
        self.length = length
        self.raw_head = data
        self.body += body
        self.calls.append(f"begin raw {status}{' closes' if closes else ''}")

    def close_after(self) -> None:
        self.calls.append("close after")

    def send_file(self, file: FileRange) -> None:
        self.body += os.pread(file.fd, file.count, file.offset)
        self.calls.append("send file")
        file.close()

    def write(self, data: bytes) -> None:
        self.body += data
        self._count()

    def _count(self) -> None:
        if self.completes_at and len(self.body) >= self.completes_at:
            self.complete = True

    def finish(self) -> None:
        self.calls.append("finish")

    def answer(self, response: Response) -> None:
        self.calls.append(f"answer {response.status}")
        self.response = response

    def fail(self, status: int) -> None:
        self.calls.append(f"fail {status}")

    def redirect(self, target: bytes) -> None:
        self.calls.append(f"redirect {target.decode()}")

    def pass_on(self, target: bytes) -> None:
        raise AssertionError(f"a program has nothing to pass on: {target!r}")

    def pause_body(self) -> None:
        self.calls.append("pause body")

    def resume_body(self) -> None:
        self.calls.append("resume body")


class Scene:
    """A job between a fake client and a fake program."""

    def __init__(
        self,
        loop: SteppedLoop,
        *headers: str,
        script: str = "/srv/x.cgi",
        asked: Request | None = None,
        recorder: Recorder | None = None,
        **options: object,
    ) -> None:
        self.loop = loop
        self.program = FakeProgram()
        method = "POST" if headers else "GET"
        asked = asked or request("/cgi-bin/x.cgi", *headers, method=method)
        self.exchange = FakeExchange(loop, asked)
        settings = written(CgiRoute, **{"cgi": Path("/srv"), "timeout": "10s", **options})
        self.job = CgiJob(settings, script, self.program, self._order, recorder)
        self.size: int | None = -1

    def _order(self, size: int | None) -> Program:
        self.size = size
        return Program((b"/srv/x.cgi",), {}, b"/srv")

    def start(self, pid: int = 4711, *, lasts: bool = True) -> Scene:
        self.job.start(self.exchange)
        if pid and self.program.ordered is not None:
            self.program.watcher.started(pid)
        if lasts and self.program.ends:
            self.program.watcher.lasts()
        self.loop.settle()
        return self

    def end(self, end: Ended | None = OK) -> None:
        self.program.watcher.ended(end)
        self.loop.settle()

    def do(self, steps: Iterable[str]) -> None:
        """Steps: `out` and `err` close that stream, `end` is the program's end."""
        for step in steps:
            match step:
                case "out":
                    self.program.shut(1)
                case "err":
                    self.program.shut(2)
                case _:
                    self.program.watcher.ended(OK)
            self.loop.settle()

    def let_go(self) -> None:
        """Hold the job no longer."""
        self.program.forget_watcher()
        del self.job

    def assert_over(self) -> None:
        """Nothing is left: no descriptor is watched, the program was let go of, once."""
        self.program.shut()
        assert self.loop.watched == set()
        assert self.program.calls.count("close") == 1
        self.loop.pass_time(30)
        assert self.program.calls.count("close") == 1
