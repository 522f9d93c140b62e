"""A page that stays open in Chromium, for scripts that go on: looked at over the DevTools protocol.

https://chromedevtools.github.io/devtools-protocol/, by pipe: JSON texts that end with NUL.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.system.chromium import FLAGS, TIMEOUT_S
from tests.system.tools import need

_START = """\
import fcntl, os, sys
ours = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3]]
for wanted, end in zip((3, 4), ours):
    os.dup2(end, wanted)
    os.close(end)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Chromium reads at descriptor 3 and writes to 4."""


class LivePage:
    """Use `live_page`."""

    def __init__(self, write_end: int, read_end: int) -> None:
        self._write_end = write_end
        self._read_end = read_end
        self._buffer = b""
        self._asked = 0
        self._session = ""
        self.complaints: list[str] = []
        """What the console has shown: exceptions, refused resources, what scripts print."""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        found = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Runtime", "Log", "Page"):
            self._call(f"{domain}.enable")

    def open(self, url: str) -> None:
        self._call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def text(self, selector: str) -> str:
        """What an element shows; empty where it is not there (yet)."""
        quoted = json.dumps(selector)
        return str(self.evaluate(f"document.querySelector({quoted})?.textContent ?? ''"))

    def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._asked += 1
        message = {"id": self._asked, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write_end, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            said = self._read(deadline)
            if said.get("id") == self._asked:
                assert "error" not in said, said
                result: dict[str, Any] = said["result"]
                return result
            if said.get("method") in (
                "Runtime.exceptionThrown",
                "Runtime.consoleAPICalled",
                "Log.entryAdded",
            ):
                self.complaints.append(json.dumps(said["params"]))

    def _read(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self._read_end], [], [], left)
            assert ready, "Chromium does not answer"
            data = os.read(self._read_end, 1 << 16)
            assert data, "Chromium has ended"
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\0")
        said: dict[str, Any] = json.loads(text)
        return said


@contextmanager
def live_page(profile: Path) -> Iterator[LivePage]:
    """A page that is open until the end."""
    chromium = need("chromium")
    to_read, write_end = os.pipe()
    read_end, to_write = os.pipe()
    kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
    with open(profile.with_suffix(".log"), "wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", _START, str(to_read), str(to_write)),
                *(chromium, *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe"),
            ],
            env=kept | {"HOME": str(profile), "XDG_RUNTIME_DIR": str(profile)},
            pass_fds=(to_read, to_write),
            stdout=output,
            stderr=output,
        )
    os.close(to_read)
    os.close(to_write)
    try:
        yield LivePage(write_end, read_end)
    finally:
        os.close(write_end)
        os.close(read_end)
        # It ends by itself when its pipe does.
        try:
            process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
