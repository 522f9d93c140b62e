"""What `forkd status` tells, of children that a test has put into the table."""

from __future__ import annotations

import os
import socket

from forkd import __version__
from forkd.config.address import FdAddress, UdpAddress, UnixAddress
from forkd.master.lifecycle import Child, State
from forkd.master.status import (
    LastReload,
    Totals,
    about,
    figures,
    listeners,
    summary,
    totals,
    workers,
)
from forkd.master.supervisor import Supervisor
from forkd.scoreboard import Counters, Slot
from tests.unit.master.test_lifecycle import SPAWNERS, child


def add(supervisor: Supervisor, one: Child, *counters: int) -> Slot:
    supervisor.children[one.slot] = one
    slot = supervisor.slot(one)
    requests, connections, sent, errors, now_open, busy = (*counters, *[0] * 6)[:6]
    slot.write(99.0, requests, connections, sent, errors, now_open, busy, 95.0)
    return slot


def test_each_worker_has_an_entry_by_slot_and_spawners_have_none(supervisor: Supervisor) -> None:
    add(supervisor, child(2, State.DRAINING, since=90.0, generation=2), 7, 6, 5, 4, 3, 2)
    add(supervisor, child(1, since=50.0))
    add(supervisor, child(3, pool=SPAWNERS))
    first, second = workers(supervisor, 100.0)
    assert (first["slot"], first["state"], first["since_s"]) == (1, "ready", 50.0)
    assert second == {
        "slot": 2,
        "pid": 2,
        "generation": 2,
        "state": "draining",
        "requests": 7,
        "connections": 3,
        "threads_busy": 2,
        "threads_waiting": 0,
        "programs": 0,
        "since_s": 10.0,
        "stalled_s": None,
        "memory_pss": None,
        "cpu_percent": None,
        "request": None,
    }


def test_a_worker_that_gives_no_sign_of_life_is_told_with_for_how_long(
    supervisor: Supervisor,
) -> None:
    add(supervisor, child(1))
    add(supervisor, child(2, State.DRAINING))
    add(supervisor, child(3, State.STARTING))
    unborn = add(supervisor, child(4, State.DRAINING))
    unborn.clear()
    told = [[entry["stalled_s"] for entry in workers(supervisor, now)] for now in (100.9, 101.5)]
    assert told == [[None, None, None, None], [2.5, 2.5, None, None]]


def test_the_cpu_is_told_as_long_as_the_worker_says_it(supervisor: Supervisor) -> None:
    slot = add(supervisor, child(1))
    for used, at in ((5.0, 98.0), (5.1234, 99.0)):
        slot.write_cpu(used, at)
    told = [workers(supervisor, now)[0]["cpu_percent"] for now in (100.0, 101.5)]
    assert told == [12.3, None], "what a worker that stands still needs is not known"


def test_the_oldest_request_is_told_with_its_age(supervisor: Supervisor) -> None:
    slot = add(supervisor, child(1))
    slot.write_request(b"0123\x00192.0.2.9\x00GET\x00/caf\xc3\xa9?\xff\x00/")
    slot.write_memory(12345)
    (entry,) = workers(supervisor, 100.0)
    assert entry["memory_pss"] == 12345
    assert entry["request"] == {
        "id": "0123",
        "client": "192.0.2.9",
        "method": "GET",
        "target": "/café?\ufffd",
        "route": "/",
        "since_s": 5.0,
    }


def test_a_request_text_that_was_cut_is_not_shown_half(supervisor: Supervisor) -> None:
    add(supervisor, child(1)).write_request(b"0123\x00192.0.2.9\x00GET\x00/" + b"x" * 1000)
    (entry,) = workers(supervisor, 100.0)
    assert entry["request"] is None


def test_totals_count_the_living_and_the_dead_but_no_spawners(supervisor: Supervisor) -> None:
    gone = Totals(100, 200, 300, 400)
    gone.add(Counters(requests=1, connections=1, bytes_sent=1, errors=1))
    add(supervisor, child(1), 10, 20, 30, 40)
    add(supervisor, child(2), 1, 2, 3, 4)
    add(supervisor, child(3, pool=SPAWNERS), 1000)
    assert totals(supervisor, gone) == Totals(112, 223, 334, 445)
    assert gone == Totals(101, 201, 301, 401), "asking changes nothing"


def test_the_summary_is_one_line(supervisor: Supervisor) -> None:
    add(supervisor, child(1), 10, 20, 30, 40, 3)
    assert summary(supervisor, Totals(5)) == "1 workers, 3 connections, 15 requests answered"
    add(supervisor, child(2, State.DRAINING), 0, 0, 0, 0, 1)
    add(supervisor, child(3, State.STARTING))
    told = summary(supervisor, Totals(5))
    assert told == "1 workers (1 draining), 4 connections, 15 requests answered"


def test_listeners_are_told_as_they_are_bound() -> None:
    with (
        socket.socket() as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
    ):
        for sock in (tcp, udp):
            sock.bind(("127.0.0.1", 0))
        tcp.listen()
        ports = [sock.getsockname()[1] for sock in (tcp, udp)]
        datagrams = UdpAddress("127.0.0.1", 0)
        told = listeners(
            [(FdAddress("http"), tcp), (UnixAddress("/run/s"), unix), (datagrams, udp)],
            {datagrams: "udp", UnixAddress("/run/s"): "tcp"},
        )
        assert told == [
            {"address": f"127.0.0.1:{ports[0]}", "protocol": "http", "queue": 0},
            {"address": "unix:/run/s", "protocol": "tcp", "queue": None},
            {"address": f"127.0.0.1:{ports[1]}", "protocol": "udp", "queue": None},
        ]


def test_the_program_names_its_version_itself_and_its_last_reload() -> None:
    told = about("conf/forkd.yaml", 0.0, LastReload(5.0, False, ("why",)))
    assert isinstance(told.pop("uptime_s"), float)
    assert told == {
        "version": __version__,
        "pid": os.getpid(),
        "config": "conf/forkd.yaml",
        "started": 0.0,
        "last_reload": {"at": 5.0, "ok": False, "reasons": ["why"]},
    }
    assert about("x", 0.0, None)["last_reload"] is None


def test_the_figures_have_the_keys_of_the_interface(supervisor: Supervisor) -> None:
    add(supervisor, child(1), 10, 20, 30, 40)
    told = figures(supervisor, Totals(), [], {}, 100.0)
    assert told.keys() == {"listeners", "workers", "totals"}
    expected = {"requests": 10, "connections": 20, "bytes_sent": 30, "errors": 40}
    assert told["totals"] == expected
