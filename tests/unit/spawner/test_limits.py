"""Limits of programs: inherited while they are started, imposed on what they have started."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from forkd.spawner.limits import impose, inherited

LIMITS = ((resource.RLIMIT_NOFILE, 50), (resource.RLIMIT_FSIZE, 4096), (resource.RLIMIT_CPU, 7))


def limits_of(pid: int) -> list[tuple[int, int]]:
    return [resource.prlimit(pid, kind) for kind, _ in LIMITS]


def test_soft_limits_are_inherited_and_taken_back() -> None:
    before = limits_of(0)
    with inherited(LIMITS):
        assert limits_of(0) == [
            (number, hard[1]) for (_, number), hard in zip(LIMITS, before, strict=True)
        ]
        shown = subprocess.run(["/bin/sh", "-c", "ulimit -n; ulimit -t"], capture_output=True)
    assert shown.stdout.split() == [b"50", b"7"]
    assert limits_of(0) == before


def test_they_are_taken_back_where_the_program_cannot_be_started() -> None:
    before = limits_of(0)
    with pytest.raises(FileNotFoundError), inherited(LIMITS):
        os.posix_spawn("/no/such", ["x"], {})
    assert limits_of(0) == before


def test_less_address_space_than_this_process_has_is_not_tried_on_it() -> None:
    """Starting a program takes some."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with inherited(((resource.RLIMIT_AS, 1 << 20),)):
        assert resource.getrlimit(resource.RLIMIT_AS) == before
    with inherited(((resource.RLIMIT_AS, 1 << 40),)):
        assert resource.getrlimit(resource.RLIMIT_AS)[0] == 1 << 40


FORKS = "import os, sys; os.fork(); os.write(1, b'%d\\n' % os.getpid()); sys.stdin.read()"


def test_what_a_program_has_started_meanwhile_is_limited_too() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        both = {int(process.stdout.readline()) for _ in range(2)}
        assert process.pid in both
        impose(process.pid, LIMITS, list)
        for pid in both:
            # A second more for the signal that a program may handle.
            assert limits_of(pid) == [(50, 50), (4096, 4096), (7, 8)]
        process.communicate("", timeout=20)


def test_a_program_that_is_over_needs_none() -> None:
    process = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True
    )
    impose(int(process.stdout), LIMITS, list)


LOWERS = "import resource, sys; print(1, flush=True); sys.stdin.read()"


def test_a_program_that_lowers_one_limit_has_the_others_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who is not root cannot raise it again, and the program may do that before it is limited."""
    with subprocess.Popen(
        [sys.executable, "-c", LOWERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (30, 30))
        real = resource.prlimit

        def of_no_root(pid: int, kind: int, both: tuple[int, int] | None = None) -> object:
            if both is None:
                return real(pid, kind)
            if both[1] > real(pid, kind)[1] >= 0:
                raise PermissionError
            return real(pid, kind, both)

        monkeypatch.setattr(resource, "prlimit", of_no_root)
        impose(process.pid, LIMITS, list)
        monkeypatch.undo()
        assert limits_of(process.pid) == [(30, 30), (4096, 4096), (7, 8)]
        process.communicate("", timeout=20)
