"""A daemon whose programs do what a test asks (tests/apps/attempts.py); what is left of them."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from forkd.system import seccomp
from forkd.system.landlock import abi
from tests.system.daemon import DEADLINE_S, Daemon, children_of, eventually, started
from tests.system.processes import open_files
from tests.system.scripts import Scripts
from tests.system.sites import HI, open_to_all, script
from tests.system.tools import need
from tests.system.wire import Wire, request

PROGRAM = "attempts.py"
OWN_USER = "games"
"""Of programs that have one of their own: one of Debian's whose processes no other test counts."""
AT_ONCE_S = 5.0
"""Within which others are answered, whatever a program does; on a quiet machine it takes 10 ms."""

_ABI_OF_SCOPES = 6

IDENTITIES = ("user: www-data", "") if os.geteuid() == 0 else ("",)
"""A line of the configuration: of whom the workers are, and the programs that have no own user."""


def need_sandbox() -> None:
    """By the rule of need(): in CI it must be there."""
    if abi() >= _ABI_OF_SCOPES and seccomp.available():
        return
    reason = f"needs a kernel with Landlock ABI {_ABI_OF_SCOPES}, and seccomp filters"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; CI must have it")
    pytest.skip(reason)


def unix_sockets() -> set[str]:
    """All of the machine, as open_files() tells them (proc_net(5))."""
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    return {f"socket:[{line.split()[6]}]" for line in lines}


class Fort(Scripts):
    """The daemon, and what is left of programs."""

    def __init__(self, daemon: Daemon, temporary: Path, identity: str) -> None:
        """temporary: where its processes have their temporary files."""
        super().__init__(daemon)
        self.identity = identity
        """One of IDENTITIES."""
        self._temporary = temporary
        self._family = sorted(daemon.children())
        self._open = self._descriptors()

    def _children(self) -> set[int]:
        return {child for pid in self._family for child in children_of(pid)}

    def _descriptors(self) -> dict[int, list[str]]:
        """The kinds of the open descriptors of each worker and spawner, but for the sockets on
        which workers hear of programs: those they keep for the next ones."""
        kept = unix_sockets()
        workers = {worker["pid"] for worker in self.daemon.workers()}
        return {
            pid: sorted(
                link.partition(":[")[0]
                for link in open_files(pid)
                if pid not in workers or link not in kept
            )
            for pid in self._family
        }

    def ask(self, target: str, *expressions: str) -> list[Any]:
        """What became of each expression in a program. See tests/apps/attempts.py."""
        with self.send(target, *expressions) as wire:
            answer = wire.answer()
        assert answer.status == 200, self.daemon.error_log
        return [json.loads(line) for line in answer.text.splitlines()]

    def send(
        self, target: str, *expressions: str, query: str = "", more: int = 0, receive: int = 0
    ) -> Wire:
        """Ask, and leave the answer to be read. more: bytes of the body that are kept back."""
        wire = Wire(self.port, receive)
        body = json.dumps(expressions).encode() + b"\n"
        headers = (f"Content-Length: {len(body) + more}", "Connection: close")
        path = f"{target}/{PROGRAM}" + (f"?{query}" if query else "")
        wire.send(request(path, *headers, method="POST", body=body))
        return wire

    @contextmanager
    def sibling(self, target: str) -> Iterator[tuple[int, Wire]]:
        """The pid of a program that stands there (`stand()`), and the wire to let it go by."""
        with self.send(target, "stand()", more=1) as wire:
            assert wire.head().status == 200
            yield int(wire.chunk()), wire

    def check_others(self) -> None:
        """Others are served as if nothing was the matter."""
        for target, text in (("/page.txt", "page"), ("/cgi-bin/hi.sh", "hi\n")):
            began = time.monotonic()
            with Wire(self.port) as wire:
                answer = wire.get(target)
            assert (answer.status, answer.text) == (200, text)
            assert time.monotonic() - began < AT_ONCE_S

    def check_nothing_left(self, timeout: float = DEADLINE_S) -> None:
        """No process, no descriptor, no file; all of forkd is still there."""
        eventually(lambda: not self.running() | self._children(), "no program is left", timeout)
        eventually(lambda: self._descriptors() == self._open, "what is open is as before", timeout)
        assert sorted(self.daemon.children()) == self._family
        assert list(self._temporary.iterdir()) == []
        self.check_others()


@contextmanager
def fort(
    directory: Path,
    routes: Mapping[str, str],
    identity: str,
    *,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> Iterator[Fort]:
    """Routes are added to / for files and /cgi-bin/ for programs; MARK stands in them for the
    directory of programs and for what all programs need. env, prefix: as those of started()."""
    need("/usr/bin/python3")
    (directory / "html").mkdir(exist_ok=True)
    (directory / "html" / "page.txt").write_text("page")
    script(directory, "hi.sh", HI)
    shutil.copy(Path(__file__).parents[1] / "apps" / PROGRAM, directory / "cgi-bin")
    temporary = directory / "temporary"
    temporary.mkdir()
    temporary.chmod(0o1777)
    open_to_all(directory)
    mark = f"cgi: cgi-bin, env: {{MARK: {directory}}}"
    added = {pattern: action.replace("MARK", mark) for pattern, action in routes.items()}
    with started(
        directory,
        {"/": "{static: html}", "/cgi-bin/": f"{{{mark}}}"} | added,
        workers="{count: 1}",
        top=identity,
        env={"TMPDIR": str(temporary), **(env or {})},
        prefix=prefix,
    ) as daemon:
        made = Fort(daemon, Path(f"/proc/{daemon.pid}/root{temporary}"), identity)
        made.check_nothing_left()
        yield made
