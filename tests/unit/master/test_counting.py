"""Who counts the processes of `limits.processes`, and what is said where nobody can."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from forkd.config.load import load_text
from forkd.config.policy import SpawnPolicy, has_own_user, policies
from forkd.config.settings import Settings
from forkd.errors import OperationError
from forkd.master.counting import notes, prepare
from forkd.system.credentials import Identity, current_user

KEY = "sites.0.routes./x/.limits.processes"


def limited(directory: Path) -> Settings:
    text = f"sites: [{{routes: {{/x/: {{cgi: {directory}, limits: {{processes: 5}}}}}}}}]"
    return load_text(text, str(directory / "forkd.yaml"), os.environ)


def nobody_else(settings: Settings) -> Mapping[SpawnPolicy, Identity | None]:
    return dict.fromkeys(policies(settings).values())


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A delegated cgroup, made of files, with the pids controller."""
    directory = tmp_path / "cgroup"
    (directory / "forkd").mkdir(parents=True)
    (directory / "forkd" / "cgroup.procs").touch()
    (directory / "cgroup.controllers").write_text("memory pids\n")
    (directory / "cgroup.subtree_control").write_text("\n")
    return directory


def refusal(base: Path | None, settings: Settings) -> str:
    with pytest.raises(OperationError) as caught:
        prepare(base, settings, policies(settings), nobody_else(settings))
    return str(caught.value)


def test_without_a_cgroup_the_key_and_both_ways_out_are_named(tmp_path: Path) -> None:
    assert refusal(None, limited(tmp_path)) == (
        f"{KEY}: counts every process of user {current_user()}: give the route a `user` of its "
        "own, or run forkd in a delegated cgroup (Delegate=pids in its systemd unit)"
    )


def test_in_a_cgroup_with_the_controller_processes_are_counted(tmp_path: Path, base: Path) -> None:
    settings = limited(tmp_path)
    prepare(base, settings, policies(settings), nobody_else(settings))
    assert (base / "cgroup.subtree_control").read_text() == "+pids"
    assert (base / "forkd" / "cgroup.procs").read_text() == "0"


def test_a_cgroup_without_the_controller_is_not_enough(tmp_path: Path, base: Path) -> None:
    (base / "cgroup.controllers").write_text("memory\n")
    assert refusal(base, limited(tmp_path)).endswith(
        f"unit): {base} is one, and has no pids controller"
    )


def test_a_cgroup_that_cannot_be_used_is_as_good_as_none(
    tmp_path: Path, base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (base / "forkd" / "cgroup.procs").unlink()
    (base / "forkd" / "cgroup.procs").mkdir()
    assert refusal(base, limited(tmp_path)).endswith("systemd unit)")
    assert caplog.messages == [f"the delegated cgroup {base} cannot be used: Is a directory"]


def test_where_nothing_is_to_be_counted_the_master_settles_all_the_same(
    tmp_path: Path, base: Path
) -> None:
    """The next reload cannot move the children of this generation."""
    settings = load_text("sites: [{routes: {/: {respond: x}}}]", str(tmp_path / "f"), os.environ)
    prepare(base, settings, {}, {})
    assert (base / "forkd" / "cgroup.procs").read_text() == "0"
    assert (base / "cgroup.subtree_control").read_text() == "\n"


def test_a_check_by_hand_tells_and_does_not_refuse(tmp_path: Path, base: Path) -> None:
    settings = limited(tmp_path)
    (note,) = notes(None, settings, policies(settings))
    assert note.startswith(f"{KEY}: needs a delegated cgroup (Delegate=pids in the systemd unit) ")
    assert notes(base, settings, policies(settings)) == []
    assert (base / "cgroup.subtree_control").read_text() == "\n", "a check changes nothing"


@pytest.mark.parametrize(
    ("user", "uid", "own"),
    [
        ("daemon", 1, True),
        ("nobody", None, False),  # the master is that user already, and so are the workers
        (None, 33, False),
        ("the workers'", 33, False),
        ("root", 0, False),  # whom RLIMIT_NPROC does not hold
    ],
)
def test_a_user_is_the_routes_own_where_neither_workers_nor_root_are_that_user(
    tmp_path: Path, user: str | None, uid: int | None, own: bool
) -> None:
    text = f"user: {current_user()}\nsites: [{{routes: {{/: {{respond: x}}}}}}]"
    settings = load_text(text, str(tmp_path / "forkd.yaml"), os.environ)
    if user == "the workers'":
        user = settings.user
    assert has_own_user(SpawnPolicy(user=user, processes=5), settings, uid) is own
