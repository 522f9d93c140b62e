"""The error log: what a line looks like, and what cannot stop it."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from forkd.logs.error import start_error_log

LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} [+-]\d{4} "
    r"(?P<level>[A-Z]+) (?P<who>.+) pid (?P<pid>\d+): (?P<text>.*)"
)
log = logging.getLogger("forkd.test")


@pytest.fixture(autouse=True)
def _logger_as_it_was() -> Iterator[None]:
    logger = logging.getLogger("forkd")
    before = (logger.handlers[:], logger.level, logger.propagate, logging.raiseExceptions)
    yield
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])
    logging.raiseExceptions = before[3]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    path = tmp_path / "error.log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
    yield descriptor, path
    os.close(descriptor)


def test_a_line_says_when_how_bad_who_and_what(file: tuple[int, Path]) -> None:
    start_error_log(file[0], "info", "worker 3 gen 2")
    log.warning("the disk is %s", "full")
    match = LINE.fullmatch(file[1].read_text().removesuffix("\n"))
    assert match is not None
    assert match.groupdict() == {
        "level": "WARNING",
        "who": "worker 3 gen 2",
        "pid": str(os.getpid()),
        "text": "the disk is full",
    }


@pytest.mark.parametrize(
    ("level", "said"),
    [
        ("debug", ["DEBUG", "INFO", "WARNING", "ERROR"]),
        ("info", ["INFO", "WARNING", "ERROR"]),
        ("warning", ["WARNING", "ERROR"]),
        ("error", ["ERROR"]),
    ],
)
def test_what_is_less_important_than_the_level_is_left_out(
    file: tuple[int, Path], level: str, said: list[str]
) -> None:
    start_error_log(file[0], level, "master")
    for speak in (log.debug, log.info, log.warning, log.error):
        speak("word")
    found = [LINE.fullmatch(line) for line in file[1].read_text().splitlines()]
    assert [match["level"] for match in found if match] == said


def test_a_fault_is_logged_with_its_stack(file: tuple[int, Path]) -> None:
    start_error_log(file[0], "error", "master")
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("fault")
    first, *stack = file[1].read_text().splitlines()
    assert first.endswith(": fault")
    assert stack[0].startswith("Traceback")
    assert stack[-1] == "ValueError: broken"


def test_starting_again_replaces_what_was_set(file: tuple[int, Path]) -> None:
    start_error_log(file[0], "info", "master")
    start_error_log(file[0], "info", "worker 1 gen 1")
    log.info("once")
    (line,) = file[1].read_text().splitlines()
    assert "worker 1 gen 1" in line


def test_text_that_is_no_utf_8_is_written_all_the_same(file: tuple[int, Path]) -> None:
    start_error_log(file[0], "info", "master")
    log.info("no such file: %s", "\udcff")
    assert "no such file: \\udcff" in file[1].read_text()


def test_a_log_that_cannot_be_written_does_not_stop_the_service() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC)
    start_error_log(descriptor, "info", "master")
    log.error("lost")
    os.close(descriptor)


def test_no_text_of_others_begins_a_line_or_reaches_a_terminal(file: tuple[int, Path]) -> None:
    descriptor, path = file
    start_error_log(descriptor, "info", "worker 1 gen 1")
    log.error("%s does not exist", "x\n2026-01-01 ERROR master pid 1: forged\x1b[2J\r\x00")
    log.error("stacks:\n  File one\nFile two")
    first, forged, stacks, one, two = path.read_text().splitlines()
    assert LINE.fullmatch(first)
    assert forged == r"    2026-01-01 ERROR master pid 1: forged\x1b[2J\r\x00 does not exist"
    assert LINE.fullmatch(stacks)
    assert (one, two) == ("  File one", "    File two")
