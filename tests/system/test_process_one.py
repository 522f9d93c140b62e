"""forkd as process 1 of a container: whoever is left behind there becomes its child."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.system.daemon import Daemon, children_of, eventually, is_running, started
from tests.system.sites import ROUTES, make_site, script

_ROOT = () if os.geteuid() == 0 else ("--user", "--map-root-user")
UNSHARE = ("unshare", *_ROOT, "--pid", "--fork", "--kill-child", "--mount-proc")

ORPHANS = """\
printf 'Content-Type: text/plain\\n\\n'
for number in 1 2 3 4 5; do
    setsid sh -c '(sleep 0.1 &)' </dev/null >/dev/null 2>&1
done
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True)
    if tried.returncode != 0 and "CI" not in os.environ:
        pytest.skip(f"no namespace of processes: {tried.stderr.strip()}")
    make_site(tmp_path)
    script(tmp_path, "orphans.sh", ORPHANS)
    with started(tmp_path, ROUTES, prefix=UNSHARE) as daemon:
        try:
            yield daemon
        finally:
            # A signal would reach unshare.
            assert daemon.ask(command="stop", wait=True)["ok"]
            assert daemon.process.wait(20) == 0


def test_orphans_are_reaped_and_confuse_nobody(daemon: Daemon) -> None:
    (master,) = children_of(daemon.pid)
    assert daemon.status()["pid"] == 1
    before = children_of(master)
    for _ in range(5):
        assert requests.get(f"{daemon.url}/cgi-bin/orphans.sh", timeout=10).ok
    eventually(lambda: children_of(master) == before, "the orphans have come and gone")
    assert all(map(is_running, before))
    assert daemon.status()["deaths"] == []
    assert daemon.reload()["ok"]
    assert requests.get(f"{daemon.url}/hello", timeout=10).text == "hello\n"


def test_an_upgrade_is_refused_since_it_would_end_the_container(daemon: Daemon) -> None:
    refused = daemon.command("upgrade")
    assert refused.returncode == 1
    assert "process 1" in refused.stderr
    assert requests.get(f"{daemon.url}/hello", timeout=10).text == "hello\n"
