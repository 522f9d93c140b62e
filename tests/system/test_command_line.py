"""What the command line finds, says and exits with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.system.daemon import DEADLINE_S, run_forkd, started, write_config
from tests.system.sites import ROUTES, make_site
from tests.system.starting import edit, refused
from tests.system.tools import need


@pytest.fixture
def site(open_path: Path) -> Path:
    directory = open_path / "site"
    directory.mkdir()
    make_site(directory)
    write_config(directory, ROUTES)
    return directory


def test_a_good_file_passes_the_check(site: Path) -> None:
    result = run_forkd("-t", "-c", str(site / "forkd.yaml"))
    assert (result.returncode, result.stdout) == (0, f"{site}/forkd.yaml: ok\n")
    assert result.stderr == ""
    assert not (site / "access.log").exists()


def test_the_check_may_be_made_while_forkd_runs(site: Path) -> None:
    with started(site) as daemon:
        assert run_forkd("-t", "-c", str(site / "forkd.yaml")).returncode == 0
        assert daemon.status()["generation"] == 1


def test_without_a_configuration_the_places_are_named(tmp_path: Path) -> None:
    if Path("/etc/forkd/forkd.yaml").exists():
        pytest.skip("this machine has a configuration of its own")
    # A command that is not told whom to talk to is wrong usage.
    for arguments, status in (([], 1), (["-t"], 1), (["status"], 2)):
        result = run_forkd(*arguments, cwd=tmp_path)
        assert (result.returncode, len(result.stderr.splitlines())) == (status, 1)
        assert "no configuration: give -c FILE" in result.stderr


def test_the_configuration_is_found_where_the_usage_says(site: Path, tmp_path: Path) -> None:
    assert run_forkd("-t", cwd=site).stdout == "forkd.yaml: ok\n"
    named = {"FORKD_CONFIG": str(site / "forkd.yaml")}
    assert run_forkd("-t", cwd=tmp_path, env=named).stdout == f"{site}/forkd.yaml: ok\n"
    (tmp_path / "conf").mkdir()
    (site / "forkd.yaml").rename(tmp_path / "conf" / "forkd.yaml")
    assert run_forkd("-t", cwd=tmp_path).stdout == "conf/forkd.yaml: ok\n"


def test_commands_say_that_nothing_is_running(site: Path) -> None:
    for command in (["status"], ["status", "--json"], ["reload", "--wait"], ["stop"], ["reopen"]):
        [line] = refused(site, *command, status=3)
        assert f"nothing is running at {site}/control.sock" in line


def test_the_configuration_may_stand_before_or_after_the_command(site: Path) -> None:
    config = str(site / "forkd.yaml")
    with started(site) as daemon:
        for arguments in (["-c", config, "status"], ["status", "-c", config]):
            result = run_forkd(*arguments)
            assert result.returncode == 0
            assert f"pid {daemon.pid}" in result.stdout


def test_commands_find_the_master_whatever_is_wrong_in_the_file(site: Path) -> None:
    with started(site) as daemon:
        edit(site, "static: html", "static: missing")
        result = run_forkd("status", "-c", str(site / "forkd.yaml"))
        assert (result.returncode, result.stderr) == (0, "")
        assert run_forkd("stop", "-c", str(site / "forkd.yaml")).returncode == 0
        assert daemon.process.wait(DEADLINE_S) == 0


@pytest.mark.parametrize(
    "arguments",
    [["--no-such-option"], ["no-such-command"], ["-c"], ["status", "extra"], ["-t", "status"]],
)
def test_wrong_usage_exits_2(arguments: list[str]) -> None:
    result = run_forkd(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("usage: ")


def test_a_control_socket_of_another_user_is_explained(site: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs two users: run as root")
    with started(site):
        # Without these capabilities root is an ordinary user to the socket of somebody else.
        os.chown(site / "control.sock", 65534, 65534)
        drop = "-dac_override,-dac_read_search"
        prefix = (need("setpriv"), f"--bounding-set={drop}", f"--inh-caps={drop}")
        [line] = refused(site, "status", prefix=prefix)
        assert "no right to connect to the control socket" in line
