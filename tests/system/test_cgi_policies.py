"""What a route imposes on its programs: a user, interpreters, limits, how many at a time."""

from __future__ import annotations

import os
import pwd
import resource
import select
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from forkd.system.process_tree import has_in_environment
from tests.system.daemon import DEADLINE_S, Daemon, eventually, started
from tests.system.scripts import reset
from tests.system.sites import make_site, open_to_all, script
from tests.system.wire import Wire, request

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
HEADER = "printf 'Content-Type: text/plain\\n\\n'"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    make_site(tmp_path)
    open_to_all(tmp_path)
    return tmp_path


def told(daemon: Daemon, target: str) -> str:
    answer = requests.get(daemon.url + target, timeout=DEADLINE_S)
    assert answer.status_code == 200, daemon.error_log
    return answer.text


@needs_root
def test_the_programs_of_a_route_run_as_its_user_who_alone_may_read_them(site: Path) -> None:
    entry = pwd.getpwnam("nobody")
    secret = script(site, "secret.sh", f"{HEADER}; cat /proc/self/status")
    os.chown(secret, entry.pw_uid, entry.pw_gid)
    secret.chmod(0o700)
    closed = script(site, "closed.sh", HEADER)
    closed.chmod(0o700)
    routes = {"/own/": "{cgi: cgi-bin, user: nobody}", "/": "{cgi: cgi-bin}"}
    with started(site, routes, top="user: www-data") as daemon:
        lines = dict(
            line.partition(":")[::2] for line in told(daemon, "/own/secret.sh").split("\n")
        )
        assert lines["Uid"].split() == [str(entry.pw_uid)] * 4
        assert lines["Gid"].split() == [str(entry.pw_gid)] * 4
        assert sorted(map(int, lines["Groups"].split())) == sorted(
            os.getgrouplist("nobody", entry.pw_gid)
        )
        assert all(int(lines[f"Cap{kind}"], 16) == 0 for kind in ("Eff", "Prm", "Inh", "Amb"))
        assert lines["NoNewPrivs"].strip() == "1"
        for target, user in (("/secret.sh", "www-data"), ("/own/closed.sh", "nobody")):
            assert requests.get(daemon.url + target, timeout=DEADLINE_S).status_code == 403
            assert f"cgi 403: user {user} may not run {site}/cgi-bin/" in daemon.error_log


def test_files_of_an_ending_are_run_by_their_interpreter(site: Path) -> None:
    plain = site / "cgi-bin" / "plain.txt.sh"
    plain.write_text(f'{HEADER}; echo "$0 $# $PATH_INFO $SCRIPT_FILENAME"\n')
    unreadable = script(site, "closed.sh", HEADER)
    unreadable.chmod(0)
    routes = {"/": '{cgi: cgi-bin, interpreters: {".sh": /bin/sh, ".off": /bin/sh}}'}
    # Root may read everything.
    top = "user: www-data" if os.geteuid() == 0 else ""
    with started(site, routes, top=top) as daemon:
        assert told(daemon, "/plain.txt.sh/more?query") == f"{plain} 0 /more {plain}\n"
        assert requests.get(f"{daemon.url}/closed.sh", timeout=DEADLINE_S).status_code == 403
        assert f"may not read {unreadable} (chmod +r {unreadable})" in daemon.error_log
        assert requests.get(f"{daemon.url}/missing.sh", timeout=DEADLINE_S).status_code == 404
        assert requests.get(f"{daemon.url}/missing.off/x", timeout=DEADLINE_S).status_code == 404


def test_limits_are_those_of_the_program_and_of_nobody_else(site: Path) -> None:
    show = f"{HEADER}; cat /proc/self/limits"
    script(site, "limits.sh", show)
    # Soft limits are there from the beginning, hard ones a moment later.
    hard = "until grep -q 'open files *40 *40' /proc/$$/limits; do :; done"
    script(site, "hard.sh", f"{hard}; {show}")
    limits = "{cpu: 1500ms, memory: 200M, file_size: 1M, open_files: 40}"
    routes = {"/limited/": f"{{cgi: cgi-bin, limits: {limits}}}", "/": "{cgi: cgi-bin}"}
    with started(site, routes) as daemon:
        limited, free = told(daemon, "/limited/hard.sh"), told(daemon, "/limits.sh")
        at_once = told(daemon, "/limited/limits.sh")

    def row(text: str, name: str) -> list[str]:
        (line,) = [line for line in text.splitlines() if line.startswith(f"Max {name} ")]
        return line.removeprefix(f"Max {name}").split()[:2]

    assert row(at_once, "cpu time")[0] == "2"
    assert row(at_once, "open files")[0] == "40"
    assert row(limited, "cpu time") == ["2", "3"]
    assert row(limited, "address space") == [str(200 << 20)] * 2
    assert row(limited, "file size") == [str(1 << 20)] * 2
    assert row(limited, "open files") == ["40", "40"]
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert row(free, "open files")[0] == str(soft)
    assert row(free, "cpu time") == ["unlimited"] * 2


@needs_root
def test_a_fork_bomb_ends_at_the_limit_and_another_users_programs_go_on(site: Path) -> None:
    count = "n=0; while [ $n -lt 60 ]; do n=$((n+1)); (read line < ../gate) & done; wait"
    script(site, "bomb.sh", count)
    script(site, "hello.sh", f"{HEADER}; echo hello")
    os.mkfifo(site / "gate", 0o666)
    (site / "gate").chmod(0o666)
    routes = {
        # Somebody as whom nothing else runs, not even other tests: all processes of a user count.
        "/own/": "{cgi: cgi-bin, user: backup, limits: {processes: 20}, timeout: 500ms}",
        "/": "{cgi: cgi-bin}",
    }
    with started(site, routes, top="user: www-data") as daemon:
        answer = requests.get(f"{daemon.url}/own/bomb.sh", timeout=DEADLINE_S)
        assert answer.status_code == 504
        assert "Cannot fork" in daemon.error_log
        assert told(daemon, "/hello.sh") == "hello\n"
        assert told(daemon, "/own/hello.sh") == "hello\n"


@pytest.fixture
def held(site: Path) -> Iterator[tuple[Path, int]]:
    """A log in which held.sh writes + and, once it is let go by a line, -; where to write lines."""
    log, gate = site / "log", site / "gate"
    os.mkfifo(gate)
    log.touch()
    for path in (gate, log):
        path.chmod(0o666)
    script(
        site, "held.sh", f"echo + >> {log}; read x < {gate}; echo - >> {log}; {HEADER}; echo done"
    )
    # Open for both, so that a script never sees the end.
    descriptor = os.open(gate, os.O_RDWR)
    yield log, descriptor
    os.close(descriptor)


def test_only_so_many_programs_of_a_route_run_at_a_time(site: Path, held: tuple[Path, int]) -> None:
    """Whichever worker is asked. Others wait, and those beyond are told to come back."""
    log, gate = held
    routes = {"/": "{cgi: cgi-bin, max_concurrent: 2, max_queued: 3}", "/free/": "{cgi: cgi-bin}"}
    with (
        started(site, routes, workers="{count: 3}") as daemon,
        ThreadPoolExecutor(7) as pool,
    ):
        url = f"{daemon.url}/held.sh"
        asked = [pool.submit(requests.get, url, timeout=DEADLINE_S) for _ in range(7)]
        eventually(lambda: sum(one.done() for one in asked) == 2, "two are refused")
        eventually(lambda: log.read_text() == "+\n+\n", "two programs run")
        for answer in [one.result() for one in asked if one.done()]:
            assert answer.status_code == 503
            assert answer.headers["Retry-After"].isdecimal()
        reason = "2 programs of the route run (max_concurrent) and 3 requests wait (max_queued)"
        assert f"cgi 503: {reason}" in daemon.error_log
        assert told(daemon, "/free/hi.sh") == "hi\n"
        os.write(gate, b"\n" * 5)
        statuses = sorted(one.result().status_code for one in asked)
    assert statuses == [200] * 5 + [503] * 2
    most = now = 0
    for line in log.read_text().split():
        now += 1 if line == "+" else -1
        most = max(most, now)
    assert (most, now) == (2, 0)


def test_who_gives_up_waiting_makes_room_and_who_waits_too_long_is_told(site: Path) -> None:
    script(site, "ticks.sh", f"{HEADER}; while echo tick; do sleep 0.1; done")
    routes = {"/": "{cgi: cgi-bin, max_concurrent: 1, max_queued: 1, timeout: 1s}"}
    with started(site, routes) as daemon, begun(daemon) as first:
        assert first.head().status == 200
        with begun(daemon) as second:
            assert not is_answered(second)
            with begun(daemon) as third:
                assert third.answer().status == 503
            reset(second)
        eventually(lambda: waits_in_line(daemon), "there is room for one more")
        assert "cgi 503: waited 1 s to be started" in daemon.error_log


def begun(daemon: Daemon) -> Wire:
    wire = Wire(daemon.port)
    wire.send(request("/ticks.sh"))
    return wire


def is_answered(wire: Wire) -> bool:
    return bool(select.select([wire.sock], [], [], 0.3)[0])


def waits_in_line(daemon: Daemon) -> bool:
    with begun(daemon) as wire:
        waits = not is_answered(wire)
        assert wire.answer().status == 503
        return waits


DAEMONISES = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
os.wait()
time.sleep({own})
"""


@pytest.mark.parametrize("own", [600, 0])
def test_what_has_left_the_group_is_ended_with_the_program(site: Path, own: int) -> None:
    path = site / "cgi-bin" / "daemonises.py"
    path.write_text(f"#!{sys.executable}\n{DAEMONISES.format(own=own)}")
    path.chmod(0o755)
    routes = {"/": f"{{cgi: cgi-bin, env: {{MARK: {site}}}, timeout: 500ms}}"}
    with started(site, routes) as daemon:
        answer = requests.get(f"{daemon.url}/daemonises.py", timeout=DEADLINE_S)
        assert answer.status_code == 504
        eventually(lambda: not carrying(f"MARK={site}"), "nothing of it is left")


def carrying(variable: str) -> set[int]:
    """The processes that have a variable in their environment."""
    pids = {int(name) for name in os.listdir("/proc") if name.isdecimal()}
    return {pid for pid in pids if has_in_environment(pid, variable.encode())}
