"""Starts that cannot succeed: one clear line for each reason, exit status 1, and nothing left."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.daemon import write_config
from tests.system.sites import ROUTES, lock_out, make_site
from tests.system.starting import edit, refused
from tests.system.tools import need


@pytest.fixture
def site(open_path: Path) -> Iterator[Path]:
    """A site without a fault. A failure may leave no socket and no PID file in it."""
    directory = open_path / "site"
    directory.mkdir()
    make_site(directory)
    write_config(directory, ROUTES)
    yield directory
    left = {path.name for path in directory.iterdir() if path.is_socket() or path.suffix == ".pid"}
    assert left == set()


WRONG_FILES = {
    "listen: 127.0.0.1:0": ("lisen: 127.0.0.1:0", "did you mean listen"),
    "static: html": ("static: missing", "no such file or directory: {site}/missing"),
    "workers: {count": ("user: nobody-of-that-name\nworkers: {count", "no such user"),
    "control: {site}/control.sock": (
        "control: " + "long/" * 40 + "control.sock",
        "control",
    ),
}


@pytest.mark.parametrize("old", WRONG_FILES)
@pytest.mark.parametrize("option", ["", "-t"])
def test_a_wrong_value_is_named_with_its_place(site: Path, old: str, option: str) -> None:
    new, expected = WRONG_FILES[old]
    edit(site, old.replace("{site}", str(site)), new)
    lines = refused(site, *filter(None, [option]))
    [line] = [line for line in lines if expected.replace("{site}", str(site)) in line]
    place = line.removeprefix("forkd: ").removeprefix(f"{site}/forkd.yaml:").split(":")
    assert place[0].isdigit(), line
    assert place[1].isdigit(), line


def test_all_errors_of_a_file_are_told_at_once(site: Path) -> None:
    edit(site, "static: html", "static: missing")
    edit(site, "workers: {count: 2}", "workers: {count: none}")
    assert len(refused(site)) == 2


def test_broken_yaml_is_one_line(site: Path) -> None:
    (site / "forkd.yaml").write_text("listen: [\n")
    [line] = refused(site)
    assert f"{site}/forkd.yaml:2:1: " in line


def test_a_missing_file_is_one_line(site: Path) -> None:
    (site / "forkd.yaml").unlink()
    for arguments in ([], ["-t"], ["status"]):
        [line] = refused(site, *arguments)
        assert f"{site}/forkd.yaml" in line
        assert "No such file" in line


def test_a_taken_port_is_one_line(site: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        edit(site, "127.0.0.1:0", f"127.0.0.1:{port}")
        [line] = refused(site)
    assert f"cannot listen on 127.0.0.1:{port}: the port is taken" in line


def test_of_several_listeners_none_is_left_when_one_fails(site: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        edit(site, "127.0.0.1:0", f'["unix:{site}/http.sock", "127.0.0.1:{port}"]')
        [line] = refused(site)
    assert "the port is taken" in line
    assert not (site / "http.sock").exists()


@pytest.mark.parametrize("option", ["", "-t"])
def test_a_directory_that_workers_cannot_read_is_one_line(site: Path, option: str) -> None:
    top = lock_out(site / "html")
    write_config(site, ROUTES, top=top)
    lines = refused(site, *filter(None, [option]))
    (site / "html").chmod(0o755)
    [line] = lines
    assert f"cannot read {site}/html" in line
    assert "sites.0.routes./.static" in line


def test_a_low_port_without_rights_is_one_line(site: Path) -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if lowest < 2:
        pytest.skip("every port may be bound by everybody here")
    edit(site, "127.0.0.1:0", f"127.0.0.1:{min(lowest - 1, 99)}")
    # Root without that one capability is refused as any other user is.
    drop = "-net_bind_service"
    prefix = (need("setpriv"), f"--bounding-set={drop}", f"--inh-caps={drop}")
    lines = refused(site, prefix=prefix if os.geteuid() == 0 else ())
    assert len(lines) == 1
    assert "need root or CAP_NET_BIND_SERVICE" in lines[0]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("access.log", "sealed/a.log", "cannot open the log file {site}/sealed/a.log"),
        ("error.log", "sealed/e.log", "cannot open the log file {site}/sealed/e.log"),
        ("access.log", "gone/a.log", "cannot open the log file {site}/gone/a.log"),
        ("listen:", "pid_file: sealed/f.pid\nlisten:", "cannot write pid_file {site}/sealed/f.pid"),
        ("listen:", "pid_file: gone/f.pid\nlisten:", "cannot write pid_file {site}/gone/f.pid"),
        ("control.sock", "sealed/c.sock", "cannot listen on unix:{site}/sealed/c.sock"),
        ("control.sock", "gone/deep/c.sock", "cannot make the directory {site}/gone/deep"),
    ],
)
def test_a_directory_that_cannot_be_written_is_one_line(
    site: Path, old: str, new: str, expected: str
) -> None:
    (site / "sealed").mkdir(mode=0o500)
    edit(site, old, new)
    drop = "-dac_override,-dac_read_search"
    prefix = (need("setpriv"), f"--bounding-set={drop}", f"--inh-caps={drop}")
    lines = refused(site, prefix=prefix if os.geteuid() == 0 else ())
    (site / "sealed").chmod(0o700)
    assert len(lines) == 1, lines
    assert expected.replace("{site}", str(site)) in lines[0]
    assert list((site / "sealed").iterdir()) == []


def test_a_file_in_the_place_of_the_control_socket_is_left_alone(site: Path) -> None:
    (site / "control.sock").write_text("precious")
    [line] = refused(site)
    assert "a file that is no socket is there" in line
    assert (site / "control.sock").read_text() == "precious"
