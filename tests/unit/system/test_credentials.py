"""Users, groups, and who is denied which directory."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from forkd.errors import OperationError
from forkd.system.credentials import (
    current_user,
    denied_directory,
    group_id,
    resolve,
    user_id,
)

NOBODY = 65534


@pytest.fixture
def tree() -> Iterator[Path]:
    """A directory that everybody may search."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may search everything: be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_the_first_directory_that_denies_is_named(tree: Path) -> None:
    closed = tree / "open" / "closed"
    (closed / "inner").mkdir(parents=True)
    closed.chmod(0o000)
    with without_privileges():
        assert denied_directory(str(closed / "inner" / "file")) == str(closed)
        assert denied_directory(str(closed)) is None
        assert denied_directory(str(tree / "open" / "file")) is None
    closed.chmod(0o755)


def test_the_root_itself_denies_nobody() -> None:
    assert denied_directory("/") is None


def test_a_user_is_found_by_name_and_by_number() -> None:
    entry = pwd.getpwuid(os.geteuid())
    by_name, by_number = resolve(entry.pw_name, None), resolve(str(entry.pw_uid), None)
    assert by_name == by_number
    assert (by_name.name, by_name.uid, by_name.gid) == (
        entry.pw_name,
        entry.pw_uid,
        entry.pw_gid,
    )
    assert entry.pw_gid in by_name.groups
    assert user_id(entry.pw_name) == entry.pw_uid
    assert current_user() == entry.pw_name


def test_a_group_of_its_own_takes_the_place_of_the_user_s() -> None:
    entry = pwd.getpwuid(os.geteuid())
    assert resolve(entry.pw_name, "root").gid == 0
    assert group_id("0") == 0


@pytest.mark.parametrize("name", ["no-such-user-here", "4294967290"])
def test_who_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(OperationError, match=f"user '{name}' does not exist"):
        resolve(name, None)
    with pytest.raises(OperationError, match=f"group '{name}' does not exist"):
        group_id(name)
