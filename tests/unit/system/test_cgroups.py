"""Which cgroup is ours to use, by what /proc and the tree say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from forkd.system import cgroups
from forkd.system.cgroups import LEAF, delegated_at, own_cgroup

UNIFIED = "34 31 0:29 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = (
    "33 32 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
)
BOUND = "90 31 0:38 /machine.slice/a /c\\040g rw - cgroup2 cgroup2 rw\n"
"""A container shows a part of the tree, here at a place with a space in its name."""


@pytest.mark.parametrize(
    ("membership", "mounts", "found"),
    [
        ("0::/system.slice/forkd.service\n", UNIFIED, "/sys/fs/cgroup/system.slice/forkd.service"),
        ("4:pids:/x\n1:name=systemd:/y\n0::/z\n", HYBRID, "/sys/fs/cgroup/unified/z"),
        ("0::/machine.slice/a/b\n", BOUND, "/c g/b"),
        ("0::/machine.slice/ab\n", BOUND, None),
        ("0::/\n", UNIFIED, None),
        ("0::/../other\n", UNIFIED, None),
        ("4:pids:/x\n", HYBRID, None),
        ("0::/x\n", "33 32 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n", None),
        ("", "", None),
    ],
)
def test_the_own_cgroup_is_found_where_it_is_mounted(
    membership: str, mounts: str, found: str | None
) -> None:
    assert own_cgroup(membership, mounts) == (None if found is None else Path(found))


class Tree:
    """A file system that bears the marks of systemd, which not every one does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.marks: dict[Path, tuple[str, bytes]] = {}
        self.uid = os.geteuid()
        monkeypatch.setattr(os, "getxattr", self.getxattr)
        monkeypatch.setattr(os, "geteuid", lambda: self.uid)

    def getxattr(self, path: Path, name: str) -> bytes:
        found, value = self.marks.get(path, ("", b""))
        if found != name:
            raise OSError(61, "No data available")
        return value


@pytest.fixture
def tree(monkeypatch: pytest.MonkeyPatch) -> Tree:
    return Tree(monkeypatch)


@pytest.mark.parametrize("mark", ["user.delegate", "trusted.delegate"])
def test_what_systemd_has_marked_is_delegated(tmp_path: Path, tree: Tree, mark: str) -> None:
    tree.uid = 0
    service = tmp_path / "forkd.service"
    (service / LEAF).mkdir(parents=True)
    (service / "other" / "deeper").mkdir(parents=True)
    assert delegated_at(service) is None
    tree.marks[service] = (mark, b"1")
    assert delegated_at(service) == service
    # Where an upgrade's new master is born, and where DelegateSubgroup= may start the first one.
    assert delegated_at(service / LEAF) == service
    assert delegated_at(service / "other") == service
    assert delegated_at(service / "other" / "deeper") is None
    tree.marks[service] = (mark, b"0")
    assert delegated_at(service) is None


def test_a_cgroup_of_an_ordinary_user_is_the_users(tmp_path: Path, tree: Tree) -> None:
    (tmp_path / LEAF).mkdir()
    tree.uid = tmp_path.stat().st_uid
    expected = None if tree.uid == 0 else tmp_path
    assert delegated_at(tmp_path) == expected
    assert delegated_at(tmp_path / LEAF) == expected
    tree.uid = 12345
    assert delegated_at(tmp_path) is None


def test_what_cannot_be_written_is_not_ours(
    tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.marks[tmp_path] = ("user.delegate", b"1")
    assert delegated_at(tmp_path) == tmp_path
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    assert delegated_at(tmp_path) is None


def test_the_pids_controller_is_asked_for_once(tmp_path: Path) -> None:
    for name in ("cgroup.controllers", "cgroup.subtree_control"):
        (tmp_path / name).write_text("cpu memory\n")
    assert not cgroups.offers_pids(tmp_path)
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    assert cgroups.offers_pids(tmp_path)
    assert not cgroups.counts_pids(tmp_path)
    cgroups.count_pids(tmp_path)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+pids"
    (tmp_path / "cgroup.subtree_control").write_text("memory pids\n")
    cgroups.count_pids(tmp_path)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "memory pids\n"


def test_this_process_settles_in_the_leaf_and_does_so_once(tmp_path: Path) -> None:
    (tmp_path / LEAF).mkdir()
    procs = tmp_path / LEAF / "cgroup.procs"
    procs.write_text("1\n")
    cgroups.settle(tmp_path)
    assert procs.read_text() == "0"
    procs.write_text(f"1\n{os.getpid()}\n")
    cgroups.settle(tmp_path)
    assert procs.read_text() == f"1\n{os.getpid()}\n"


def test_only_the_cgroups_of_spawners_that_are_gone_are_removed(tmp_path: Path) -> None:
    gone = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(gone, 0)
    live, dead = tmp_path / f"cgi-{os.getppid()}", tmp_path / f"cgi-{gone}"
    for directory in (live / "0", dead / "0", dead / "1", dead / "left", tmp_path / "cgi-x"):
        directory.mkdir(parents=True)
    # Somebody is in these: they cannot be removed.
    for busy in (dead / "1", dead / "left"):
        (busy / "cgroup.kill").touch()
    cgroups.sweep(tmp_path)
    assert (live / "0").is_dir()
    assert (tmp_path / "cgi-x").is_dir()
    assert not (dead / "0").exists()
    assert (dead / "1" / "cgroup.kill").read_text() == "1"
    assert (dead / "left" / "cgroup.kill").read_text() == "", "that was left in good order"
    for busy in (dead / "1", dead / "left"):
        (busy / "cgroup.kill").unlink()
    cgroups.sweep(tmp_path)
    assert not dead.exists()


def test_who_makes_cgroups_anew_takes_none_over_from_one_of_the_same_number(tmp_path: Path) -> None:
    """The spawner before it that had its pid: nobody else can be meant."""
    stray = tmp_path / f"cgi-{os.getpid()}" / "0"
    stray.mkdir(parents=True)
    (stray / "cgroup.kill").touch()
    cgroups.sweep(tmp_path)
    assert (stray / "cgroup.kill").read_text() == "1"
