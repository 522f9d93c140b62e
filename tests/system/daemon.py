"""A real forkd for tests: started with a configuration, watched by deadlines, stopped by pid."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DEADLINE_S = 20.0
"""How long anything may take that should come at once. Nothing waits this long when all is well."""

FORKD = (sys.executable, "-m", "forkd")
REPOSITORY = Path(__file__).resolve().parents[2]


def eventually(condition: Callable[[], object], what: str, timeout: float = DEADLINE_S) -> None:
    """Wait until condition() is true; fail with `what` when the deadline passes."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what}")
        time.sleep(0.01)


def environment(**more: str) -> dict[str, str]:
    """What every forkd of the tests is started with: this checkout, and nothing of the caller's."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
    return kept | {"PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"} | more


def run_forkd(
    *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end."""
    return subprocess.run(
        [*FORKD, *arguments],
        cwd=cwd,
        env=environment(**(env or {})),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


class Daemon:
    """A forkd in the foreground. Its directory holds forkd.yaml, access.log, error.log."""

    def __init__(self, directory: Path, process: subprocess.Popen[bytes]) -> None:
        self.directory = directory
        self.process = process
        self.control = directory / "control.sock"

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def config(self) -> Path:
        return self.directory / "forkd.yaml"

    @property
    def error_log(self) -> str:
        path = self.directory / "error.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def access_log(self) -> str:
        path = self.directory / "access.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def output(self) -> str:
        """What it wrote on stdout and stderr."""
        return (self.directory / "output").read_text(errors="replace")

    @property
    def port(self) -> int:
        """The port of the first TCP listener."""
        for listener in self.status()["listeners"]:
            if not listener["address"].startswith("unix:"):
                return int(listener["address"].rpartition(":")[2])
        raise AssertionError("no TCP listener")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`forkd COMMAND ... --control PATH`."""
        return run_forkd(*arguments, "--control", str(self.control))

    def ask(self, **request: object) -> dict[str, Any]:
        """One request on the control socket, without the cost of a process."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(DEADLINE_S)
            sock.connect(str(self.control))
            sock.sendall(json.dumps(request).encode() + b"\n")
            with sock.makefile("rb") as stream:
                answer: dict[str, Any] = json.loads(stream.readline())
        return answer

    def status(self) -> dict[str, Any]:
        return self.ask(command="status")

    def reload(self) -> dict[str, Any]:
        """Reload and wait for the outcome: {"ok": bool, "reasons": [...]}."""
        return self.ask(command="reload", wait=True)

    def workers(self, state: str = "ready") -> list[dict[str, Any]]:
        return [worker for worker in self.status()["workers"] if worker["state"] == state]

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait_for_log(self, text: str) -> str:
        """The first line of the error log that holds text."""
        eventually(lambda: text in self.error_log, f"{text!r} in the error log")
        return next(line for line in self.error_log.splitlines() if text in line)

    def children(self) -> set[int]:
        """Pids of the master's children."""
        return children_of(self.pid)

    def stop(self) -> int:
        """TERM, and the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"did not stop:\n{self.error_log}\n{self.output}") from None


def children_of(pid: int) -> set[int]:
    """Direct children, by /proc."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        found |= {int(number) for number in (task / "children").read_text().split()}
    return found


def is_running(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


CONFIG = """\
root: {directory}
control: {directory}/control.sock
{top}
listen: {listen}
workers: {workers}
limits: {limits}
log:
  access: {{file: access.log}}
  error: {{file: error.log, level: {level}}}
sites:
  - routes:
{routes}
"""


def write_config(
    directory: Path,
    routes: Mapping[str, str],
    *,
    listen: str = "127.0.0.1:0",
    workers: str = "{count: 2}",
    limits: str = "{}",
    level: str = "info",
    top: str = "",
) -> Path:
    """Write forkd.yaml: routes are pattern -> action as it stands in YAML, `top` is more lines."""
    lines = "\n".join(
        f"      {json.dumps(pattern)}: {action}" for pattern, action in routes.items()
    )
    path = directory / "forkd.yaml"
    path.write_text(
        CONFIG.format(
            directory=directory,
            routes=lines,
            listen=listen,
            workers=workers,
            limits=limits,
            level=level,
            top=top,
        )
    )
    return path


@contextmanager
def started(
    directory: Path,
    routes: Mapping[str, str] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    pass_fds: Sequence[int] = (),
    **options: str,
) -> Iterator[Daemon]:
    """A daemon that serves, stopped at the end. Without routes the forkd.yaml there is used.

    prefix: a command that becomes forkd by exec, keeping the pid.
    A fault inside forkd (a stack in its log) fails the test, whatever it was about.
    """
    if routes is not None:
        write_config(directory, routes, **options)
    with open(directory / "output", "wb") as output:
        process = subprocess.Popen(
            [*prefix, *FORKD, "-c", str(directory / "forkd.yaml")],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment(**(env or {})),
            pass_fds=pass_fds,
        )
    daemon = Daemon(directory, process)
    try:
        eventually(lambda: _serves(daemon), "forkd serves")
        yield daemon
    finally:
        daemon.stop()
    assert "Traceback" not in daemon.error_log + daemon.output, daemon.error_log + daemon.output


def _serves(daemon: Daemon) -> bool:
    if daemon.process.poll() is not None:
        raise AssertionError(f"forkd did not start:\n{daemon.output}\n{daemon.error_log}")
    try:
        return bool(daemon.status()["state"] == "running")
    except (OSError, ValueError):
        return False
