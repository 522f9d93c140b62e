#!/usr/bin/python3 -I
# Does whatever its body asks for: the first line of it is a JSON list of expressions, each of which
# becomes a line of the answer: what it gave, "done" for None, or the name of what it raised. This
# line is no part of an answer: do not show my source.
import ctypes
import errno
import json
import os
import resource  # noqa: F401 for the expressions that are given
import signal
import socket
import subprocess
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = libc.ptrace.restype = ctypes.c_long
urgent = []


def call(function, *arguments):
    number = function(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if number < 0:
        raise OSError(ctypes.get_errno(), "")
    return number


def trace(pid):
    call(libc.ptrace, 16, pid, 0, 0)  # PTRACE_ATTACH
    os.waitpid(pid, 0x40000000)  # __WALL
    call(libc.ptrace, 17, pid, 0, 0)  # PTRACE_DETACH


def memory(pid):
    os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))


def take_descriptor(pid):
    os.close(call(libc.syscall, 438, os.pidfd_open(pid), 0, 0))  # pidfd_getfd(2)


def read(path):
    with open(path, "rb") as file:
        file.read(1)


def write(path):
    with open(path, "a") as file:
        file.write("x")


def connect(address):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as sock:
        sock.connect(tuple(address) if family == socket.AF_INET else address)


def command(path, name, orphaned=False):
    """What forkd answers to a command on its control socket; orphaned: to one who has lost its
    parent."""
    if orphaned:
        read_end, write_end = os.pipe()
        if os.fork() == 0:
            parent = os.getpid()
            if os.fork() == 0:
                while os.getppid() == parent:
                    time.sleep(0.01)
                os.write(write_end, json.dumps(command(path, name)).encode())
            os._exit(0)
        os.close(write_end)
        os.wait()
        return json.loads(os.read(read_end, 65536))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(json.dumps({"command": name}).encode() + b"\n")
        return json.loads(sock.makefile().readline()).get("reasons", "obeyed")


def send(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", tuple(address))


def descriptors():
    """Which are open beside the first three."""
    found = []
    for number in range(3, 4096):
        try:
            os.fstat(number)
        except OSError:
            continue
        found.append(number)
    return found


def status():
    with open("/proc/self/status") as file:
        return dict(line.rstrip("\n").partition(":\t")[::2] for line in file)


def output(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def say(what):
    try:
        os.write(1, json.dumps(what).encode() + b"\n")
    except BrokenPipeError:
        os._exit(1)


def stand():
    """Tells its pid, waits for the end of the body, and gives how many SIGURG have come."""
    signal.signal(signal.SIGURG, lambda *_: urgent.append(1))
    say(os.getpid())
    sys.stdin.read()
    return len(urgent)


def fork_bomb(most):
    """As many children as there may be, each in a session of its own."""
    for count in range(most):
        try:
            if os.fork() == 0:
                os.setsid()
                time.sleep(600)
                os._exit(0)
        except OSError as error:
            return f"{errno.errorcode[error.errno]} after {count > 0}"
    return "no limit"


def hide():
    """A daemon that nothing can end but KILL."""
    if os.fork() == 0:
        os.setsid()
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        if os.fork():
            os._exit(0)
        say("hidden")
        time.sleep(600)
        os._exit(0)
    os.wait()


def dig():
    """Processes that fork and leave all the time: none of them is there for long."""
    end = time.monotonic() + 30
    for _ in range(10):
        if os.fork() == 0:
            while time.monotonic() < end:
                if os.fork():
                    os._exit(0)
                os.setsid()
                time.sleep(0.02)
            os._exit(0)
    time.sleep(600)


def flood(descriptor, size):
    """For ever."""
    line = b"x" * (size - 1) + b"\n"
    while True:
        os.write(descriptor, line)


def spin():
    while True:
        pass


def close_output():
    sys.stdout.flush()
    os.close(1)
    os.close(2)
    time.sleep(600)


def fill(path):
    """Python ignores SIGXFSZ, others do not."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    with open(path, "wb", 0) as file:
        while True:
            file.write(bytes(4096))


def open_many(most):
    return f"no limit: {len([os.open('/dev/null', os.O_RDONLY) for _ in range(most)])}"


def outcome(expression):
    try:
        result = eval(expression)  # noqa: S307 it is what this program is for
    except OSError as error:
        return errno.errorcode[error.errno]
    except Exception as error:
        return type(error).__name__
    return "done" if result is None else result


sys.stdout.write("Content-Type: application/json\n\n")
sys.stdout.flush()
for each in json.loads(sys.stdin.readline()):
    say(outcome(each))
