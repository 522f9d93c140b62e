"""pypiserver: a wheel is uploaded, found, downloaded and installed by pip."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.applications import LARGE, Client, need_package, sha256, wsgi_route
from tests.system.daemon import DEADLINE_S, Daemon, environment, started

WHEEL = "tiny_thing-1.2-py3-none-any.whl"
FILES = {
    "tiny_thing.py": b"VALUE = 42\n",
    "tiny_thing_data.bin": LARGE,
    "tiny_thing-1.2.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.2\n",
    "tiny_thing-1.2.dist-info/WHEEL": (
        b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    ),
}


def build_wheel(directory: Path) -> Path:
    path = directory / WHEEL
    record = "tiny_thing-1.2.dist-info/RECORD"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in FILES.items():
            wheel.writestr(name, content)
        wheel.writestr(record, "".join(f"{name},,\n" for name in [*FILES, record]))
    return path


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    need_package("pypiserver")
    directory = tmp_path_factory.mktemp("pypi")
    packages = directory / "packages"
    packages.mkdir()
    route = wsgi_route("pypi_app:application", PYPI_PACKAGES=packages)
    with started(directory, {"/pypi/": route}) as running:
        upload(running, build_wheel(directory))
        yield running


def upload(daemon: Daemon, wheel: Path) -> None:
    """As twine does it."""
    with Client(daemon.url) as client:
        answer = client.post(
            "/pypi/",
            data={":action": "file_upload", "name": "tiny-thing", "version": "1.2"},
            files={"content": (wheel.name, wheel.read_bytes())},
        )
        assert answer.status_code == 200, answer.text


def pip(daemon: Daemon, *arguments: str) -> None:
    """A pip that knows no index but the one of the daemon."""
    command = [sys.executable, "-m", "pip", *arguments, "--no-deps", "--no-cache-dir"]
    result = subprocess.run(
        [*command, "--index-url", f"{daemon.url}/pypi/simple/", "tiny-thing"],
        env=environment(PIP_CONFIG_FILE=os.devnull, PIP_DISABLE_PIP_VERSION_CHECK="1"),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_index_lists_what_was_uploaded(daemon: Daemon) -> None:
    with Client(daemon.url) as client:
        assert "tiny-thing" in client.get("/pypi/simple/").text
        page = client.get("/pypi/simple/Tiny_Thing/")
        assert page.url == f"{daemon.url}/pypi/simple/tiny-thing/"
        digest = sha256((daemon.directory / WHEEL).read_bytes())
        assert f'href="/pypi/packages/{WHEEL}#sha256={digest}"' in page.text
        assert client.get("/pypi/simple/none/").status_code == 404


def test_pip_downloads_the_wheel(daemon: Daemon, tmp_path: Path) -> None:
    pip(daemon, "download", "--dest", str(tmp_path))
    assert (tmp_path / WHEEL).read_bytes() == (daemon.directory / WHEEL).read_bytes()


def test_pip_installs_the_wheel(daemon: Daemon, tmp_path: Path) -> None:
    pip(daemon, "install", "--target", str(tmp_path))
    for name in ("tiny_thing.py", "tiny_thing_data.bin"):
        assert (tmp_path / name).read_bytes() == FILES[name]
