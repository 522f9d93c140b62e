"""What /proc says that a process is at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from forkd.system.process_state import ProcessState, process_state


def test_the_states_have_words() -> None:
    assert str(ProcessState("S")) == "state S (sleeping)"
    assert str(ProcessState("D", "nfs_wait")) == (
        "state D (waiting for a device or a file system) in nfs_wait"
    )
    assert str(ProcessState("?")) == "state ?"
    assert [ProcessState(letter).is_stopped for letter in "RSDTtZ"] == [0, 0, 0, 1, 1, 0]


def test_this_process_runs_whatever_its_name_is() -> None:
    command = (
        "import ctypes; ctypes.CDLL(None).prctl(15, b'x) T (y', 0, 0, 0); import os;"  # PR_SET_NAME
        "from forkd.system.process_state import process_state; print(process_state(os.getpid()))"
    )
    result = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert result.stdout.startswith("state R (running)"), result.stderr


def test_a_process_that_is_gone_has_no_state_and_one_that_has_ended_is_dead() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    ended = process_state(pid)
    assert ended is not None
    assert ended.letter == "Z"
    os.waitpid(pid, 0)
    assert process_state(pid) is None


def test_a_stopped_process_is_stopped() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        state = process_state(process.pid)
        assert state is not None
        assert state.is_stopped
        process.kill()
