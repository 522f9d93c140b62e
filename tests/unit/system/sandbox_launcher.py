"""Run as a program: starts programs in a sandbox and tells what they could do.

Its first argument says as JSON what to do. It writes a list of lists: for each step that attempts
something, what became of each expression: "done", or the name of the errno.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from forkd.errors import OperationError
from forkd.system.confinement import Confinement
from forkd.system.process import forbid_new_privileges
from forkd.system.sandbox import Sandbox

NOBODY = 65534

PROGRAM = r"""
import ctypes, errno, json, os, signal, socket, subprocess, sys

victim, launcher = int(sys.argv[1]), os.getppid()
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = libc.ptrace.restype = ctypes.c_long

def call(function, *arguments):
    number = function(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if number < 0:
        raise OSError(ctypes.get_errno(), "")
    return number

def syscall(*arguments):
    return call(libc.syscall, *arguments)

def trace(pid):
    call(libc.ptrace, 16, pid, 0, 0)  # PTRACE_ATTACH
    os.waitpid(pid, 0x40000000)  # __WALL
    call(libc.ptrace, 17, pid, 0, 0)  # PTRACE_DETACH

def take_descriptor(pid):
    os.close(syscall(438, os.pidfd_open(pid), 0, 0))  # pidfd_getfd(2)

def write(path):
    with open(path, "a") as file:
        file.write("x")

def read(path):
    with open(path, "rb") as file:
        file.read(1)

def memory(pid):
    os.close(os.open(f"/proc/{pid}/mem", os.O_RDONLY))

def connect(address):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as sock:
        sock.connect(address)

def send(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", tuple(address))

def connect_inherited(address):
    socket.socket(fileno=os.dup(0)).connect(tuple(address))

def run(path):
    subprocess.run([path], check=True)

def outcome(expression):
    try:
        result = eval(expression)
    except OSError as error:
        return errno.errorcode[error.errno]
    return result if isinstance(result, str) else "done"

print(json.dumps([outcome(expression) for expression in sys.argv[2:]]))
"""


def main(job: dict[str, Any]) -> None:
    if job["nobody"]:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    forbid_new_privileges()
    start: Callable[[Callable[[], int]], int] = lambda spawn: spawn()  # noqa: E731
    # The launcher's own, made before it has no network: what a program inherits.
    with socket.socket() as inherited:
        if job["confinement"] is not None:
            try:
                start = Sandbox(Confinement(**job["confinement"])).start
            except OperationError as error:
                sys.exit(str(error))
        results = []
        for step in job["steps"]:
            if "link" in step:
                path, target = step["link"]
                os.symlink(target, f"{path}.new")
                os.rename(f"{path}.new", path)
            else:
                argv = [job["python"], "-I", "-c", PROGRAM]
                results.append(attempt(start, argv, step["attempt"], inherited.fileno()))
    sys.stdout.write(json.dumps(results))


def attempt(
    start: Callable[[Callable[[], int]], int],
    argv: list[str],
    expressions: list[str],
    standard_input: int,
) -> Any:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    held, hold = os.pipe2(os.O_CLOEXEC)
    victim = start(lambda: spawn(["/bin/cat"], held, write_end))
    os.close(held)
    argv = [*argv, str(victim), *expressions]
    program = start(lambda: spawn(argv, standard_input, write_end))
    os.close(write_end)
    status = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
    os.kill(victim, signal.SIGKILL)
    os.waitpid(victim, 0)
    os.close(hold)
    with open(read_end) as pipe:
        said = pipe.read()
    if status != 0:
        raise subprocess.CalledProcessError(status, argv, said)
    return json.loads(said)


def spawn(argv: list[str], standard_input: int, standard_output: int) -> int:
    return os.posix_spawn(
        argv[0],
        argv,
        {"PATH": "/usr/local/bin:/usr/bin:/bin"},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, standard_input, 0),
            (os.POSIX_SPAWN_DUP2, standard_output, 1),
        ],
        setpgroup=0,
        setsigmask=(),
        setsigdef=[signal.SIGPIPE],
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
