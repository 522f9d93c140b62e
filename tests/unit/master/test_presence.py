"""Where others find the master: when that is made known, and what is left to another one."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from forkd.channel import Word, channel_pair
from forkd.config.load import load_text
from forkd.config.settings import Listen, Settings
from forkd.errors import OperationError
from forkd.master.control import ControlServer
from forkd.master.generation import Generation
from forkd.master.listeners import Listeners
from forkd.master.presence import Presence
from forkd.master.upgrade import Predecessor
from forkd.system.sockets import listen_unix
from tests.unit.stepped import SteppedLoop
from tests.unit.written import written


class Place:
    """A master that is about to serve, and the one that it replaces where there is one."""

    def __init__(
        self, loop: SteppedLoop, directory: Path, *, replaces: bool, pid_file: str
    ) -> None:
        self.loop = loop
        self.directory = directory
        self.pid_file = directory / pid_file
        self.seen: list[str] = []
        """What there was at the moment when whoever started forkd could go on."""
        self.main_process = False
        """The service manager has been told of this master."""
        self.ours, self.old = channel_pair()
        """Between this master and the old one."""
        self.old_control: socket.socket | None = None
        listeners = Listeners([])
        self.settings = settings = self.configured()
        predecessor = None
        if replaces:
            predecessor = Predecessor(self.ours)
            self.old_control = listen_unix(str(settings.control), 0o600, -1, -1)
            self.old_control.settimeout(20)
            before = Listeners([])
            before.open([self.listen("kept"), self.listen("dropped")], None)
            listeners = Listeners([], {address: [sock] for address, sock in before})
        self.listeners = listeners
        self.control = ControlServer(
            loop, settings.control, {}, lambda _pid: True, replaces=replaces
        )
        self.generation = Generation.open(1, settings, None)
        listeners.open(settings.listen, None)
        self.presence = Presence(
            loop,
            "forkd.yaml",
            listeners,
            self.control,
            predecessor,
            self._on_ready,
            self._on_main_process,
        )

    def configured(self) -> Settings:
        text = (
            f"control: {self.directory}/control\n"
            f"pid_file: {self.pid_file}\n"
            f"listen: ['unix:{self.directory}/kept']\n"
            "workers: {count: 3}\n"
            "sites: [{routes: {/: {respond: x}}}]\n"
        )
        return load_text(text, str(self.directory / "forkd.yaml"), {})

    def listen(self, name: str) -> Listen:
        return written(Listen, address=f"unix:{self.directory}/{name}")

    def announce(self) -> None:
        self.presence.announce(self.generation)

    def reaches_the_old_one(self) -> bool:
        """Whether who connects to the control socket connects to the old master."""
        assert self.old_control is not None
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.settings.control))
            client.setblocking(False)
            self.old_control.setblocking(False)
            try:
                self.old_control.accept()[0].close()
            except BlockingIOError:
                return False
            return True

    def told(self) -> Word | None:
        """What the old master has been told."""
        try:
            said = self.old.hear()
        except BlockingIOError:
            return None
        return None if said is None else said.word

    def _on_ready(self) -> None:
        self.seen = sorted(entry.name for entry in self.directory.iterdir())
        assert self.told() is None, "the old master is not sent away before that"

    def _on_main_process(self) -> None:
        self.main_process = True

    def close(self) -> None:
        self.presence.withdraw(self.settings.pid_file)
        self.generation.retire()
        self.old.close()
        self.loop.settle()
        self.ours.close()
        if self.old_control is not None:
            self.old_control.close()


@contextmanager
def place(
    loop: SteppedLoop, directory: Path, *, replaces: bool = False, pid_file: str = "pid"
) -> Iterator[Place]:
    made = Place(loop, directory, replaces=replaces, pid_file=pid_file)
    try:
        yield made
    finally:
        made.close()


def test_who_started_forkd_goes_on_when_all_is_there_by_which_it_is_found(
    loop: SteppedLoop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "forkd")
    with place(loop, tmp_path) as here:
        assert not here.pid_file.exists(), "until then nobody is to believe that it serves"
        here.announce()
        assert here.seen == ["control", "kept", "pid"]
        assert here.pid_file.read_text() == f"{os.getpid()}\n"
        assert caplog.messages == [f"forkd.yaml is served on unix:{tmp_path}/kept by 3 workers"]


def test_at_the_end_nothing_is_left_behind(loop: SteppedLoop, tmp_path: Path) -> None:
    with place(loop, tmp_path) as here:
        here.announce()
    assert list(tmp_path.iterdir()) == []


def test_one_that_never_served_leaves_nothing_behind_either(
    loop: SteppedLoop, tmp_path: Path
) -> None:
    with place(loop, tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_pid_file_of_another_master_stays(loop: SteppedLoop, tmp_path: Path) -> None:
    with place(loop, tmp_path) as here:
        here.announce()
        here.pid_file.write_text("4711\n")
    assert (tmp_path / "pid").read_text() == "4711\n"


def test_the_control_socket_that_another_master_has_taken_over_stays(
    loop: SteppedLoop, tmp_path: Path
) -> None:
    with place(loop, tmp_path) as here, socket.socket(socket.AF_UNIX) as other:
        here.announce()
        other.bind(str(tmp_path / "new"))
        (tmp_path / "new").replace(tmp_path / "control")
    assert (tmp_path / "control").is_socket()


def test_one_that_cannot_make_itself_known_leaves_the_old_master_whole(
    loop: SteppedLoop, tmp_path: Path
) -> None:
    with place(loop, tmp_path, replaces=True, pid_file="none/pid") as here:
        with pytest.raises(OperationError, match=r"cannot write pid_file .*make the directory"):
            here.announce()
        assert here.reaches_the_old_one()
        assert here.seen == []
        assert here.told() is None
        loop.settle()
        assert not here.main_process
    assert (tmp_path / "control").is_socket()
    assert (tmp_path / "kept").is_socket(), "the old one serves on it"
    assert (tmp_path / "dropped").is_socket()


def test_at_an_upgrade_all_is_taken_over_before_the_old_master_is_sent_away(
    loop: SteppedLoop, tmp_path: Path
) -> None:
    with place(loop, tmp_path, replaces=True) as here:
        assert here.reaches_the_old_one(), "until the new one serves"
        here.announce()
        assert not here.reaches_the_old_one()
        assert here.seen == ["control", "kept", "pid"], "what is not wanted any more is closed"
        assert here.told() is Word.READY
    assert list(tmp_path.iterdir()) == []


def test_the_new_master_speaks_to_the_manager_only_when_the_old_one_has_told_it(
    loop: SteppedLoop, tmp_path: Path
) -> None:
    with place(loop, tmp_path, replaces=True) as here:
        here.announce()
        loop.settle()
        assert not here.main_process, "it would not be heard"
        here.old.close()
        loop.settle()
        assert here.main_process
