"""`forkd serve`: a directory or an application, without a configuration."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.system.client import ask_control
from tests.system.daemon import DEADLINE_S, FORKD, environment, eventually, run_forkd

APPLICATION = """\
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"first"]
"""


@contextmanager
def serving(directory: Path, *arguments: str) -> Iterator[str]:
    """The URL of a `forkd serve`."""
    # Not below tmp_path: the path of a socket has 107 bytes at most (unix(7)), and that of a test
    # in one of several processes leaves too few of them.
    with tempfile.TemporaryDirectory(prefix="forkd-") as runtime:
        yield from _serving(directory, Path(runtime), *arguments)


def _serving(directory: Path, runtime: Path, *arguments: str) -> Iterator[str]:
    process = subprocess.Popen(
        [*FORKD, "serve", str(directory / "site"), "-p", "0", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(XDG_RUNTIME_DIR=str(runtime)),
    )
    try:
        eventually(lambda: list(runtime.glob("*.sock")), "it has a control socket")
        (control,) = runtime.glob("*.sock")

        def is_running() -> bool:
            try:
                return bool(ask_control(control, command="status")["state"] == "running")
            except ConnectionRefusedError:
                return False  # it is bound, and nobody listens yet

        eventually(is_running, "it serves")
        listeners = ask_control(control, command="status")["listeners"]
        yield f"http://{listeners[0]['address']}"
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert b"Traceback" not in errors


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "site" / "cgi-bin").mkdir(parents=True)
    (tmp_path / "site" / "page.txt").write_text("a page")
    script = tmp_path / "site" / "cgi-bin" / "hello.sh"
    script.write_text('#!/bin/sh\nprintf "Content-Type: text/plain\\n\\nfrom a script"\n')
    script.chmod(0o755)
    (tmp_path / "site" / "myapp.py").write_text(APPLICATION)
    return tmp_path


def get(url: str) -> str:
    response = requests.get(url, timeout=DEADLINE_S)
    response.raise_for_status()
    return response.text


def test_a_directory_is_served_with_a_listing(site: Path) -> None:
    with serving(site) as url:
        assert get(f"{url}/page.txt") == "a page"
        assert "page.txt" in get(f"{url}/")
        assert "printf" in get(f"{url}/cgi-bin/hello.sh"), "a script is a file unless asked for"


def test_with_cgi_scripts_run(site: Path) -> None:
    with serving(site, "--cgi", "--no-listing") as url:
        assert get(f"{url}/cgi-bin/hello.sh") == "from a script"
        assert requests.get(f"{url}/", timeout=DEADLINE_S).status_code == 403


def test_an_application_is_served_and_with_dev_as_it_changes(site: Path) -> None:
    with serving(site, "--wsgi", "myapp:application", "--dev") as url:
        assert get(f"{url}/any/path") == "first"
        (site / "site" / "myapp.py").write_text(APPLICATION.replace("first", "second one"))
        eventually(lambda: get(url) == "second one", "the change is served")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("{site}/none",), "cannot serve {site}/none: no such directory"),
        (("{site}", "--wsgi", "myapp.py"), "expected module:callable"),
        (("{site}", "--wsgi", "none:app"), "importing none failed: ModuleNotFoundError"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    site: Path, arguments: tuple[str, ...], expected: str
) -> None:
    place = str(site / "site")
    found = run_forkd("serve", *(part.format(site=place) for part in arguments), "-p", "0")
    assert found.returncode == 1
    assert expected.format(site=place) in found.stderr
    assert "Traceback" not in found.stderr
