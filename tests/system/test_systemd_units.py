"""The systemd units: what systemd-analyze says about them, and what they must agree on.

The program need not be installed: the units are checked as copies in which every path of it is that
of a program that is there. No service manager has to run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"
INSTALLED = "/usr/local/bin/forkd"

# The rating goes from 0 (locked up) to 10; systemd calls what is below 5 OK and below 2 SAFE.
HIGHEST_EXPOSURE = 3.2


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [systemd_analyze(), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""},
    )


def systemd_analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("systemd-analyze is missing; CI must have it (package systemd)")
        pytest.skip("systemd-analyze is not installed")
    return program


def systemd_version() -> int:
    found = re.match(r"systemd (\d+)", analyze("--version").stdout)
    assert found is not None
    return int(found[1])


def settings(unit: Path) -> list[tuple[str, str]]:
    """Return the settings of a unit in their order; a name may come more than once."""
    lines = (line.strip() for line in unit.read_text("utf-8").splitlines())
    pairs = (line.partition("=") for line in lines if line and line[0] not in "#;[")
    return [(name, value) for name, _, value in pairs]


def values(unit: Path, name: str) -> list[str]:
    return [value for key, value in settings(unit) if key == name]


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Copies of the units, without drop-ins, that start a program which exists."""
    program = shutil.which("true")
    assert program is not None
    for name in ("forkd.service", "forkd.socket"):
        text = (UNITS / name).read_text("utf-8").replace(INSTALLED, program)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


@pytest.mark.parametrize("name", ["forkd.service", "forkd.socket"])
def test_systemd_finds_nothing_wrong_with_the_unit(units: Path, name: str) -> None:
    result = analyze("verify", units / name)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_systemd_finds_nothing_wrong_with_the_drop_in(units: Path) -> None:
    shutil.copytree(UNITS / "forkd.service.d", units / "forkd.service.d")
    result = analyze("verify", units / "forkd.service")
    complaints = set((result.stdout + result.stderr).splitlines())
    if systemd_version() < 253:
        # An older systemd does not know the type, and must find nothing else.
        complaints = {line for line in complaints if not line.endswith(": notify-reload")}
    assert (result.returncode, complaints) == (0, set())


def test_the_drop_in_leaves_the_reload_to_systemd() -> None:
    drop_in = UNITS / "forkd.service.d" / "notify-reload.conf"
    assert settings(drop_in) == [("Type", "notify-reload"), ("ExecReload", "")]


def test_the_exposure_of_the_service_is_low(units: Path) -> None:
    result = analyze("security", "--offline=true", "--no-pager", units / "forkd.service")
    rating = re.search(r"Overall exposure level for forkd\.service: ([0-9.]+)", result.stdout)
    assert rating is not None, result.stdout + result.stderr
    assert float(rating[1]) < HIGHEST_EXPOSURE, result.stdout


def test_the_master_keeps_what_it_needs_to_run_workers_as_another_user() -> None:
    kept = " ".join(values(UNITS / "forkd.service", "CapabilityBoundingSet")).split()
    needed = {"CAP_SETUID", "CAP_SETGID", "CAP_NET_BIND_SERVICE", "CAP_KILL", "CAP_CHOWN"}
    assert needed <= set(kept)


@pytest.mark.parametrize(
    "name", ["NoNewPrivileges", "MemoryDenyWriteExecute", "ProtectProc", "ProcSubset", "UMask"]
)
def test_what_would_break_scripts_is_left_out(name: str) -> None:
    assert values(UNITS / "forkd.service", name) == []


def test_the_cgroup_of_the_service_is_forkds_to_divide() -> None:
    assert values(UNITS / "forkd.service", "Delegate") == ["pids"]
    # It would make all of them read-only.
    assert values(UNITS / "forkd.service", "ProtectControlGroups") == []


def test_the_service_and_its_reload_read_the_same_configuration() -> None:
    [start] = values(UNITS / "forkd.service", "ExecStart")
    [reload] = values(UNITS / "forkd.service", "ExecReload")
    program, *arguments = start.split()
    assert reload.split() == [program, "reload", "--wait", *arguments]


def test_the_graceful_stop_runs_out_before_systemd_kills() -> None:
    [stop_s] = values(UNITS / "forkd.service", "TimeoutStopSec")
    shutdown_timeout_s = 30  # the default of workers.shutdown_timeout
    assert int(stop_s) > shutdown_timeout_s


def test_the_listeners_survive_the_master() -> None:
    service = UNITS / "forkd.service"
    [most] = values(service, "FileDescriptorStoreMax")
    assert int(most) >= 64
    # A unix socket in the store is of no use when its path is gone.
    assert values(service, "RuntimeDirectoryPreserve") == ["restart"]
    # `restart` is the default, and systemd 253 does not know the line.
    assert values(service, "FileDescriptorStorePreserve") == []
    assert values(service, "NotifyAccess") == ["main"]


def test_a_service_that_stands_still_is_started_anew() -> None:
    [watchdog_s] = values(UNITS / "forkd.service", "WatchdogSec")
    assert int(watchdog_s) >= 10, "less than a busy machine may take to run a loop once"
    assert values(UNITS / "forkd.service", "Restart") == ["on-failure"], "the watchdog is a failure"


def test_the_socket_has_the_name_that_the_documentation_listens_on() -> None:
    [name] = values(UNITS / "forkd.socket", "FileDescriptorName")
    assert f'listen: "fd:{name}"' in (UNITS.parent / "docs" / "SYSTEMD.md").read_text("utf-8")
