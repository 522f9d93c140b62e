"""Programs that take all that they can get: limits hold them, others go on, and nothing is left."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.daemon import eventually
from tests.system.hostile import IDENTITIES, OWN_USER, Fort, fort, need_sandbox
from tests.system.scripts import reset

AS_ROOT = os.geteuid() == 0


@dataclass(frozen=True, slots=True)
class Attack:
    """An expression for tests/apps/attempts.py, what comes of it, and what the log says then."""

    target: str
    expression: str
    came: str
    said: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fort]:
    need_sandbox()
    directory = tmp_path_factory.mktemp("hostile")
    (directory / "given").mkdir()
    (directory / "given").chmod(0o777)
    box = f"sandbox: {{write: {directory}/given}}"
    limits = "limits: {cpu: 1s, memory: 300M, file_size: 1M, open_files: 40}"
    routes = {
        "/limited/": f"{{MARK, {box}, {limits}}}",
        "/short/": f"{{MARK, {box}, timeout: 4s}}",
    }
    if AS_ROOT:
        # Counted are all processes of a user, so these have one of their own.
        most = threads_of(pwd.getpwnam(OWN_USER).pw_uid) + 30
        routes["/counted/"] = (
            f"{{MARK, user: {OWN_USER}, limits: {{processes: {most}}}, timeout: 4s}}"
        )
    with fort(directory, routes, IDENTITIES[0]) as made:
        yield made


def threads_of(uid: int) -> int:
    """As the kernel counts them for RLIMIT_NPROC."""
    return sum(1 for task in Path("/proc").glob("[0-9]*/task/*") if owner(task) == uid)


def owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None  # gone meanwhile


ATTACKS = (
    # TERM is not the end of these two: they are the first to begin, and the last to end.
    Attack("/short", "hide()", "hidden", "cgi 504: it has ended, but what it has started holds"),
    Attack("/short", "dig()", "", "cgi 504: no progress for 4 s: terminated"),
    Attack("/short", "flood(2, 80)", "", "cgi 504: no progress for 4 s: terminated"),
    Attack("/short", "close_output()", "", "ran on after the answer, no progress for 4 s"),
    Attack("/counted", "fork_bomb(400)", "EAGAIN after True", "cgi 504: it has ended, but what"),
    Attack("/limited", "spin()", "", "cgi ended: signal 24 (SIGXCPU)"),
    Attack("/limited", "fill('GIVEN/file')", "", "cgi ended: signal 25 (SIGXFSZ)"),
    Attack("/limited", "len(bytearray(1 << 30))", "MemoryError", ""),
    Attack("/limited", "open_many(1000)", "EMFILE", ""),
)


def test_what_takes_all_that_it_can_takes_it_from_nobody(site: Fort) -> None:
    """All of them at once."""
    given = site.daemon.directory / "given"
    attacks = [attack for attack in ATTACKS if AS_ROOT or attack.target != "/counted"]
    with ExitStack() as stack:
        wires = []
        for attack in attacks:
            expression = attack.expression.replace("GIVEN", str(given))
            wires.append(stack.enter_context(site.send(attack.target, expression)))
            site.check_others()
        for attack, wire in zip(attacks, wires, strict=True):
            assert wire.head().status == 200, attack
            assert attack.came.encode() in wire.rest(), attack
            site.check_others()
    for attack in (one for one in attacks if one.said):
        same = [other for other in attacks if attack.said in other.said]
        eventually(lambda: len(site.lines(attack.said)) >= len(same), f"{attack} is told")  # noqa: B023 called at once
    assert (given / "file").stat().st_size <= 1 << 20
    site.check_nothing_left()


@pytest.mark.parametrize("read", [0, 100_000], ids=["not at all", "slowly"])
def test_a_client_that_reads_nothing_costs_no_memory_and_leaves_nothing(
    site: Fort, read: int
) -> None:
    (worker,) = site.daemon.workers()
    before = resident(worker["pid"])
    with ExitStack() as stack:
        wires = [
            stack.enter_context(site.send("/cgi-bin", "flood(1, 65536)", receive=4096))
            for _ in range(4)
        ]
        for wire in wires:
            assert wire.head().status == 200
        for _ in range(read // 5000):
            for wire in wires:
                wire.sock.recv(5000)
        site.check_others()
        eventually(Stillness(site), "the programs are held back")
        assert resident(worker["pid"]) - before < 4 << 20
        for wire in wires:
            reset(wire)
    site.check_nothing_left()


def resident(pid: int) -> int:
    """Bytes (proc_pid_statm(5))."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Stillness:
    """Whether no program has written a byte since this was asked twenty times."""

    def __init__(self, site: Fort) -> None:
        self._site = site
        self._last: list[str] = []
        self._times = 0

    def __call__(self) -> bool:
        now = [Path(f"/proc/{pid}/io").read_text() for pid in sorted(self._site.running())]
        self._times = self._times + 1 if now == self._last else 0
        self._last = now
        return self._times > 20
