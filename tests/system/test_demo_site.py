"""The demo site as conf/forkd.yaml serves it, walked like a visitor and with common clients."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urldefrag, urljoin

import pytest
import requests

from tests.system.daemon import DEADLINE_S, REPOSITORY, Daemon, started
from tests.system.pages import Page, css_links, is_external
from tests.system.tools import need

CONFIG = REPOSITORY / "conf" / "forkd.yaml"
OFFSETS = REPOSITORY / "html" / "files" / "offsets.txt"


def replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("demo")
    text = replaced(CONFIG.read_text("utf-8"), "root: ..", f"root: {REPOSITORY}")
    text = replaced(text, "  - 127.0.0.1:8080", "  - 127.0.0.1:0")
    text = replaced(text, "#control: /run/forkd/control.sock", f"control: {directory}/control.sock")
    (directory / "forkd.yaml").write_text(text, "utf-8")
    with started(directory) as running:
        yield running


@cache
def walk(start: str) -> dict[str, requests.Response]:
    """Every URL that links lead to from `start`, without leaving the host, with its answer."""
    answers: dict[str, requests.Response] = {}
    waiting = [start]
    with requests.Session() as session:
        session.trust_env = False
        while waiting:
            url = waiting.pop()
            if url in answers:
                continue
            # A program may stream for seconds: only what has links is read to its end.
            answer = answers[url] = session.get(url, timeout=DEADLINE_S, stream=True)
            kind = answer.headers.get("Content-Type", "")
            targets = []
            if kind.startswith("text/html"):
                links = Page(answer.text).links
                targets = [target for tag, target in links if tag != "form post"]
            elif kind.startswith("text/css"):
                targets = css_links(answer.text)
            answer.close()
            found = (urldefrag(urljoin(answer.url, target))[0] for target in targets)
            waiting += [url for url in found if url.startswith(start)]
    return answers


def curl(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [need("curl"), "--silent", "--show-error", "--noproxy", "*", *arguments],
        capture_output=True,
        timeout=DEADLINE_S,
    )


def test_every_link_leads_somewhere(daemon: Daemon) -> None:
    answers = walk(f"{daemon.url}/")
    assert len(answers) > 20
    broken = {url: answer.status_code for url, answer in answers.items() if not answer.ok}
    assert broken == {}


def test_every_form_is_sent_somewhere(daemon: Daemon) -> None:
    targets = {
        urljoin(url, target)
        for url, answer in walk(f"{daemon.url}/").items()
        if answer.headers.get("Content-Type", "").startswith("text/html")
        for tag, target in Page(answer.text).links
        if tag == "form post"
    }
    assert len(targets) >= 2
    for target in targets:
        with requests.post(target, data={"name": "value"}, timeout=DEADLINE_S) as answer:
            assert answer.status_code in (200, 415), target


def test_every_page_is_valid_and_has_its_title(daemon: Daemon) -> None:
    pages = {
        url: Page(answer.text)
        for url, answer in walk(f"{daemon.url}/").items()
        if answer.headers.get("Content-Type", "").startswith("text/html")
    }
    assert len(pages) >= 5
    assert {url: page.faults for url, page in pages.items() if page.faults} == {}


def test_nothing_is_fetched_from_elsewhere(daemon: Daemon) -> None:
    fetched = []
    for url, answer in walk(f"{daemon.url}/").items():
        kind = answer.headers.get("Content-Type", "")
        if kind.startswith("text/html"):
            fetched += [(url, target) for tag, target in Page(answer.text).links if tag != "a"]
        elif kind.startswith("text/css"):
            fetched += [(url, target) for target in css_links(answer.text)]
    assert fetched
    assert [pair for pair in fetched if is_external(pair[1])] == []


def test_wget_mirrors_the_site(daemon: Daemon, tmp_path: Path) -> None:
    result = subprocess.run(
        [
            *(need("wget"), "--no-proxy", "--recursive", "--level=4", "--page-requisites"),
            *("--execute=robots=off", "--no-verbose", "--no-host-directories"),
            *("--reject-regex=cgi-bin", f"--directory-prefix={tmp_path}", f"{daemon.url}/"),
        ],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert result.returncode == 0, result.stderr
    copy = (tmp_path / "files" / "offsets.txt").read_bytes()
    assert hashlib.sha256(copy).digest() == hashlib.sha256(OFFSETS.read_bytes()).digest()


def test_curl_gets_a_page_over_http_1_0(daemon: Daemon) -> None:
    result = curl("--http1.0", "--include", f"{daemon.url}/")
    head, _, body = result.stdout.partition(b"\r\n\r\n")
    assert b"Connection: close" in head
    assert body == (REPOSITORY / "html" / "index.html").read_bytes()


def test_curl_gets_a_range(daemon: Daemon) -> None:
    result = curl("--range", "65536-65599", f"{daemon.url}/files/offsets.txt")
    assert result.stdout == OFFSETS.read_bytes()[65536:65600]


def test_curl_does_not_climb_out(daemon: Daemon) -> None:
    status = ("--output", "/dev/null", "--write-out", "%{http_code}")
    for path in ("/../conf/forkd.yaml", "/files/../../conf/forkd.yaml", "/%2e%2e/README.md"):
        assert curl("--path-as-is", *status, f"{daemon.url}{path}").stdout == b"404"


def test_curl_asks_for_the_head_alone(daemon: Daemon) -> None:
    result = curl("--head", f"{daemon.url}/files/offsets.txt")
    assert b"Content-Length: 1048576" in result.stdout
    assert result.stdout.endswith(b"\r\n\r\n")


def test_curl_puts_a_file_and_hears_that_it_may_not(daemon: Daemon, tmp_path: Path) -> None:
    for size in (10, 3 << 20):
        (tmp_path / "file").write_bytes(b"x" * size)
        target = f"{daemon.url}/files/new.txt"
        result = curl("--include", "--upload-file", str(tmp_path / "file"), target)
        assert b"405 Method Not Allowed" in result.stdout, result.stderr
        assert b"Allow: GET, HEAD, OPTIONS" in result.stdout


def test_curl_uploads_to_a_program(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"y" * 3_000_000)
    digest = hashlib.sha256(b"y" * 3_000_000).hexdigest()
    result = curl("--form", f"file=@{tmp_path}/file", f"{daemon.url}/cgi-bin/upload.py")
    assert digest in result.stdout.decode()


def test_the_old_address_leads_to_the_new_one(daemon: Daemon) -> None:
    result = curl("--include", f"{daemon.url}/old/files/?a=b")
    assert re.search(rb"\r\nLocation: /files/\?a=b\r\n", result.stdout), result.stdout
