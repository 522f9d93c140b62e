"""WsgiDAV, by litmus, the test suite for WebDAV servers."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.applications import LARGE, Client, need_package, wsgi_route
from tests.system.daemon import DEADLINE_S, Daemon, environment, started
from tests.system.tools import need

SUITES = ("basic", "copymove", "props", "locks", "http")
PREFIXES = ("/", "/dav/")


@pytest.fixture(scope="module", params=PREFIXES)
def daemon(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Daemon, str]]:
    need_package("wsgidav")
    directory = tmp_path_factory.mktemp("webdav")
    (directory / "files").mkdir()
    mount = request.param.removesuffix("/")
    route = wsgi_route(
        "webdav_app:application", WEBDAV_ROOT=directory / "files", WEBDAV_MOUNT=mount
    )
    # One worker: it keeps the locks in its memory.
    with started(directory, {request.param: route}, workers="{count: 1}") as running:
        yield running, running.url + request.param


@pytest.mark.parametrize("suite", SUITES)
def test_litmus_passes(daemon: tuple[Daemon, str], tmp_path: Path, suite: str) -> None:
    result = subprocess.run(
        [need("litmus"), daemon[1]],
        cwd=tmp_path,  # it writes its logs there
        env=environment(TESTS=suite),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    summary = re.search(r"of (\d+) tests run: (\d+) passed, (\d+) failed", result.stdout)
    assert summary is not None, result.stdout
    assert summary[1] == summary[2], result.stdout
    assert "WARNING" not in result.stdout


def test_a_large_file_comes_back_as_it_was_put(daemon: tuple[Daemon, str]) -> None:
    with Client(daemon[1]) as client:
        assert client.put("large", data=LARGE).status_code == 201
        assert client.get("large").content == LARGE
        pieces = (LARGE[at : at + 30_000] for at in range(0, len(LARGE), 30_000))
        assert client.put("large", data=pieces).status_code == 204
        part = client.get("large", headers={"Range": "bytes=100-2000000"})
        assert part.content == LARGE[100:2_000_001]
        assert client.delete("large").status_code == 204
        assert client.get("large").status_code == 404
