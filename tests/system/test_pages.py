"""Pages under the real daemon, and those of the demo."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.daemon import REPOSITORY, Daemon, run_forkd, started, write_config
from tests.system.wire import Answer, Wire, exchange, fetch, request

STRICT = """
from wsgiref.validate import validator

def page(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["SCRIPT_NAME"].encode(), b" ", environ["PATH_INFO"].encode()]

application = validator(page)
"""


class Pages:
    """A daemon of one worker with a directory of pages."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.port = daemon.port
        self._mtime_ns = 10**18

    def write(self, name: str, text: str) -> None:
        """Each file that is written is newer than those before, whatever the clock says."""
        path = self.daemon.directory / "pages" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        self._mtime_ns += 10**9
        os.utime(path, ns=(self._mtime_ns, self._mtime_ns))

    def get(self, target: str) -> Answer:
        return fetch(self.port, target)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    directory = tmp_path_factory.mktemp("pages")
    (directory / "pages").mkdir()
    (directory / "secret.py").write_text("def application(): return 'secret'")
    routes = {"/d/": "{pages: pages}", "/exact": "{pages: pages, methods: [GET]}"}
    with started(directory, routes, workers="{count: 1, threads: 3}") as daemon:
        yield Pages(daemon)


def test_a_page_answers_and_the_connection_stays(pages: Pages) -> None:
    pages.write("hello.py", "def application(): return '<p>Grüße'")
    with Wire(pages.port) as wire:
        for _ in range(3):
            answer = wire.get("/d/hello.py")
            assert (answer.status, answer.text) == (200, "<p>Grüße")
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert wire.get("/d/hello.py", method="HEAD").headers["content-length"] == "10"
        refused = wire.get("/d/hello.py", method="PUT")
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, POST")


def test_a_changed_page_is_imported_again(pages: Pages) -> None:
    for text in ("one", "two", "three"):
        pages.write("changing.py", f"def application(): return {text!r}")
        assert [pages.get("/d/changing.py").text for _ in range(2)] == [text] * 2


def test_a_broken_page_gives_its_reason_once_and_is_repaired(pages: Pages) -> None:
    pages.write("broken.py", "import json\n\njson.loads('')\n")
    assert [pages.get("/d/broken.py").status for _ in range(3)] == [500] * 3
    line = pages.daemon.wait_for_log("broken.py")
    assert "importing it failed: JSONDecodeError" in line
    assert line.endswith(f"({pages.daemon.directory}/pages/broken.py, line 3)")
    assert pages.daemon.error_log.count("JSONDecodeError") == 1
    pages.write("broken.py", "def application(): return 'repaired'")
    assert pages.get("/d/broken.py").text == "repaired"


def test_a_page_imports_what_lies_beside_it(pages: Pages) -> None:
    pages.write("beside.py", "VALUE = 'beside'")
    pages.write("importing.py", "import beside\ndef application(): return beside.VALUE")
    assert pages.get("/d/importing.py").text == "beside"


def test_an_index_answers_for_its_directory(pages: Pages) -> None:
    pages.write("index.py", STRICT)
    pages.write("sub/index.py", STRICT)
    assert pages.get("/d/").text == "/d /"
    assert pages.get("/d/sub/").text == "/d/sub /"
    assert pages.get("/exact").text == "/exact "
    answer = pages.get("/d/sub")
    assert (answer.status, answer.headers["location"]) == (301, "/d/sub/")


def test_what_follows_a_page_is_path_info_and_pep_3333_is_kept(pages: Pages) -> None:
    pages.write("strict.py", STRICT)
    assert pages.get("/d/strict.py").text == "/d/strict.py "
    assert pages.get("/d/strict.py/x/y.py?q").text == "/d/strict.py /x/y.py"
    with Wire(pages.port) as wire:
        wire.send(request("/d/strict.py", method="POST", body=b"a body"))
        assert wire.answer("POST").status == 200


@pytest.mark.parametrize(
    "path",
    ["../secret.py", "%2e%2e/secret.py", "..%2fsecret.py", "x/../../secret.py", "link.py",
     "out/secret.py", ".hidden.py", "missing.py", "data.txt", "__pycache__/beside.py"],
)  # fmt: skip
def test_nothing_else_is_reached(pages: Pages, path: str) -> None:
    directory = pages.daemon.directory
    for name, target in (("link.py", "secret.py"), ("out", "")):
        if not (directory / "pages" / name).is_symlink():
            (directory / "pages" / name).symlink_to(directory / target)
    for name in (".hidden.py", "data.txt", "__pycache__/beside.py"):
        pages.write(name, "def application(): return 'secret'")
    data = request(f"/d/{path}", "Connection: close")
    assert exchange(pages.port, data).startswith(b"HTTP/1.1 404 ")


def test_the_check_needs_the_directory(tmp_path: Path) -> None:
    config = write_config(tmp_path, {"/d/": "{pages: nowhere}"})
    done = run_forkd("-c", str(config), "-t")
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    (tmp_path / "nowhere").mkdir()
    assert run_forkd("-c", str(config), "-t").returncode == 0


def test_the_demo_tells_the_time_and_lists_its_pages(tmp_path: Path) -> None:
    with started(tmp_path, {"/dynamic/": f"{{pages: {REPOSITORY}/dynamic}}"}) as daemon:
        index = fetch(daemon.port, "/dynamic/")
        assert '<a href="mytime.py">' in index.text
        page = fetch(daemon.port, "/dynamic/mytime.py")
        assert page.status == 200
        assert "<time datetime=" in page.text
