"""`forkd status` for people."""

from __future__ import annotations

from forkd.cli.report import describe
from tests.unit.cli.answers import answer, death, request, worker

NOW = 1_000_000.0


def test_each_worker_has_a_line_with_what_it_does() -> None:
    told = describe(
        answer(
            worker(0, 7, threads_busy=8, threads_waiting=3, memory_pss=3 << 20),
            worker(1, request=request("/slow", 75.0)),
        ),
        NOW,
        100,
    ).splitlines()
    assert told[0] == "forkd 0.1.0  pid 41  running  generation 1  up 1h02m"
    assert told[-3].split() == [
        *("SLOT", "PID", "GEN", "STATE", "REQUESTS", "CONN", "BUSY", "WAIT", "MEMORY"),
        *("BUSY", "WITH"),
    ]
    assert told[-2].split() == ["0", "1000", "1", "ready", "7", "2", "8", "3", "3.0", "MiB"]
    assert told[-1].endswith("-  1m15s GET /slow")


def test_a_worker_that_stands_still_is_told_as_that() -> None:
    status = answer(
        worker(0, stalled_s=None),
        worker(1, stalled_s=12.3, request=request("/slow", 75.0)),
    )
    *_, one, other = describe(status, NOW, 120).splitlines()
    assert "stands still" not in one
    assert other.endswith("-  stands still for 12.3s 1m15s GET /slow")


def test_a_master_that_counts_no_waiting_requests_is_described_as_well() -> None:
    entry = worker(0)
    del entry["threads_waiting"]
    assert describe(answer(entry), NOW, 100)


def test_no_line_is_wider_than_it_may_be() -> None:
    status = answer(
        worker(0, request=request("/" + "x" * 300)),
        config="/srv/" + "y" * 300,
        last_reload={"at": NOW, "ok": False, "reasons": ["z" * 300]},
        deaths=[death(NOW, reason="w" * 300)],
    )
    for width, expected in ((100, 100), (10, 80), (160, 160)):
        assert max(map(len, describe(status, NOW, width).splitlines())) == expected


def test_each_reason_of_a_failed_reload_has_a_line() -> None:
    status = answer(last_reload={"at": NOW - 5, "ok": False, "reasons": ["one", "two"]})
    told = [line.strip() for line in describe(status, NOW, 100).splitlines()]
    index = told.index("last reload    5.0s ago, FAILED:")
    assert told[index + 1 : index + 3] == ["one", "two"]
    status = answer(last_reload={"at": NOW, "ok": False, "reasons": ["a-b " * 50 + "(what to do)"]})
    told = [line.strip() for line in describe(status, NOW, 90).splitlines()]
    assert "(what to do)" in " ".join(told)
    assert " ".join(told).count("a-b") == 50
    status = answer(last_reload={"at": NOW - 5, "ok": True, "reasons": []})
    assert "last reload    5.0s ago, ok\n" in describe(status, NOW, 100)


def test_the_deaths_of_the_last_hour_are_told_the_newest_first() -> None:
    told = describe(
        answer(
            deaths=[
                death(NOW - 4000, pid=1),
                death(NOW - 60, pid=2),
                death(NOW - 5, pid=3, request=request("/x")),
            ]
        ),
        NOW,
        120,
    ).splitlines()
    assert told[-3] == "DIED IN THE LAST HOUR"
    assert told[-2].endswith("pid 3 died by signal 9 (SIGKILL) while it answered GET /x")
    assert told[-1].strip().startswith("1m00s ago  worker 3 gen 2 pid 2 died")
    assert "DIED" not in describe(answer(deaths=[death(NOW - 4000)]), NOW, 120)


def test_of_many_deaths_five_are_told() -> None:
    told = describe(answer(deaths=[death(NOW - n) for n in range(20)]), NOW, 100).splitlines()
    assert told[-1].strip() == "and 15 more (forkd status --json)"
    assert sum("SIGKILL" in line for line in told) == 5


def test_a_request_cannot_write_to_the_terminal() -> None:
    status = answer(worker(0, request=request("/\x1b[2J")), deaths=[death(NOW, reason="\x1b]0;x")])
    assert "\x1b" not in describe(status, NOW, 100)
