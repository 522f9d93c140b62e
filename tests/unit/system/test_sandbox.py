"""What programs in a sandbox can do, and what not: real programs under a real kernel."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from forkd.system.confinement import Confinement
from tests.unit.system.sandboxes import AS_NOBODY, Place, make_place, need_kernel

ABI_OF_SCOPES = 6


@pytest.fixture(params=AS_NOBODY, ids=lambda nobody: "as nobody" if nobody else "as this user")
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    need_kernel(ABI_OF_SCOPES)
    yield from make_place(request.param)


TOUCHES = (
    "read('{0}/file')",
    "os.listdir('{0}')",
    "run('{0}/program')",
    "write('{0}/file')",
    "os.truncate('{0}/file', 0)",
    "write('{0}/new')",
    "os.mkdir('{0}/directory')",
    "os.symlink('x', '{0}/link')",
    "os.mkfifo('{0}/fifo')",
    "os.rename('{0}/new', '{0}/renamed')",
    "os.rename('{0}/renamed', '{0}/inner/moved')",
    "os.unlink('{0}/inner/moved')",
    "os.rmdir('{0}/directory')",
)
READS, WRITES = 3, len(TOUCHES) - 3


def touches(directory: Path) -> list[str]:
    return [each.format(directory) for each in TOUCHES]


def test_outside_a_sandbox_all_of_it_can_be_done(place: Place) -> None:
    """What is denied below is denied by nothing else."""
    assert set(place.attempts(None, *touches(place.other))) == {"done"}


def test_what_is_not_given_can_be_neither_read_nor_written(place: Place) -> None:
    outcomes = place.attempts(Confinement(), *touches(place.other))
    # What was not made cannot be renamed; that name lookup is free is no secret (see SECURITY.md).
    assert set(outcomes[:-4]) == {"EACCES"}
    assert "done" not in outcomes
    assert (place.other / "file").read_text() == "content"


def test_what_is_given_to_read_can_be_read_and_run_and_not_written(place: Place) -> None:
    outcomes = place.attempts(Confinement(read=(str(place.given),)), *touches(place.given))
    assert outcomes[:READS] == ["done"] * READS
    assert "done" not in outcomes[READS:]


def test_what_is_given_to_write_can_be_read_and_changed_and_not_run(place: Place) -> None:
    outcomes = place.attempts(Confinement(write=(str(place.given),)), *touches(place.given))
    assert outcomes == ["done", "done", "EACCES", *["done"] * WRITES]


def test_what_stands_in_both_lists_can_be_changed_and_run(place: Place) -> None:
    both = Confinement(read=(str(place.given),), write=(str(place.given),))
    assert set(place.attempts(both, *touches(place.given))) == {"done"}


def test_nothing_is_moved_or_linked_across_the_border(place: Place) -> None:
    expressions = (
        f"os.rename('{place.given}/file', '{place.other}/moved')",
        f"os.rename('{place.other}/file', '{place.given}/moved')",
        f"os.link('{place.other}/file', '{place.given}/linked')",
    )
    outcomes = place.attempts(Confinement(write=(str(place.given),)), *expressions)
    assert set(outcomes) <= {"EACCES", "EXDEV"}
    assert sorted(os.listdir(place.given)) == ["file", "inner", "program"]
    assert sorted(os.listdir(place.other)) == ["file", "inner", "program"]


def test_a_single_file_can_be_given(place: Place) -> None:
    confinement = Confinement(
        read=(str(place.other / "program"),), write=(str(place.given / "file"),)
    )
    outcomes = place.attempts(
        confinement,
        f"write('{place.given}/file')",
        f"os.truncate('{place.given}/file', 1)",
        f"os.unlink('{place.given}/file')",
        f"run('{place.other}/program')",
        f"write('{place.other}/program')",
        f"read('{place.other}/file')",
    )
    assert outcomes == ["done", "done", "EACCES", "done", "EACCES", "EACCES"]


def test_what_every_program_needs_is_given_and_no_more(place: Place) -> None:
    outcomes = place.attempts(
        Confinement(),
        "run('/bin/true')",
        "write('/dev/null')",
        "read('/dev/urandom')",
        "read('/etc/passwd')",
        "socket.getaddrinfo('localhost', 80) and None",
        "read('/etc/fstab') if os.path.exists('/etc/fstab') else 'EACCES'",
        "write('/tmp/forkd-sandbox-test')",
        "os.listdir('/proc')",
        "os.listdir('/etc')",
        "read('/dev/tty')",
    )
    assert outcomes[:5] == ["done"] * 5
    assert outcomes[5:9] == ["EACCES"] * 4
    assert outcomes[9] in ("EACCES", "ENXIO")


@pytest.fixture
def tcp() -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0), backlog=8) as server:
        yield server.getsockname()


@pytest.fixture
def udp() -> Iterator[tuple[str, int]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()


@pytest.fixture
def abstract() -> Iterator[str]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("")  # a name of the kernel's choice (unix(7), autobind)
        sock.listen(8)
        yield sock.getsockname().decode()


@pytest.fixture
def calls(tcp: tuple[str, int], udp: tuple[str, int], abstract: str) -> list[str]:
    return [
        f"connect({tcp})",
        f"connect_inherited({tcp})",
        f"send({udp})",
        f"connect({abstract!r})",
        "socket.create_server(('127.0.0.1', 0)).close()",
        "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()",
        "socket.socket(socket.AF_UNIX).close()",
        "[end.close() for end in socket.socketpair()] and None",
    ]


def test_a_program_without_a_network_has_unix_sockets_only(place: Place, calls: list[str]) -> None:
    denied = ["EACCES", "EACCES", "EACCES", "EPERM", "EACCES", "EACCES", "EACCES"]
    assert place.attempts(Confinement(), *calls) == [*denied, "done", "done"]


def test_a_program_that_is_given_the_network_has_all_of_it(place: Place, calls: list[str]) -> None:
    assert set(place.attempts(Confinement(network=True), *calls)) == {"done"}
    assert set(place.attempts(None, *calls)) == {"done"}


def test_there_is_no_way_round_the_filter(place: Place) -> None:
    expressions = ["syscall(425, 1, ctypes.create_string_buffer(120))"]  # io_uring_setup(2)
    if os.uname().machine == "x86_64":
        expressions.append(f"syscall({0x40000000 + 39})")  # getpid(2) of x32
    assert set(place.attempts(Confinement(), *expressions)) == {"EPERM"}
    assert "EPERM" not in place.attempts(None, *expressions[1:])


SIGNALS = ("os.kill(victim, 0)", "os.kill(launcher, 0)", "os.killpg(victim, 0)")
TRACES = ("trace(victim)", "memory(victim)", "take_descriptor(victim)")
TRACES_OF_LAUNCHER = ("trace(launcher)", "memory(launcher)", "take_descriptor(launcher)")


def may_trace_siblings() -> bool:
    """Yama may deny that to ordinary users (ptrace(2), ptrace_scope)."""
    try:
        scope = int(Path("/proc/sys/kernel/yama/ptrace_scope").read_text())
    except FileNotFoundError:
        return True
    return scope == 0


def test_a_program_neither_signals_nor_traces_another_or_who_started_it(place: Place) -> None:
    # With /proc, or its files could not be opened anyway.
    expressions = (*SIGNALS, *TRACES, *TRACES_OF_LAUNCHER)
    outcomes = place.attempts(Confinement(read=("/proc",)), *expressions)
    assert set(outcomes) <= {"EPERM", "EACCES"}
    assert set(place.attempts(None, *SIGNALS)) == {"done"}
    if may_trace_siblings():
        assert set(place.attempts(None, *TRACES)) == {"done"}


def test_a_program_signals_itself_and_what_it_has_started(place: Place) -> None:
    expressions = ("os.kill(os.getpid(), 0)", "subprocess.Popen(['/bin/cat']).kill()")
    assert place.attempts(Confinement(), *expressions) == ["done", "done"]


def test_a_path_may_lead_elsewhere_between_two_programs(place: Place) -> None:
    """As a release is put in place. The old one is closed again."""
    current = place.given / "inner" / "current"
    current.symlink_to(place.given)
    expressions = [f"read('{current}/file')", f"read('{place.given}/file')"]
    outcomes = place.steps(
        Confinement(read=(str(current),)),
        [
            {"attempt": expressions},
            {"link": [str(current), str(place.other)]},
            {"attempt": expressions},
            {"link": [str(current), "nowhere"]},
            {"attempt": expressions},
        ],
    )
    assert outcomes == [["done", "done"], ["done", "EACCES"], ["ENOENT", "EACCES"]]


def test_a_program_cannot_have_a_path_lead_to_what_it_is_not_given(place: Place) -> None:
    current = place.given / "current"
    current.symlink_to(place.given / "inner")
    confinement = Confinement(read=(str(current),), write=(str(place.given),))
    outcomes = place.steps(
        confinement,
        [
            {"attempt": [f"os.unlink('{current}')", f"os.symlink('{place.other}', '{current}')"]},
            {"attempt": [f"read('{current}/file')"]},
        ],
    )
    assert outcomes == [["done", "done"], ["EACCES"]]
    refused = place.launch(confinement, [])
    assert refused.stderr == (
        f"sandbox.read: {current} leads out of {place.given}, where programs may change it: "
        f"say {place.other} instead\n"
    )


def test_a_path_that_is_missing_is_named(place: Place) -> None:
    result = place.launch(Confinement(write=(f"{place.given}/missing",)), [])
    assert result.stderr == f"sandbox.write: {place.given}/missing does not exist\n"
    assert result.returncode == 1


def test_a_directory_that_the_user_may_not_search_is_named(place: Place) -> None:
    if os.geteuid() == 0 and not place.nobody:
        return  # root may search every directory
    (place.given / "inner" / "deep").mkdir()
    (place.given / "inner").chmod(0)
    result = place.launch(Confinement(read=(f"{place.given}/inner/deep",)), [])
    (place.given / "inner").chmod(0o755)
    assert f"may not search the directory {place.given}/inner\n" in result.stderr
