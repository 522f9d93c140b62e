"""What is kept of a failed CGI request, and how little of it."""

from __future__ import annotations

import errno
import json
import logging
import os
import resource
import stat
from pathlib import Path
from typing import Any

import pytest

from forkd.handlers.black_box import (
    KEPT_BODY,
    KEPT_STDERR,
    BlackBox,
    pack,
    record_name,
    unpack,
)
from forkd.handlers.programs import Ended, Program
from forkd.handlers.recording import Recorder

ID = "0123456789abcdef"
PROGRAM = Program(
    (b"/srv/run.py",), {b"REQUEST_METHOD": b"POST", b"HTTP_X": b"caf\xe9 \xc3\xa9"}, b"/srv"
)


@pytest.fixture
def box(tmp_path: Path) -> BlackBox:
    return BlackBox(tmp_path / "records", 0, "/cgi-bin/")


def fail(box: BlackBox, request_id: str = ID, body: bytes = b"", stderr: bytes = b"") -> None:
    recorder: Recorder = box.recorder(request_id, "/srv/run.py")
    recorder.ordered(PROGRAM)
    recorder.body(body)
    recorder.stderr(stderr)
    recorder.failed(502, "the script ended without a header")
    recorder.ended(Ended(3 << 8, 0.25, 4096))


def read(box: BlackBox, request_id: str = ID) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((box.directory / record_name(request_id)).read_text())
    return found


def test_a_record_says_what_the_program_was_given_and_how_it_ended(box: BlackBox) -> None:
    fail(box, body=b"a=1", stderr=b"Traceback\n")
    record = read(box)
    assert record["id"] == ID
    assert (record["site"], record["route"], record["script"]) == (0, "/cgi-bin/", "/srv/run.py")
    assert (record["status"], record["exit"]) == (502, "exit status 3")
    assert (record["cpu_s"], record["peak_memory"]) == (0.25, 4096)
    assert record["environ"] == {"REQUEST_METHOD": "POST", "HTTP_X": "caf\udce9 é"}
    assert record["environ"]["HTTP_X"].encode("utf-8", "surrogateescape") == b"caf\xe9 \xc3\xa9"
    assert record["body"] == {"text": "a=1"}
    assert record["stderr"] == {"text": "Traceback\n"}


def test_nobody_but_its_owner_may_read_it(box: BlackBox) -> None:
    before = os.umask(0)
    try:
        fail(box)
    finally:
        os.umask(before)
    assert stat.S_IMODE(box.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((box.directory / record_name(ID)).stat().st_mode) == 0o600


def test_what_does_not_fail_leaves_nothing(box: BlackBox) -> None:
    recorder = box.recorder(ID, "/srv/run.py")
    recorder.ordered(PROGRAM)
    recorder.body(b"x")
    recorder.ended(Ended(0, 0.0, 0))
    assert not box.directory.exists()


def test_an_end_that_is_not_known_is_recorded_as_such(box: BlackBox) -> None:
    recorder = box.recorder(ID, "/srv/run.py")
    recorder.ordered(PROGRAM)
    recorder.failed(502, "the spawner died while the program ran")
    recorder.ended(None)
    assert read(box)["exit"] is None


def test_of_a_large_body_the_beginning_is_kept_and_of_stderr_the_end(box: BlackBox) -> None:
    recorder = box.recorder(ID, "/srv/run.py")
    recorder.ordered(PROGRAM)
    for number in range(100):
        recorder.body(b"%04d" % number * 1024)
        recorder.stderr(b"%04d" % number * 1024)
    recorder.failed(504, "no progress")
    recorder.ended(None)
    record = read(box)
    body, stderr = unpack(record["body"]), unpack(record["stderr"])
    assert (len(body), record["body_size"]) == (KEPT_BODY, 409_600)
    assert (len(stderr), record["stderr_size"]) == (KEPT_STDERR, 409_600)
    assert body.startswith(b"0000")
    assert stderr.endswith(b"0099")


@pytest.mark.parametrize("data", [b"", b"text \xc3\xa9\n\0", bytes(range(256))])
def test_bytes_survive_the_way_through_json(data: bytes) -> None:
    assert unpack(json.loads(json.dumps(pack(data)))) == data


def ids(box: BlackBox) -> list[str]:
    return sorted(path.stem for path in box.directory.glob("*.json"))


def age(box: BlackBox, request_id: str, seconds: float) -> None:
    path = box.directory / record_name(request_id)
    now = path.stat().st_mtime
    os.utime(path, (now - seconds, now - seconds))


def test_the_oldest_records_go(tmp_path: Path) -> None:
    box = BlackBox(tmp_path, 0, "/", most_records=3)
    for number in range(5):
        fail(box, f"{number:016x}")
        age(box, f"{number:016x}", 100 - number)
    assert ids(box) == [f"{number:016x}" for number in (2, 3, 4)]


def test_what_cannot_be_removed_does_not_keep_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    box = BlackBox(tmp_path, 0, "/", most_records=3)
    directory = tmp_path / record_name("f" * 16)
    directory.mkdir()
    os.utime(directory, (1 << 33, 1 << 33))
    unlink = os.unlink

    def refused(path: str) -> None:
        if path.endswith(record_name(f"{1:016x}")):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        unlink(path)

    monkeypatch.setattr(os, "unlink", refused)
    for number in range(6):
        fail(box, f"{number:016x}")
        age(box, f"{number:016x}", 100 - number)
    assert ids(box) == [f"{number:016x}" for number in (1, 3, 4, 5)] + ["f" * 16]
    assert "not recorded" not in caplog.text


def test_a_directory_with_the_name_of_a_record_does_not_stop_the_tidying(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    box = BlackBox(tmp_path, 0, "/", most_records=2)
    directory = tmp_path / record_name("f" * 16)
    directory.mkdir()
    os.utime(directory, (1, 1))
    for number in range(4):
        fail(box, f"{number:016x}")
        age(box, f"{number:016x}", 100 - number)
    assert ids(box) == [f"{number:016x}" for number in (2, 3)] + ["f" * 16]
    assert "not recorded" not in caplog.text


def test_so_many_bytes_are_kept(tmp_path: Path) -> None:
    box = BlackBox(tmp_path, 0, "/", most_bytes=25_000)
    for number in range(5):
        fail(box, f"{number:016x}", b"x" * 10_000)
        age(box, f"{number:016x}", 100 - number)
    assert ids(box) == [f"{number:016x}" for number in (3, 4)]


def test_one_record_is_kept_however_little_room_there_is(tmp_path: Path) -> None:
    box = BlackBox(tmp_path, 0, "/", most_bytes=1)
    fail(box)
    assert ids(box) == [ID]


def test_what_a_worker_left_unfinished_goes_and_what_is_somebody_elses_stays(
    tmp_path: Path,
) -> None:
    box = BlackBox(tmp_path, 0, "/")
    left, fresh, foreign = (tmp_path / name for name in (f".{ID}.41", f".{ID}.42", "notes.txt"))
    for path in (left, fresh, foreign):
        path.write_text("")
    os.utime(left, (1000, 1000))
    os.utime(foreign, (1000, 1000))
    fail(box)
    assert not left.exists()
    assert fresh.exists()
    assert foreign.exists()


def test_where_nothing_can_be_written_one_line_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.INFO, "forkd.cgi"):
        fail(BlackBox(tmp_path / "file" / "records", 0, "/"))
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"cgi not recorded in {tmp_path}/file/records: ")
    assert line.endswith(f"id={ID} script=/srv/run.py")


def test_a_full_disk_leaves_nothing_behind(box: BlackBox, caplog: pytest.LogCaptureFixture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # Python ignores SIGXFSZ
    try:
        fail(box)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cgi not recorded" in caplog.text
    assert list(box.directory.iterdir()) == []


def test_a_link_in_the_place_of_an_unfinished_record_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    box = BlackBox(tmp_path / "records", 0, "/")
    box.directory.mkdir()
    (box.directory / f".{ID}.{os.getpid()}").symlink_to(victim)
    fail(box)
    assert victim.read_text() == "precious"
