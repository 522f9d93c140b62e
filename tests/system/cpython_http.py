"""CPython's tests of http.server, with a forkd daemon in place of their HTTPServer.

Each of their cases has a class `request_handler`, starts a thread that serves it in setUp, and
speaks to HOST and PORT. Here the daemon is started when a test first asks for PORT: by then it has
made its files, and has gone to the directory that is to be served.
"""

from __future__ import annotations

import contextlib
import gc
import http.server
import json
import os
import shutil
import socket
import sys
import tempfile
import unittest
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from tests.system.daemon import DEADLINE_S, REPOSITORY, Daemon, started

APPS = REPOSITORY / "tests" / "apps"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one test: what went wrong, whether it asked for a server, why it was skipped."""

    problems: str
    asked: bool
    skipped: str


class Host:
    """A daemon for one class at a time, started anew where a test wants what another did not.

    directory: for what is forkd's own.
    """

    def __init__(self, directory: Path) -> None:
        self.asked = False
        """Whether a port was asked for; set back by whoever wants to know."""
        self._directory = directory
        self._daemon: Daemon | None = None
        self._key: tuple[object, ...] = ()
        self._running = contextlib.ExitStack()

    def port(self, target: str, env: Mapping[str, str]) -> int:
        """Where the class is served from the current directory."""
        self.asked = True
        key = (target, os.getcwd(), env)
        if self._daemon is None or key != self._key:
            self.stop()
            self._write(target)
            self._daemon = self._running.enter_context(started(self._directory, env=env))
            self._key = key
        return self._daemon.port

    def stop(self) -> None:
        """Raises AssertionError where there is a traceback in its log."""
        self._daemon = None
        self._running.close()

    def _write(self, target: str) -> None:
        # Nothing of forkd's lies in the root, since the tests remove it and expect it to be empty.
        configuration = {
            "root": os.getcwd(),
            "control": str(self._directory / "control.sock"),
            "listen": "127.0.0.1:0",
            "workers": {"count": 1},
            "log": {"access": "off", "error": {"file": str(self._directory / "error.log")}},
            "sites": [{"routes": {"/": {"handler": target, "path": str(APPS)}}}],
        }
        (self._directory / "forkd.yaml").write_text(json.dumps(configuration))
        (self._directory / "error.log").unlink(missing_ok=True)


class Runner:
    """Runs tests by their names, `Case.test`."""

    def __init__(self, module: ModuleType, host: Host) -> None:
        self._module = module
        self._host = host

    def run(self, name: str) -> Outcome:
        """What comes of it, with forkd as the server."""
        case, _, method = name.partition(".")
        original = getattr(self._module, case)
        mixin = _HostedCgi if case == "CGIHTTPServerTestCase" else _Hosted
        hosted = type(case, (mixin, original), {"host": self._host})
        result = unittest.TestResult()
        self._host.asked = False
        with contextlib.chdir("."), _default_timeout(DEADLINE_S):
            hosted(method).run(result)
        problems = "\n".join(text for _, text in result.errors + result.failures)
        if problems:
            # A test that broke off leaves a response in a cycle, with an open connection for the
            # end of which the daemon would wait.
            gc.collect()
        reasons = ", ".join(reason for _, reason in result.skipped)
        return Outcome(problems, self._host.asked, reasons)


@contextlib.contextmanager
def hosting(module: ModuleType, directory: Path) -> Iterator[Runner]:
    """Runs the tests of CPython's module; directory: for what is forkd's own."""
    host = Host(directory)
    # Not tmp_path: programs of a server that root runs are nobody's, who cannot search it. Nor that
    # for all temporary files: one case serves the whole of it.
    with (
        tempfile.TemporaryDirectory() as temporary,
        mock.patch.object(tempfile, "tempdir", temporary),
        mock.patch.object(module, "TestServerThread", _NoThread),
        contextlib.ExitStack() as stack,
    ):
        os.chmod(temporary, 0o755)
        stack.callback(host.stop)
        yield Runner(module, host)


def cases(module: ModuleType) -> dict[str, type[unittest.TestCase]]:
    """All of its cases that have tests."""
    return {
        name: found
        for name, found in vars(module).items()
        if isinstance(found, type) and issubclass(found, unittest.TestCase) and names_of(found)
    }


def names_of(case: type[unittest.TestCase]) -> list[str]:
    return list(unittest.TestLoader().getTestCaseNames(case))


class _NoThread:
    """In place of the thread that serves the class in this process."""

    def __init__(self, case: Any, *_: object) -> None:
        self._case = case

    def start(self) -> None:
        self._case.server_started.set()

    def stop(self) -> None:
        """There is nothing to stop: the daemon may be of use to the next test."""


class _Hosted(unittest.TestCase):
    """Comes before a case of CPython among the bases of what is run."""

    host: Host
    request_handler: type
    HOST = "127.0.0.1"

    @property
    def PORT(self) -> int:  # noqa: N802  # the name that CPython's tests use
        return self.host.port(*self.served())

    def served(self) -> tuple[str, Mapping[str, str]]:
        """The class as the configuration names it, and the daemon's environment."""
        return f"{self.request_handler.__module__}:{self.request_handler.__qualname__}", {}


class _HostedCgi(_Hosted):
    """The CGI tests, of forkd.compat's class, and for root as well.

    CPython skips them where root runs them: its programs are nobody's, who gets into no directory
    that mkdtemp() makes, and maybe not to the interpreter.
    """

    __unittest_skip__ = False
    parent_dir: str

    def setUp(self) -> None:
        python = sys.executable
        if os.geteuid() == 0:
            python = shutil.which("python3", path="/usr/local/bin:/usr/bin") or python
        with mock.patch.object(sys, "executable", python):
            super().setUp()
        os.chmod(self.parent_dir, 0o755)
        # Each test has a directory of its own, which is gone now.
        self.addCleanup(self.host.stop)

    def served(self) -> tuple[str, Mapping[str, str]]:
        # What a test has done to the class in this process has to reach the one that is hosted.
        directories = http.server.CGIHTTPRequestHandler.cgi_directories
        return "cgi_class:Handler", {"CGI_DIRECTORIES": " ".join(directories)}


@contextlib.contextmanager
def _default_timeout(seconds: float) -> Iterator[None]:
    """The tests wait without a deadline."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
