"""forkd inside another program: `forkd.Server`, a daemon that is started and stopped by it.

It is a process of its own, since a master must have no threads and no application in it. What is
bound here is handed over as systemd would do it (sd_listen_fds(3)), so that clients may connect
before it serves, and while it is started anew.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from forkd.config.address import TcpAddress
from forkd.config.settings import Settings
from forkd.errors import ConfigError, OperationError
from forkd.system.systemd import VARIABLES

_QUEUE = 4096
_LOOK_EVERY_S = 0.01
_FIRST_DESCRIPTOR = 3
_ANSWER_S = 5.0
_STOP_S = 10.0
"""Beyond what the configuration gives requests in flight."""


class Server:
    """Use: `with Server(configuration) as server:`, or bind, start and stop by hand.

    `configuration` is what stands in forkd.yaml, as a mapping. Relative paths in it begin in
    `directory`, or in the current one. `control` may be left out; TCP addresses may have port 0.
    Every call may raise OperationError: one line for each reason.
    """

    def __init__(
        self, configuration: Mapping[str, object], directory: str | os.PathLike[str] = "."
    ) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="forkd-")
        self._directory = Path(directory).resolve()
        self._configuration: dict[str, object] = {
            "root": str(self._directory),
            "control": str(Path(self._home.name, "control.sock")),
            **configuration,
        }
        try:
            self._settings = self._check()
        except OperationError:
            self._home.cleanup()
            raise
        self._bound: dict[str, socket.socket] = {}
        """Our listeners by the names under which the daemon gets them."""
        self._process: subprocess.Popen[bytes] | None = None
        self.addresses: tuple[str, ...] = ()
        """Where clients connect, once bound: as in a configuration, with the ports that are."""

    @property
    def url(self) -> str:
        """Of the first address, where that is a TCP one."""
        if not self.addresses or self.addresses[0].startswith(("unix:", "fd:")):
            raise OperationError("there is no URL: bind a TCP address first")
        return f"http://{self.addresses[0]}"

    @property
    def pid(self) -> int | None:
        """Of the master; None before start and after stop."""
        return self._process.pid if self._process is not None else None

    def bind(self) -> tuple[str, ...]:
        """Open the TCP listeners: from here on clients can connect. The addresses of all."""
        if self.addresses:
            return self.addresses
        listen, addresses = [], []
        for number, one in enumerate(self._settings.listen):
            if not isinstance(one.address, TcpAddress):
                listen.append(self._as_written(number))
                addresses.append(str(one.address))
                continue
            name = f"listen{number}"
            self._bound[name] = sock = _bound(one.address)
            host, port = sock.getsockname()[:2]
            listen.append({**self._as_written(number), "address": f"fd:{name}"})
            addresses.append(str(TcpAddress(host, port)))
        self._configuration["listen"] = listen
        self.addresses = tuple(addresses)
        return self.addresses

    def start(self) -> None:
        """Start the daemon; it serves when this comes back."""
        if self._process is not None:
            raise OperationError("it is running already")
        self.bind()
        config = Path(self._home.name, "forkd.yaml")
        config.write_text(json.dumps(self._configuration))
        descriptors = {name: sock.fileno() for name, sock in self._bound.items()}
        with open(self._output, "wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, json.dumps(descriptors), "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stderr=output,
                pass_fds=tuple(descriptors.values()),
                env=_environment(),
            )
        while not self._serves():
            if self._process.poll() is not None:
                self._process = None
                raise OperationError(self.log.strip() or "it did not start, and did not say why")
            time.sleep(_LOOK_EVERY_S)

    def stop(self) -> None:
        """Drain and end the daemon. What was bound stays bound: it may be started again."""
        if (process := self._process) is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(self._settings.workers.shutdown_timeout + _STOP_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)  # the master ends all that is left, at once
            process.wait(_STOP_S)
        self._process = None

    def reload(self) -> None:
        """Import applications anew, and take up what has changed otherwise."""
        workers = self._settings.workers
        patience = workers.boot_timeout + workers.shutdown_timeout + _STOP_S
        try:
            answer = self._ask({"command": "reload", "wait": True}, patience)
        except OSError as error:
            raise OperationError(f"it does not answer: {error}") from None
        if not answer.get("ok"):
            reasons = answer.get("reasons")
            texts = map(str, reasons) if isinstance(reasons, list) else ("it failed",)
            raise OperationError("\n".join(texts))

    def close(self) -> None:
        """Stop, and give up all that it holds."""
        self.stop()
        for sock in self._bound.values():
            sock.close()
        self._bound.clear()
        self._home.cleanup()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def log(self) -> str:
        """What it has written to stderr: its error log, unless the configuration has a file."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    @property
    def _output(self) -> Path:
        return Path(self._home.name, "stderr")

    def _check(self) -> Settings:
        # Here, since this module is also the daemon's own, which has no place for what reads.
        from forkd.config.load import load_text

        try:
            text = json.dumps(self._configuration)
            return load_text(text, "forkd.Server", os.environ)
        except (TypeError, ValueError) as error:
            raise OperationError(f"the configuration is not plain data: {error}") from None
        except ConfigError as error:
            # There is no file: places in one would say nothing.
            raise OperationError("\n".join(one.message for one in error.problems)) from None

    def _as_written(self, number: int) -> dict[str, object]:
        listen = self._configuration.get("listen")
        one = listen[number] if isinstance(listen, list) else listen
        if isinstance(one, Mapping):
            return dict(one)
        return {"address": str(self._settings.listen[number].address)}

    def _serves(self) -> bool:
        try:
            return self._ask({"command": "status"}).get("state") == "running"
        except OSError:
            return False

    def _ask(self, request: Mapping[str, object], patience: float = _ANSWER_S) -> dict[str, object]:
        """Raises OSError where nobody answers in time."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(patience)
            sock.connect(str(self._settings.control))
            sock.sendall(json.dumps(request).encode() + b"\n")
            with sock.makefile("rb") as stream:
                answer: dict[str, object] = json.loads(stream.readline() or b"{}")
        return answer


def _environment() -> dict[str, str]:
    """Ours, without what a service manager means for this process alone."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _bound(address: TcpAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        sock = socket.create_server((address.host, address.port), family=family, backlog=_QUEUE)
    except OSError as error:
        raise OperationError(f"cannot listen on {address}: {error.strerror}") from None
    sock.setblocking(False)
    return sock


def _run(descriptors: Mapping[str, int], arguments: list[str]) -> int:
    """In the new process: give the descriptors the numbers that sd_listen_fds(3) asks for."""
    from forkd.cli import main

    # Out of the way first: a number that is wanted may be the present one of another.
    moved = [os.dup(number) for number in descriptors.values()]
    while moved and min(moved) < _FIRST_DESCRIPTOR + len(moved):
        moved[moved.index(min(moved))] = os.dup(min(moved))
    for wanted, number in enumerate(moved, _FIRST_DESCRIPTOR):
        os.dup2(number, wanted)
        os.close(number)
    if descriptors:
        os.environ["LISTEN_PID"] = str(os.getpid())
        os.environ["LISTEN_FDS"] = str(len(descriptors))
        os.environ["LISTEN_FDNAMES"] = ":".join(descriptors)
    return main(arguments)


if __name__ == "__main__":
    sys.exit(_run(json.loads(sys.argv[1]), sys.argv[2:]))
