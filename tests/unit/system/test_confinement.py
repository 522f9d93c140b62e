"""What a sandbox asks of a kernel, what is said of one that lacks it, and starting in a thread."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from forkd.errors import OperationError
from forkd.system.confinement import (
    DEVICES,
    READABLE,
    Confinement,
    expanded,
    is_readable,
    refusal,
    shortcomings,
)
from forkd.system.landlock import Landlock, handled
from forkd.system.process import forbid_new_privileges
from forkd.system.sandbox import Sandbox, in_thread
from tests.unit.system.sandboxes import need_kernel


class Older(Landlock):
    """A kernel that says that its Landlock is of another age."""

    def __init__(self, abi: int) -> None:
        super().__init__()
        self._abi = abi

    def abi(self) -> int:
        return self._abi


def without_new_privileges(confinement: Confinement, landlock: Landlock | None = None) -> Sandbox:
    """Make a sandbox as it must be made: in a thread, since this process is to keep its rights."""
    made: list[Sandbox] = []

    def make() -> int:
        forbid_new_privileges()
        made.append(Sandbox(confinement, landlock))
        return 0

    in_thread(make)
    return made[0]


@pytest.mark.parametrize(
    ("confinement", "abi", "filters", "words"),
    [
        (Confinement(), 6, True, []),
        (Confinement(), 6, False, ["the network", "limits of other processes"]),
        (Confinement(network=True), 6, False, ["limits of other processes"]),
        (Confinement(), 5, True, ["signals to other processes", "abstract Unix sockets"]),
        (Confinement(network=True), 5, True, ["signals to other processes"]),
        # What is asked counts, not what one would do without.
        (Confinement(best_effort=True), 6, False, ["the network", "limits of other processes"]),
    ],
)
def test_what_a_kernel_lacks_of_what_is_asked(
    confinement: Confinement, abi: int, filters: bool, words: list[str]
) -> None:
    assert shortcomings(confinement, abi, filters=filters) == words


def test_a_refusal_says_what_is_lacking_and_what_to_do() -> None:
    assert refusal(["files"], 0, "5.10.0") == (
        "sandbox: Linux 5.10.0 has no Landlock here: take Linux 6.12 or later with `landlock` in "
        "its list of security modules (lsm=), or say `best_effort: true` to do without"
    )
    assert refusal(["truncating files", "the network"], 2, "6.1.0") == (
        "sandbox: Linux 6.1.0 (Landlock ABI 2) cannot restrict truncating files, the network: take "
        "Linux 6.12 or later, or say `best_effort: true` to do without"
    )


@pytest.mark.parametrize("abi", range(6))
def test_a_kernel_that_lacks_something_is_refused(abi: int) -> None:
    with pytest.raises(OperationError, match=r"^sandbox: Linux .* or say `best_effort: true`"):
        Sandbox(Confinement(network=True), Older(abi))


@pytest.mark.usefixtures("no_descriptor_leaks")
@pytest.mark.parametrize("abi", range(1, 7))
def test_best_effort_takes_what_there_is(abi: int, tmp_path: Path) -> None:
    need_kernel(abi)
    place = str(tmp_path)
    confinement = Confinement((place,), (place,), network=True, best_effort=True)
    sandbox = without_new_privileges(confinement, Older(abi))
    assert bool(sandbox.lacking) is (abi < 6)
    sandbox.close()


def test_without_landlock_programs_are_started_all_the_same() -> None:
    def make_and_start() -> int:
        forbid_new_privileges()
        sandbox = Sandbox(Confinement(network=True, best_effort=True), Older(0))
        assert "files" in sandbox.lacking
        return sandbox.start(lambda: 4711)

    # In a thread, since this process is to keep its rights.
    assert in_thread(make_and_start) == 4711


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_no_descriptor_is_left_by_a_sandbox_that_could_not_be_made(tmp_path: Path) -> None:
    need_kernel(6)
    missing = str(tmp_path / "missing")
    for _ in range(3):
        with pytest.raises(OperationError, match=f"^sandbox.read: {missing} does not exist$"):
            without_new_privileges(Confinement(read=(missing,), network=True))


@pytest.mark.usefixtures("no_descriptor_leaks")
@pytest.mark.parametrize("is_default", [False, True], ids=["asked", "default"])
def test_a_path_that_leads_elsewhere_is_followed_and_nothing_is_left_open(
    is_default: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_kernel(6)
    link = tmp_path / "link"
    monkeypatch.setattr("forkd.system.sandbox.READABLE", (str(link),) if is_default else ())
    monkeypatch.setattr("forkd.system.sandbox._DEFAULTS_AGE_S", 0.0)
    outcomes: list[list[str]] = []

    def look() -> int:
        """In the place of a program: what can be opened in its domain?"""
        outcomes.append([])
        for name in ("0", "1", "2"):
            try:
                (tmp_path / name).read_bytes()
                outcomes[-1].append(name)
            except PermissionError:
                pass
        return 0

    def run() -> int:
        forbid_new_privileges()
        for name in ("0", "1", "2"):
            (tmp_path / name).touch()
        link.symlink_to("0")
        read = () if is_default else (str(link),)
        sandbox = Sandbox(Confinement(read, network=True))
        for name in ("0", "1", "2"):
            link.unlink()
            link.symlink_to(name)
            sandbox.start(look)
        sandbox.close()
        return 0

    in_thread(run)
    assert outcomes == [["0"], ["1"], ["2"]]


def test_who_may_gain_rights_cannot_be_restricted() -> None:
    need_kernel(6)
    # As nobody where this is root, whose capabilities do without no_new_privs.
    command = (
        "import os; from forkd.system.sandbox import Confinement, Sandbox;"
        "os.geteuid() or os.setresuid(65534, 65534, 65534);"
        "Sandbox(Confinement(network=True))"
    )
    result = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert result.stderr.endswith(
        "OperationError: sandbox: programs that may gain rights (`no_new_privileges: false`) "
        "cannot be restricted\n"
    )


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_more_domains_than_the_kernel_has_are_told_at_the_start() -> None:
    need_kernel(6)

    def nest() -> int:
        forbid_new_privileges()
        landlock = Landlock()
        ruleset = landlock.create(handled(6, network=True))
        for _ in range(16):
            landlock.restrict_thread(ruleset)
        os.close(ruleset)
        Sandbox(Confinement(network=True))
        return 0

    with pytest.raises(OperationError, match="so many times"):
        in_thread(nest)


def test_the_defaults_name_nothing_that_belongs_to_others() -> None:
    given = (*READABLE, *DEVICES)
    assert all(
        path.startswith(("/usr", "/bin", "/sbin", "/lib", "/etc/", "/dev/")) for path in given
    )
    assert {"/dev/tty", "/dev/shm", "/etc", "/etc/ssl", "/etc/shadow"}.isdisjoint(given)


def test_only_patterns_depend_on_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "lib64").mkdir()
    (tmp_path / "lib").mkdir()
    found = expanded([f"{tmp_path}/lib*", f"{tmp_path}/missing", f"{tmp_path}/none*"])
    assert found == [f"{tmp_path}/lib", f"{tmp_path}/lib64", f"{tmp_path}/missing"]


def test_a_file_that_no_rule_gives_can_be_told(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "given")
    confinement = Confinement(read=(f"{tmp_path}/link",), write=(f"{tmp_path}/written",))
    assert is_readable(confinement, f"{tmp_path}/given/script")
    assert is_readable(confinement, "/usr/bin/env")
    assert not is_readable(confinement, f"{tmp_path}/given-not/script")
    assert not is_readable(confinement, f"{tmp_path}/written/script")


def test_a_call_in_a_thread_gives_and_raises_what_it_does_here() -> None:
    here = threading.get_ident()
    assert in_thread(lambda: int(threading.get_ident() != here)) == 1

    def fail() -> int:
        raise FileNotFoundError(errno.ENOENT, "x")

    with pytest.raises(FileNotFoundError):
        in_thread(fail)


def test_a_program_that_a_thread_has_started_is_this_process_s_child() -> None:
    """It outlives the thread, leads its group and has no signal blocked."""
    read_end, write_end = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        pid = in_thread(
            lambda: os.posix_spawn(
                "/bin/cat",
                ["cat"],
                {},
                file_actions=[(os.POSIX_SPAWN_DUP2, read_end, 0)],
                setpgroup=0,
                setsigmask=(),
            )
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.close(read_end)
    assert os.getpgid(pid) == pid
    os.killpg(pid, signal.SIGTERM)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(write_end)
    assert status == -signal.SIGTERM
