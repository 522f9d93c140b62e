"""What people's clients do beyond plain requests; tests/system/test_demo_site.py has those."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.system.daemon import DEADLINE_S, Daemon, started
from tests.system.sites import BIG, ROUTES, SMALL, make_site
from tests.system.tools import need


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("clients")
    make_site(directory)
    with started(directory, ROUTES, workers="{count: 1}") as running:
        yield running


def curl(*arguments: str) -> bytes:
    result = subprocess.run(
        [need("curl"), "--silent", "--show-error", "--noproxy", "*", *arguments],
        capture_output=True,
        timeout=DEADLINE_S,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def wget(directory: Path, *arguments: str) -> str:
    result = subprocess.run(
        [need("wget"), "--no-proxy", "--server-response", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert result.returncode == 0, result.stderr
    return result.stderr


def test_curl_uses_one_connection_for_many_urls(daemon: Daemon) -> None:
    urls = [f"{daemon.url}/{path}" for path in ("small.txt", "hello", "cgi-bin/hi.sh", "none")] * 5
    nowhere = ("--output", "/dev/null") * len(urls)
    counts = curl("--write-out", "%{num_connects} ", *nowhere, *urls)
    assert counts.split() == [b"1"] + [b"0"] * (len(urls) - 1)


def test_curl_http_1_0_gets_a_program_to_its_end(daemon: Daemon) -> None:
    answer = curl("--http1.0", "--include", f"{daemon.url}/cgi-bin/hi.sh")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert body == b"hi\n"


def test_curl_that_would_take_a_compressed_file_gets_it_as_it_is(daemon: Daemon) -> None:
    answer = curl("--compressed", "--include", f"{daemon.url}/small.txt")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == SMALL
    assert b"content-encoding" not in head.lower()


def test_curl_resumes_a_download(daemon: Daemon, tmp_path: Path) -> None:
    part = tmp_path / "big.bin"
    part.write_bytes(BIG[:70_000])
    status = curl(
        *("--continue-at", "-", "--output", str(part), "--write-out", "%{http_code}"),
        f"{daemon.url}/big.bin",
    )
    assert status == b"206"
    assert part.read_bytes() == BIG


def test_curl_does_not_fetch_again_what_has_not_changed(daemon: Daemon, tmp_path: Path) -> None:
    etag, copy = tmp_path / "etag", tmp_path / "copy"
    fetch = (
        *("--etag-save", str(etag), "--etag-compare", str(etag), "--output", str(copy)),
        *("--write-out", "%{http_code}", f"{daemon.url}/big.bin"),
    )
    assert curl(*fetch) == b"200"
    assert curl(*fetch) == b"304"
    assert copy.read_bytes() == BIG
    dated = ("--time-cond", str(daemon.directory / "html" / "big.bin"))
    code = curl(*dated, "--output", "/dev/null", "--write-out", "%{http_code}", fetch[-1])
    assert code == b"304"


def test_curl_sends_a_file_to_a_program_in_either_framing(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BIG)
    target = f"{daemon.url}/cgi-bin/echo.sh"
    for framing in ("Content-Type: x/y", "Transfer-Encoding: chunked"):
        for expect in ("Expect: 100-continue", "Expect:"):
            sent = curl("-H", framing, "-H", expect, "--upload-file", f"{tmp_path}/file", target)
            assert sent == BIG


def test_wget_fetches_only_what_is_newer_and_continues_what_is_cut(
    daemon: Daemon, tmp_path: Path
) -> None:
    url = f"{daemon.url}/big.bin"
    assert "200 OK" in wget(tmp_path, "--timestamping", url)
    copy = tmp_path / "big.bin"
    original = daemon.directory / "html" / "big.bin"
    assert int(copy.stat().st_mtime) == int(original.stat().st_mtime)
    assert "304 Not Modified" in wget(tmp_path, "--timestamping", url)
    copy.write_bytes(BIG[:1000])
    assert "206 Partial Content" in wget(tmp_path, "--continue", url)
    assert copy.read_bytes() == BIG


def test_a_session_of_requests_stays_on_its_connection(daemon: Daemon) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for path, body in (("small.txt", SMALL), ("big.bin", BIG), ("hello", b"hello\n")) * 5:
            assert session.get(f"{daemon.url}/{path}", timeout=DEADLINE_S).content == body
        target = f"{daemon.url}/cgi-bin/echo.sh"
        sent = session.post(target, data=iter([b"a", BIG]), timeout=DEADLINE_S)
        assert sent.content == b"a" + BIG
        assert session.get(f"{daemon.url}/none", timeout=DEADLINE_S).status_code == 404
        assert session.get(f"{daemon.url}/hello", timeout=DEADLINE_S).ok
        adapter = session.get_adapter(daemon.url)
        assert isinstance(adapter, requests.adapters.HTTPAdapter)
        pools = adapter.poolmanager.pools
        (pool,) = (pools[key] for key in pools.keys())  # noqa: SIM118 it is no dict
        assert (pool.num_connections, pool.num_requests) == (1, 18)
