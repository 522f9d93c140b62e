"""How CGI requests end when the script, the client, the worker or the spawner fails."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.daemon import DEADLINE_S, children_of, eventually, is_running
from tests.system.scripts import Scripts, parent_of, reset, running_scripts
from tests.system.tools import need
from tests.system.wire import Wire, fetch, request


@pytest.fixture
def scripts(tmp_path: Path) -> Iterator[Scripts]:
    with running_scripts(tmp_path) as running:
        yield running


def wait_until_running(scripts: Scripts, count: int = 1) -> set[int]:
    eventually(lambda: len(scripts.running()) >= count, "the script runs")
    return scripts.running()


def test_a_silent_script_is_ended_with_504(scripts: Scripts) -> None:
    assert fetch(scripts.port, "/short/silent.sh").status == 504
    (line,) = scripts.lines("cgi 504: no progress for 0.5 s: terminated id=")
    assert f"script={scripts.directory}/silent.sh" in line
    scripts.wait_until_gone()


def test_what_ignores_term_is_killed_after_five_seconds(scripts: Scripts) -> None:
    assert fetch(scripts.port, "/short/stubborn.sh").status == 504
    began = time.monotonic()
    assert scripts.running()
    scripts.wait_until_gone(8)
    assert time.monotonic() - began > 3


def test_a_stop_does_not_wait_for_groups_that_are_gone(scripts: Scripts) -> None:
    # Two processes: the group outlives its first member by a moment.
    assert fetch(scripts.port, "/short/silent.sh").status == 504
    scripts.wait_until_gone()
    began = time.monotonic()
    assert scripts.daemon.stop() == 0
    assert time.monotonic() - began < 3


def test_a_reset_ends_a_script_that_writes_for_ever(scripts: Scripts) -> None:
    with scripts.begin("/cgi-bin/endless.sh") as wire:
        assert wire.head().status == 200
        wire.chunk()
        wait_until_running(scripts)
        reset(wire)
    scripts.wait_until_gone()
    assert scripts.lines("the client has gone: terminated", "endless.sh")


def test_half_of_an_upload_is_not_taken_for_the_whole(scripts: Scripts) -> None:
    whole = scripts.daemon.directory / "whole"
    path = scripts.directory / "keep.sh"
    path.write_text(f"#!/bin/sh\ncat > {whole}.part && mv {whole}.part {whole}\n")
    path.chmod(0o755)
    for moment in ("at once", "later"):
        wire = Wire(scripts.port)
        wire.send(b"POST /cgi-bin/keep.sh HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
        if moment == "later":
            wait_until_running(scripts)
        reset(wire)
        scripts.wait_until_gone()
        assert not whole.exists()


def test_a_reset_ends_a_script_that_is_silent(scripts: Scripts) -> None:
    with scripts.begin("/cgi-bin/silent.sh") as wire:
        wait_until_running(scripts, 2)
        reset(wire)
    scripts.wait_until_gone()


def test_a_client_that_has_sent_its_end_is_given_five_seconds(scripts: Scripts) -> None:
    with scripts.begin("/cgi-bin/silent.sh") as wire:
        wait_until_running(scripts, 2)
        wire.end()
        began = time.monotonic()
        assert wire.rest() == b""
        assert 4 < time.monotonic() - began < 8
    scripts.wait_until_gone()


def test_an_answer_that_comes_within_five_seconds_of_the_end_is_sent(scripts: Scripts) -> None:
    with scripts.begin("/cgi-bin/gated.sh") as wire:
        wire.end()
        assert wire.head().status == 200
        scripts.open_gate()
        assert b"second" in wire.rest()


def test_a_script_may_finish_without_its_client(scripts: Scripts) -> None:
    with scripts.begin("/finish/gated.sh") as wire:
        assert wire.head().status == 200
        wait_until_running(scripts)
        reset(wire)
    eventually(lambda: scripts.daemon.workers()[0]["connections"] == 0, "the client is gone")
    scripts.open_gate()
    eventually(scripts.done.exists, "the script has finished")
    scripts.wait_until_gone()


def test_a_script_that_closes_its_output_answers_and_goes_on(scripts: Scripts) -> None:
    with scripts.begin("/cgi-bin/closes.sh") as wire:
        assert wire.answer().text == "answer"
        assert wire.get("/page.txt").text == "page"
    assert wait_until_running(scripts)
    scripts.open_gate()
    eventually(scripts.done.exists, "the script has finished")
    scripts.wait_until_gone()


def test_a_child_that_holds_the_output_belongs_to_the_answer(scripts: Scripts) -> None:
    with scripts.begin("/cgi-bin/background.sh") as wire:
        assert wire.head().status == 200
        assert wire.chunk() == b"parent "
        scripts.open_gate()
        assert wire.chunk() == b"child"
        assert wire.chunk() == b""


def test_a_child_that_holds_the_output_for_ever_is_ended(scripts: Scripts) -> None:
    with scripts.begin("/short/background.sh") as wire:
        wire.head()
        assert wire.chunk() == b"parent "
        # Not whole, and the client can tell: the last chunk never comes.
        assert wire.rest() == b""
    scripts.wait_until_gone()


def test_a_script_need_not_read_its_body(scripts: Scripts) -> None:
    body = bytes(5 << 20)
    with Wire(scripts.port) as wire:
        wire.send(request("/cgi-bin/deaf.sh", method="POST", body=body))
        assert wire.answer().text == "I did not listen"
    assert fetch(scripts.port, "/cgi-bin/deaf.sh", method="POST", body=b"x").status == 200


def test_a_script_may_write_before_it_reads(scripts: Scripts) -> None:
    size = 1 << 20
    (scripts.daemon.directory / "body").write_bytes(bytes(size))
    result = subprocess.run(
        [
            *(need("curl"), "--silent", "--show-error", "--noproxy", "*", "-H", "Expect:"),
            *("--data-binary", f"@{scripts.daemon.directory}/body"),
            f"{scripts.daemon.url}/cgi-bin/writes-first.pl",
        ],
        capture_output=True,
        timeout=DEADLINE_S,
    )
    assert result.stdout == b"w" * size + str(size).encode()


def kill_spawner(scripts: Scripts) -> int:
    """Kill the spawner of the script that runs; its pid."""
    spawner = next(
        parent
        for parent in map(parent_of, wait_until_running(scripts))
        if parent in scripts.daemon.children()
    )
    os.kill(spawner, signal.SIGKILL)
    return spawner


def test_the_spawners_death_costs_the_requests_that_it_ran(scripts: Scripts) -> None:
    with scripts.begin("/cgi-bin/silent.sh") as wire:
        scripts.daemon.wait_for_log("cgi stderr: begun")
        spawner = kill_spawner(scripts)
        assert wire.answer().status == 502
        assert wire.get("/cgi-bin/echo.sh").status == 200
    assert scripts.lines("cgi 502: the spawner died", "silent.sh", "id=")
    scripts.wait_until_gone()
    eventually(lambda: not is_running(spawner), "the spawner is gone")
    for _ in range(20):
        assert fetch(scripts.port, "/cgi-bin/echo.sh").status == 200


def test_an_answer_that_the_spawners_death_cuts_off_does_not_look_whole(scripts: Scripts) -> None:
    with scripts.begin("/cgi-bin/gated.sh") as wire:
        wire.head()
        assert wire.chunk() == b"first\n"
        kill_spawner(scripts)
        with pytest.raises(ConnectionError):
            wire.chunk()
    scripts.wait_until_gone()


def test_the_workers_death_ends_its_scripts(scripts: Scripts) -> None:
    with scripts.begin("/cgi-bin/silent.sh") as wire:
        wait_until_running(scripts, 2)
        (worker,) = scripts.daemon.workers()
        os.kill(worker["pid"], signal.SIGKILL)
        with pytest.raises(ConnectionError):
            wire.answer()
    scripts.wait_until_gone()
    assert fetch(scripts.port, "/cgi-bin/echo.sh").status == 200


def test_nothing_is_left_when_forkd_stops(tmp_path: Path) -> None:
    with running_scripts(tmp_path) as scripts:
        with scripts.begin("/cgi-bin/endless.sh") as wire:
            wire.head()
            wait_until_running(scripts)
            children = children_of(scripts.daemon.pid)
            scripts.daemon.send_signal(signal.SIGQUIT)
            assert scripts.daemon.process.wait(DEADLINE_S) == 0
        scripts.wait_until_gone()
        assert not [pid for pid in children if is_running(pid)]
