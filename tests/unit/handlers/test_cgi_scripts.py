"""Which file a CGI path names, and why it cannot be run."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from forkd.handlers.cgi_failures import exit_words, interpreter_of, spawn_failure
from forkd.handlers.cgi_scripts import Script, Unusable, check_program, find_script


@pytest.fixture
def scripts(tmp_path: Path) -> str:
    (tmp_path / "run.py").write_text("#!/usr/bin/python3\n")
    (tmp_path / "run.py").chmod(0o755)
    (tmp_path / "plain").write_text("no run bit\n")
    (tmp_path / "plain").chmod(0o644)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "x").write_text("")
    (tmp_path / "v1.0").mkdir()
    (tmp_path / "v1.0" / "run").write_text("")
    (tmp_path / ".hidden").write_text("")
    os.mkfifo(tmp_path / "fifo")
    return str(tmp_path)


@pytest.mark.parametrize(
    ("rest", "file", "name", "info"),
    [
        ("/run.py", "/run.py", "/cgi-bin/run.py", ""),
        ("/run.py/", "/run.py", "/cgi-bin/run.py", "/"),
        ("/run.py/a/b", "/run.py", "/cgi-bin/run.py", "/a/b"),
        ("/run.py/a//b/", "/run.py", "/cgi-bin/run.py", "/a//b/"),
        ("/run.py/.git", "/run.py", "/cgi-bin/run.py", "/.git"),
        ("/deep/er/x/y", "/deep/er/x", "/cgi-bin/deep/er/x", "/y"),
        ("/v1.0/run", "/v1.0/run", "/cgi-bin/v1.0/run", ""),
        ("/plain", "/plain", "/cgi-bin/plain", ""),
    ],
)
def test_a_path_is_split_at_the_file_that_is_there(
    scripts: str, rest: str, file: str, name: str, info: str
) -> None:
    assert find_script(scripts, "/cgi-bin", rest) == Script(scripts + file, name, info)


@pytest.mark.parametrize(
    ("rest", "status", "reason"),
    [
        ("/none", 404, "does not exist"),
        ("/none/run.py", 404, "does not exist"),
        ("/", 403, "is a directory"),
        ("/deep", 403, "is a directory"),
        ("/deep/", 403, "is a directory"),
        ("/deep//er/x", 403, "is a directory"),
        ("/.hidden", 404, "is hidden"),
        ("/deep/.x", 404, "is hidden"),
        ("/fifo", 404, "neither a file nor a directory"),
        ("/" + "x" * 300, 404, "does not exist"),
        ("/a\0b", 404, "does not exist"),
    ],
)
def test_where_there_is_no_script_the_reason_is_given(
    scripts: str, rest: str, status: int, reason: str
) -> None:
    found = find_script(scripts, "/cgi-bin", rest)
    assert isinstance(found, Unusable)
    assert found.status == status
    assert reason in found.reason


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("run.py", None, ""),
        ("plain", 403, "chmod +x"),
        ("deep", 403, "is a directory"),
        ("none", 404, "does not exist"),
        ("fifo", 404, "neither"),
    ],
)
def test_a_program_that_cannot_be_run_is_known_beforehand(
    scripts: str, name: str, status: int | None, reason: str
) -> None:
    problem = check_program(f"{scripts}/{name}")
    assert (problem.status if problem else None) == status
    assert reason in (problem.reason if problem else "")


@pytest.mark.parametrize(
    ("number", "first_line", "exists", "words"),
    [
        (errno.ENOENT, b"#!/no/such/perl -w\n", False, "interpreter /no/such/perl in the first"),
        (errno.ENOENT, b"#!/bin/sh\r\n", False, "Unix line endings"),
        (errno.ENOENT, b"#!/bin/sh\n", True, "or the loader that it names does not exist"),
        (errno.ENOENT, b"\x7fELF", True, "or the loader that it names does not exist"),
        (errno.ENOEXEC, b"", True, "is empty"),
        (errno.ENOEXEC, b"print('x')\n", True, "does not begin with #!"),
        (errno.EACCES, b"#!/bin/sh\n", True, "its interpreter /bin/sh may not be executed"),
        (errno.EACCES, b"\x7fELF", True, "noexec"),
        (errno.ENOEXEC, b"\x7fELF\x02", True, "another kind of machine"),
        (errno.E2BIG, b"", True, "larger than can be given"),
        (errno.EMSGSIZE, b"", True, "larger than can be given"),
        (errno.ETXTBSY, b"", True, "open for writing"),
        (errno.ELOOP, b"", True, "a script itself"),
        (errno.EIO, b"", True, "cannot be executed: EIO"),
        (9999, b"", True, "cannot be executed: 9999"),
    ],
)
def test_why_a_program_cannot_be_executed_is_said_in_words(
    number: int, first_line: bytes, exists: bool, words: str
) -> None:
    said = spawn_failure(number, "/srv/x.cgi", first_line, exists)
    assert words in said
    assert "/srv/x.cgi" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("line", "interpreter"),
    [
        (b"#!/bin/sh", "/bin/sh"),
        (b"#! /bin/sh -e\n", "/bin/sh"),
        (b"#!\t/bin/sh\t-e\n", "/bin/sh"),
        (b"#!/usr/bin/env python3\nprint", "/usr/bin/env"),
        (b"#!/bin/sh\r\n", "/bin/sh\r"),
        (b"#!\n", ""),
    ],
)
def test_the_interpreter_stands_in_the_first_line(line: bytes, interpreter: str) -> None:
    assert interpreter_of(line) == interpreter


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "exit status 0"),
        (3 << 8, "exit status 3"),
        (int(signal.SIGKILL), "signal 9 (SIGKILL)"),
        (int(signal.SIGSEGV) | 0x80, "signal 11 (SIGSEGV)"),
        (40, "signal 40"),
    ],
)
def test_an_end_is_said_in_words(status: int, words: str) -> None:
    assert exit_words(status) == words
