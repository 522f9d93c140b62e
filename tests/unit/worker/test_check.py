"""What `-t` finds as the workers' user."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forkd.config.load import load_text
from forkd.config.settings import Settings
from forkd.system import landlock
from forkd.worker import check


def settings_of(directory: Path, **options: object) -> Settings:
    (directory / "cgi").mkdir()
    routes = {"/cgi/": {"cgi": "cgi", **options}}
    return load_text(json.dumps({"sites": [{"routes": routes}]}), directory / "forkd.yaml", {})


@pytest.fixture
def no_landlock(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old kernel."""
    monkeypatch.setattr(check, "shortcomings_here", lambda _confinement: ["signals", "sockets"])
    monkeypatch.setattr(landlock, "abi", lambda: 4)


@pytest.mark.usefixtures("no_landlock")
def test_a_sandbox_that_this_kernel_cannot_hold_is_named_with_its_route(tmp_path: Path) -> None:
    [reason] = check.check_as_worker(settings_of(tmp_path, sandbox={"network": True}), None)
    assert reason.startswith("sites.0.routes./cgi/.sandbox: Linux ")
    assert "(Landlock ABI 4) cannot restrict signals, sockets: take Linux 6.12" in reason


@pytest.mark.usefixtures("no_landlock")
@pytest.mark.parametrize("options", [{}, {"sandbox": {"best_effort": True}}])
def test_it_is_fine_where_that_is_not_asked_for(tmp_path: Path, options: dict[str, object]) -> None:
    assert check.check_as_worker(settings_of(tmp_path, **options), None) == []
