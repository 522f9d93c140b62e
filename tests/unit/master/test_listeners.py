"""Listeners: bound once, all or none, closed only when they are named no more."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from forkd.config.settings import Listen
from forkd.errors import OperationError
from forkd.master.listeners import Listeners
from tests.unit.written import written


def unix(path: Path) -> Listen:
    return written(Listen, address=f"unix:{path}")


def named(name: str) -> Listen:
    return written(Listen, address=f"fd:{name}")


@pytest.fixture
def passed(tmp_path: Path) -> Iterator[int]:
    """A descriptor as systemd passes one."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "passed"))
        sock.listen()
        descriptor = os.dup(sock.fileno())
    yield descriptor
    os.close(descriptor)


def test_what_is_open_already_is_not_opened_again(tmp_path: Path) -> None:
    listeners = Listeners([])
    one, two = unix(tmp_path / "1"), unix(tmp_path / "2")
    assert listeners.open([one], None) == [one.address]
    before = dict(listeners)
    assert listeners.open([one, two], None) == [two.address]
    assert dict(listeners)[one.address] is before[one.address]
    assert [address for address, _ in listeners.chosen([two])] == [two.address]
    listeners.close([one.address])
    assert not (tmp_path / "1").exists()
    assert (tmp_path / "2").exists()
    listeners.close_all()
    assert list(listeners) == []


def test_where_one_cannot_be_opened_none_is_left_open(tmp_path: Path) -> None:
    listeners = Listeners([])
    with pytest.raises(OperationError):
        listeners.open([unix(tmp_path / "1"), unix(tmp_path / "none" / "2")], None)
    assert list(listeners) == []
    assert not (tmp_path / "1").exists()


def test_a_socket_of_systemd_is_taken_given_back_and_taken_again(passed: int) -> None:
    listeners = Listeners([("http", passed)])
    assert listeners.unused() == ["http"]
    for _ in range(2):
        listeners.open([named("http")], None)
        assert listeners.unused() == []
        ((_, sock),) = listeners
        assert sock.fileno() == passed
        listeners.close_all()
        os.fstat(passed)


def test_a_name_that_was_not_passed_is_told_beside_those_that_were(passed: int) -> None:
    listeners = Listeners([("http", passed)])
    with pytest.raises(OperationError, match=r"no socket of that name .*passed: http\)"):
        listeners.open([named("https")], None)


def test_what_is_refused_stays_open_for_a_later_reload(passed: int) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        listeners = Listeners([("http", passed), ("http", datagrams.fileno())])
        for _ in range(2):
            with pytest.raises(OperationError, match="fd:http is not a listening stream socket"):
                listeners.open([named("http")], None)
            os.fstat(passed)
            os.fstat(datagrams.fileno())
        assert listeners.unused() == ["http"]
