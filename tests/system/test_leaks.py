"""What a long life leaves behind: nothing. Descriptors, processes and memory before and after."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.system.daemon import Daemon, children_of, eventually, started
from tests.system.load import Connection, get
from tests.system.processes import open_files
from tests.system.sites import ROUTES, SMALL, make_site

WARM_UP_RELOADS = 20
RELOADS = 40
WARM_UP_REQUESTS = 200
CGI_REQUESTS = 2000
LANES = 4

MASTER_GROWTH_BYTES = 500_000
"""2.5 kB for each reload. It is 10 kB in all; one generation that is kept has as much."""

CHILD_GROWTH_BYTES = 1_000_000
"""500 bytes for each request. It is 300 kB in all, most of them in the first thousand."""


def memory(pid: int) -> int:
    """Anonymous memory in bytes. Whether a child shares a page makes no difference."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


def descriptors(pid: int) -> list[str]:
    """The kinds of the open descriptors, without their numbers."""
    return sorted(link.partition(":[")[0] for link in open_files(pid))


def settled(daemon: Daemon, children: int) -> None:
    """Wait until the generations before are gone, and the clients of the control socket."""
    eventually(
        lambda: daemon.workers("draining") == [] and len(daemon.children()) == children,
        f"there are {children} children",
    )
    # What is accepted has the listener's path too, and is closed a moment after its client.
    unix = Path("/proc/net/unix")
    path = f" {daemon.control}\n"
    eventually(lambda: unix.read_text().count(path) == 1, "nobody is on the control socket")


def ask_for_programs(port: int, count: int) -> None:
    """count CGI requests on a few connections; all must be answered."""
    ask = get("/cgi-bin/hi.sh", b"hi\n")
    done: list[int] = []

    def lane() -> None:
        connection = Connection(port)
        for _ in range(count // LANES):
            connection.ask(ask)
        connection.close()
        done.append(count // LANES)

    threads = [threading.Thread(target=lane) for _ in range(LANES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == count


def test_reloads_leave_nothing_behind_in_the_master(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES, workers="{count: 1}", level="warning") as daemon:
        children = len(daemon.children())
        for _ in range(WARM_UP_RELOADS):
            assert daemon.reload()["ok"]
        settled(daemon, children)
        open_before, before = descriptors(daemon.pid), memory(daemon.pid)
        for _ in range(RELOADS):
            assert daemon.reload()["ok"]
        settled(daemon, children)
        assert descriptors(daemon.pid) == open_before
        assert memory(daemon.pid) - before < MASTER_GROWTH_BYTES
        assert daemon.status()["generation"] == 1 + WARM_UP_RELOADS + RELOADS
        # What the master has open must not pile up in its children either.
        for pid in daemon.children():
            assert len(descriptors(pid)) < 20, descriptors(pid)
        connection = Connection(daemon.port)
        assert connection.ask(get("/small.txt", SMALL))
        connection.close()


def test_failed_reloads_leave_nothing_behind(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES, workers="{count: 1}", level="warning") as daemon:
        good = daemon.config.read_text()
        children = daemon.children()
        settled(daemon, len(children))
        before = descriptors(daemon.pid)
        listen = f'["unix:{tmp_path}/first.sock", "unix:{tmp_path}/no/second.sock"]'
        for bad in (
            good + "surprise: 1\n",
            good.replace("127.0.0.1:0", listen),
            good.replace("access.log", "other.log").replace("127.0.0.1:0", listen),
        ):
            daemon.config.write_text(bad)
            for _ in range(5):
                assert not daemon.reload()["ok"]
        settled(daemon, len(children))
        assert descriptors(daemon.pid) == before
        assert daemon.children() == children
        assert not (tmp_path / "first.sock").exists()


def test_programs_leave_nothing_behind(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES, workers="{count: 1}", level="warning") as daemon:
        family = sorted(daemon.children())
        open_before = {pid: descriptors(pid) for pid in family}

        def quiet() -> bool:
            return {pid: descriptors(pid) for pid in family} == open_before

        ask_for_programs(daemon.port, WARM_UP_REQUESTS)
        eventually(quiet, "workers and spawners have the descriptors of their start")
        memory_before = {pid: memory(pid) for pid in family}
        ask_for_programs(daemon.port, CGI_REQUESTS)
        eventually(quiet, "workers and spawners have the descriptors of before")
        assert sorted(daemon.children()) == family
        for pid in family:
            assert children_of(pid) == set(), "no program is left, not even as a zombie"
            assert memory(pid) - memory_before[pid] < CHILD_GROWTH_BYTES
