"""The filter of system calls, run by a small interpreter of its instructions."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable

import pytest

from forkd.system import seccomp
from forkd.system.seccomp import Machine, limits_filter, machine, network_filter

X86_64, AARCH64, I386, ARM = 0xC000003E, 0xC00000B7, 0x40000003, 0x40000028
ALLOW = 0x7FFF0000
Maker = Callable[[Machine], list[tuple[int, int, int, int]]]
EACCES, EPERM = 0x50000 | errno.EACCES, 0x50000 | errno.EPERM


def verdict(
    kind: Machine, arch: int, number: int, argument: int = 0, make: Maker = network_filter
) -> int:
    """What the kernel would do with a call: classic BPF over struct seccomp_data."""
    data = struct.pack("<IIQ6Q", number, arch, 0, argument, 0, 0, 0, 0, 0)
    program = make(kind)
    at = accumulator = 0
    while True:
        code, if_true, if_false, constant = program[at]
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, constant)
            case 0x15:
                at += if_true if accumulator == constant else if_false
            case 0x35:
                at += if_true if accumulator >= constant else if_false
            case 0x06:
                return constant
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


def known(name: str) -> Machine:
    found = machine(name, 64)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "arch", "number"),
    [
        *(("x86_64", X86_64, 302), ("x86_64", X86_64, 0x4000012E), ("x86_64", I386, 340)),
        *(("aarch64", AARCH64, 261), ("aarch64", ARM, 369)),
    ],
)
def test_only_its_own_limits_are_a_programs_business(name: str, arch: int, number: int) -> None:
    for process, expected in ((0, ALLOW), (1, EPERM), (os.getpid(), EPERM)):
        assert verdict(known(name), arch, number, process, limits_filter) == expected
    for other in (number - 1, number + 1, 0):
        assert verdict(known(name), arch, other, os.getpid(), limits_filter) == ALLOW


SOCKET = {"x86_64": (X86_64, 41, 53), "aarch64": (AARCH64, 198, 199)}
NEIGHBOURS = {"x86_64": (0, 1, 40, 42, 52, 54, 59, 424, 426), "aarch64": (0, 197, 200, 221, 426)}


@pytest.mark.parametrize("name", SOCKET)
def test_only_unix_sockets_are_made(name: str) -> None:
    arch, *numbers = SOCKET[name]
    for number in numbers:
        for family in range(64):
            expected = ALLOW if family == socket.AF_UNIX else EACCES
            assert verdict(known(name), arch, number, family) == expected
        # The kernel takes an int: what stands above it in the register changes nothing.
        high = 1 << 32
        assert verdict(known(name), arch, number, high | socket.AF_UNIX) == ALLOW
        assert verdict(known(name), arch, number, high | socket.AF_INET) == EACCES


@pytest.mark.parametrize("name", SOCKET)
def test_other_calls_are_not_looked_at(name: str) -> None:
    arch = SOCKET[name][0]
    for number in NEIGHBOURS[name]:
        assert verdict(known(name), arch, number, socket.AF_INET) == ALLOW


@pytest.mark.parametrize("name", SOCKET)
def test_rings_are_refused(name: str) -> None:
    assert verdict(known(name), SOCKET[name][0], 425) == EPERM


@pytest.mark.parametrize(
    ("name", "arch"), [("x86_64", I386), ("x86_64", AARCH64), ("aarch64", ARM), ("aarch64", X86_64)]
)
def test_calls_of_another_machine_are_refused(name: str, arch: int) -> None:
    for number in range(512):
        assert verdict(known(name), arch, number, socket.AF_UNIX) == EPERM


@pytest.mark.parametrize("number", [0, 41, 53, 425, 0x3FFFFFFF])
def test_calls_of_x32_are_refused(number: int) -> None:
    assert verdict(known("x86_64"), X86_64, 0x40000000 + number, socket.AF_UNIX) == EPERM


def test_it_is_for_64_bit_machines_that_it_knows() -> None:
    assert machine("x86_64", 32) is None
    assert machine("i686", 32) is None
    assert machine("riscv64", 64) is None


def test_asking_whether_filters_are_there_sets_none() -> None:
    def filters() -> str:
        with open("/proc/self/status") as status:
            return next(line for line in status if line.startswith("Seccomp:"))

    before = filters()
    known_here = machine(os.uname().machine, 64) is not None
    assert seccomp.available() <= known_here
    assert filters() == before
