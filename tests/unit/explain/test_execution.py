"""What is foretold of an execution is what the kernel does."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from forkd.explain.execution import find_on_path, foresee, wanted_of_env


def write(path: Path, content: bytes, mode: int = 0o755) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def really(path: Path) -> int | None:
    """The errno of an execution; the programs here end at once."""
    null = os.open(os.devnull, os.O_RDWR)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, null, number) for number in range(3)]
        pid = os.posix_spawn(path, [str(path)], {}, file_actions=actions)
    except OSError as error:
        return error.errno
    finally:
        os.close(null)
    os.waitpid(pid, 0)
    return None


def elf_without_its_loader(directory: Path) -> Path:
    """A real program whose loader has another name, of the same length."""
    source = Path(shutil.which("true") or "/bin/true").read_bytes()
    at = source.index(b"/ld-linux")
    return write(directory / "foreign", source[: at + 4] + b"X" + source[at + 5 :])


@pytest.mark.parametrize(
    ("name", "content", "mode", "number"),
    [
        ("fine", b"#!/bin/sh\nexit 0\n", 0o755, None),
        ("argument", b"#! /bin/sh -e\nexit 0\n", 0o755, None),
        ("no-run-bit", b"#!/bin/sh\n", 0o644, errno.EACCES),
        ("no-interpreter", b"#!/no/such\n", 0o755, errno.ENOENT),
        ("dos", b"#!/bin/sh\r\n", 0o755, errno.ENOENT),
        ("interpreter-is-a-directory", b"#!/usr\n", 0o755, errno.EACCES),
        ("interpreter-cannot-run", b"#!/etc/passwd\n", 0o755, errno.EACCES),
        ("empty", b"", 0o755, errno.ENOEXEC),
        ("text", b"hello", 0o755, errno.ENOEXEC),
        ("no-name", b"#!\n", 0o755, errno.ENOEXEC),
        ("blank-name", b"#!  \nx", 0o755, errno.ENOEXEC),
        ("garbage", b"\x7fNOT\x00\xff" * 100, 0o755, errno.ENOEXEC),
    ],
)
def test_what_is_foreseen_is_what_happens(
    tmp_path: Path, name: str, content: bytes, mode: int, number: int | None
) -> None:
    path = write(tmp_path / name, content, mode)
    assert foresee(str(path)) == number
    assert really(path) == number


def test_a_program_whose_loader_is_missing_cannot_run(tmp_path: Path) -> None:
    path = elf_without_its_loader(tmp_path)
    assert foresee(str(path)) == errno.ENOENT
    assert really(path) == errno.ENOENT
    assert foresee(shutil.which("true") or "/bin/true") is None


def test_scripts_may_be_interpreters_of_scripts_but_not_for_ever(tmp_path: Path) -> None:
    write(tmp_path / "0", b"#!/bin/sh\nexit 0\n")
    numbers = []
    for number in range(1, 8):
        path = write(tmp_path / str(number), f"#!{tmp_path}/{number - 1}\n".encode())
        numbers.append(foresee(str(path)))
        assert really(path) == numbers[-1]
    assert errno.ELOOP in numbers


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b"#!/usr/bin/env python3\n", b"python3"),
        (b"#! /usr/bin/env -S python3 -u\n", b"python3"),
        (b"#!/usr/bin/env A=1 perl\n", b"perl"),
        (b"#!/usr/bin/env\n", None),
        (b"#!/bin/sh\n", None),
        (b"#!\n", None),
    ],
)
def test_what_env_is_to_look_for(line: bytes, name: bytes | None) -> None:
    assert wanted_of_env(line) == name


def test_env_finds_the_first_that_can_be_run(tmp_path: Path) -> None:
    for name, mode in (("a", 0o644), ("b", 0o755), ("c", 0o755)):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "tool", b"", mode)
    search_path = b":".join(os.fsencode(tmp_path / name) for name in "abc")
    assert find_on_path(b"tool", search_path) == str(tmp_path / "b" / "tool")
    assert find_on_path(b"none", search_path) is None
    assert find_on_path(os.fsencode(tmp_path / "c" / "tool"), b"") == str(tmp_path / "c" / "tool")
