"""Who descends from whom: real processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from forkd.system.process_tree import branch_of, children, descendants, has_in_environment

FAMILY = """
import os, sys, time
if os.fork() == 0:
    if os.fork() == 0:
        sys.stdout.write(f"{os.getpid()} {os.getppid()}\\n")
        sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)
sys.stdin.read()
"""


def test_children_and_what_is_below_them_are_found() -> None:
    environ = {"PATH": os.environ["PATH"], "MARK": "a=b"}
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    ) as process:
        assert process.stdout is not None
        grandchild, child = map(int, process.stdout.readline().split())
        assert process.pid in children(os.getpid())
        assert children(process.pid) == [child]
        assert descendants(process.pid) == [child, grandchild]
        assert has_in_environment(grandchild, b"MARK=a=b")
        assert not has_in_environment(grandchild, b"MARK=a")
        assert branch_of(process.pid, os.getpid()) == process.pid
        assert branch_of(grandchild, os.getpid()) == process.pid
        assert branch_of(grandchild, child) == grandchild
        assert branch_of(child, grandchild) is None
        assert branch_of(os.getpid(), os.getpid()) is None
        process.communicate("", timeout=20)
    assert descendants(process.pid) == []
    assert not has_in_environment(process.pid, b"MARK=a=b")


def test_of_who_is_gone_no_branch_is_known() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    with pytest.raises(ProcessLookupError):
        branch_of(process.pid, os.getpid())
