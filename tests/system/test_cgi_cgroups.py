"""Programs in cgroups of their own, where forkd has been given one that is delegated."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import requests

from tests.system.cgroups import Delegated, delegated, needs_cgroups
from tests.system.daemon import (
    DEADLINE_S,
    Daemon,
    eventually,
    is_running,
    run_forkd,
    started,
    write_config,
)
from tests.system.sites import make_site, open_to_all, script
from tests.system.wire import Wire, request

HEADER = "printf 'Content-Type: text/plain\\n\\n'"
USER = "user: www-data"

# Six that leave their session and their parent, twice, empty their environment, ignore TERM and
# keep their stdout open. The first process is over at once.
ESCAPES = """\
for n in 1 2 3 4 5 6; do
    (setsid sh -c "(setsid env -i /bin/sh {hidden} &)" &)
done
"""
HIDDEN = "trap '' TERM; echo $$ >> {own}; exec sleep 1000"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    make_site(tmp_path)
    script(tmp_path, "where.sh", f"{HEADER}; cat /proc/self/cgroup")
    open_to_all(tmp_path)
    return tmp_path


@pytest.fixture
def given() -> Iterator[Delegated]:
    with delegated("programs") as cgroup:
        yield cgroup


def confined(**more: str) -> dict[str, str]:
    options = {"sandbox": "{best_effort: true, read: [/proc, /sys]}"} | more
    text = ", ".join(f"{name}: {value}" for name, value in options.items())
    return {"/own/": f"{{cgi: cgi-bin, {text}}}", "/": "{cgi: cgi-bin}"}


def told(daemon: Daemon, target: str) -> str:
    answer = requests.get(daemon.url + target, timeout=DEADLINE_S)
    assert answer.status_code == 200, daemon.error_log
    return answer.text


def place(given: Delegated, text: str) -> str:
    """From /proc/PID/cgroup to the path below what was given."""
    (line,) = [line for line in text.splitlines() if line.startswith("0::")]
    return line.partition(f"/{given.path.name}")[2].lstrip("/")


@needs_cgroups
def test_each_program_is_born_in_a_cgroup_where_nobody_else_is(
    site: Path, given: Delegated
) -> None:
    with started(site, confined(), top=USER, prefix=given.prefix) as daemon:
        places = [place(given, told(daemon, "/own/where.sh")) for _ in range(9)]
        assert all(path.startswith("cgi-") and path.count("/") == 1 for path in places)
        assert all(one != other for one, other in pairwise(places))
        assert place(given, told(daemon, "/where.sh")) == "forkd"
        assert given.where(daemon.pid) == "forkd"
        assert "." not in given.members(), "the delegated cgroup itself holds nobody"


@needs_cgroups
def test_programs_can_change_no_cgroup(site: Path, given: Delegated) -> None:
    tries = [f"{given.path}/forkd/cgroup.procs", f"{given.path}/cgroup.procs"]
    script(
        site,
        "moves.sh",
        f"{HEADER}; for f in {' '.join(tries)} {given.path}/cgi-*/*/cgroup.procs; do "
        '(echo $$ > "$f") 2>/dev/null && echo moved; done; echo done; cat /proc/self/cgroup',
    )
    routes = confined(sandbox="{best_effort: true, read: [/proc, /sys], write: [/sys/fs/cgroup]}")
    with started(site, routes, top=USER, prefix=given.prefix) as daemon:
        answer = told(daemon, "/own/moves.sh")
        assert answer.startswith("done\n")
        assert place(given, answer).startswith("cgi-")


@needs_cgroups
def test_a_program_that_hides_is_ended_whole(site: Path, given: Delegated) -> None:
    """It is no member of its group, no descendant, and carries no mark."""
    own = site / "pids"
    own.touch()
    own.chmod(0o666)
    hidden = script(site, "hidden.sh", HIDDEN.format(own=own))
    script(site, "escapes.sh", ESCAPES.format(hidden=hidden))
    sandbox = f"{{best_effort: true, read: /proc, write: {own}}}"
    routes = confined(timeout="1s", sandbox=sandbox)
    with started(site, routes, top=USER, prefix=given.prefix) as daemon:
        answer = requests.get(f"{daemon.url}/own/escapes.sh", timeout=DEADLINE_S)
        assert answer.status_code == 504
        pids = [int(line) for line in own.read_text().split()]
        assert len(pids) == 6, daemon.error_log
        assert any(is_running(pid) for pid in pids), "TERM has not ended them"
        eventually(lambda: not any(map(is_running, pids)), "nothing of it is left")
        assert place(given, told(daemon, "/own/where.sh")).startswith("cgi-")


@needs_cgroups
def test_what_is_left_behind_in_order_stays_and_keeps_no_cgroup(
    site: Path, given: Delegated
) -> None:
    script(site, "leaves.sh", f"{HEADER}; sleep 1000 <&- >&- 2>&- & echo $!")
    # Three cgroups: one too few if each of those that are left behind kept its own.
    routes = confined(max_concurrent="1")
    with started(site, routes, top=USER, prefix=given.prefix) as daemon:
        pids = [int(told(daemon, "/own/leaves.sh")) for _ in range(6)]
        eventually(
            lambda: {given.where(pid).rpartition("/")[2] for pid in pids} == {"left"},
            "they are put aside",
        )
        assert place(given, told(daemon, "/own/where.sh")).startswith("cgi-")
    assert all(is_running(pid) for pid in pids)
    assert {path.rpartition("/")[2] for path in given.members()} == {"left"}


@needs_cgroups
def test_what_is_left_behind_stays_when_forkd_is_stopped_at_once(
    site: Path, given: Delegated
) -> None:
    script(site, "leaves.sh", f"{HEADER}; sleep 1000 <&- >&- 2>&- & echo $!")
    with started(site, confined(), top=USER, prefix=given.prefix) as daemon:
        pid = int(told(daemon, "/own/leaves.sh"))
    assert is_running(pid)
    assert given.where(pid).rpartition("/")[2] == "left"


@needs_cgroups
def test_more_programs_than_cgroups_wait_and_none_is_lost(site: Path, given: Delegated) -> None:
    os.mkfifo(site / "gate", 0o666)
    (site / "gate").chmod(0o666)
    script(site, "held.sh", f"{HEADER}; echo; read x < {site}/gate; echo done")
    sandbox = f"{{best_effort: true, read: [{site}]}}"
    # 32 descriptors are enough for 4 cgroups, in each of 1 to 4 spawners.
    limited = ("sh", "-c", 'ulimit -Sn 32; exec "$@"', "sh")
    prefix = (*given.prefix, *limited)
    with started(site, confined(sandbox=sandbox), top=USER, prefix=prefix) as daemon:
        gate = os.open(site / "gate", os.O_RDWR)
        wires = [Wire(daemon.port) for _ in range(24)]
        for wire in wires:
            wire.send(request("/own/held.sh"))
        daemon.wait_for_log("cgroups are in use")
        os.write(gate, b"\n" * len(wires))
        for wire in wires:
            assert wire.head().status == 200
            wire.close()
        os.close(gate)


@needs_cgroups
def test_nothing_of_a_cgroup_is_left_after_a_stop(site: Path, given: Delegated) -> None:
    with started(site, confined(), top=USER, prefix=given.prefix) as daemon:
        told(daemon, "/own/where.sh")
        assert daemon.reload()["ok"]
        told(daemon, "/own/where.sh")
    assert given.directories() == [given.path, given.path / "forkd"]


@needs_cgroups
def test_what_a_killed_spawner_had_started_is_ended(site: Path, given: Delegated) -> None:
    script(site, "hides.sh", f"{HEADER}; setsid env -i sleep 1000 & echo $!; sleep 1000")
    with started(site, confined(), top=USER, prefix=given.prefix) as daemon:
        with Wire(daemon.port) as wire:
            wire.send(request("/own/hides.sh"))
            assert wire.head().status == 200
            hidden = int(wire.chunk())
            eventually(lambda: "/" in given.where(hidden), "it runs in a cgroup")
            spawner = int(given.where(hidden).partition("/")[0].removeprefix("cgi-"))
            os.kill(spawner, signal.SIGKILL)
            eventually(lambda: not is_running(hidden), "the next spawner has ended it")
        assert place(given, told(daemon, "/own/where.sh")).startswith("cgi-")


@needs_cgroups
def test_an_upgrade_goes_on_in_the_same_cgroup(site: Path, given: Delegated) -> None:
    with started(site, confined(), top=USER, prefix=given.prefix) as daemon:
        pid = daemon.ask(command="upgrade", wait=True)["pid"]
        eventually(lambda: daemon.process.poll() is not None, "the old master has left")
        try:
            assert given.where(pid) == "forkd"
            assert place(given, told(daemon, "/own/where.sh")).startswith("cgi-")
        finally:
            os.kill(pid, signal.SIGTERM)
            eventually(lambda: not is_running(pid), "the new master has left")


COUNTED = {"/x/": "{cgi: cgi-bin, limits: {processes: 5}}"}


def test_processes_that_nobody_can_count_are_refused_at_the_start(site: Path) -> None:
    path = write_config(site, COUNTED)
    checked = run_forkd("-c", str(path), "-t")
    assert checked.returncode == 0
    assert "sites.0.routes./x/.limits.processes: needs a delegated cgroup" in checked.stderr
    ended = run_forkd("-c", str(path))
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "sites.0.routes./x/.limits.processes: counts every process of user " in ended.stderr
    assert "give the route a `user` of its own, or run forkd in a delegated cgroup" in ended.stderr


def test_a_reload_to_such_a_limit_is_refused(site: Path) -> None:
    with started(site, {"/": "{cgi: cgi-bin}"}) as daemon:
        write_config(site, COUNTED)
        answer = daemon.reload()
        assert not answer["ok"]
        assert "limits.processes: counts every process of user" in answer["reasons"][0]
        assert told(daemon, "/hi.sh") == "hi\n"


@needs_cgroups
def test_a_user_of_the_routes_own_needs_no_cgroup(site: Path) -> None:
    routes = {"/x/": "{cgi: cgi-bin, user: nobody, limits: {processes: 50}}"}
    path = write_config(site, routes, top=USER)
    assert run_forkd("-c", str(path), "-t").stderr == ""
    with started(site, routes, top=USER) as daemon:
        assert told(daemon, "/x/hi.sh") == "hi\n"
