"""The descriptor store: a master that is killed loses no connection that waits; and a real
systemd-socket-activate."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.system.daemon import DEADLINE_S, Daemon, environment, eventually, started
from tests.system.manager import Manager, manager, restart
from tests.system.sites import ROUTES, make_site
from tests.system.test_systemd import free_ports

WAITING = 20
"""Clients on each listener, before and after the master is killed. Below any backlog."""

GET = b"GET /hello HTTP/1.0\r\nHost: x\r\n\r\n"


def ask(address: str | tuple[str, int]) -> socket.socket:
    """A client that has sent its request."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    client = socket.socket(family, socket.SOCK_STREAM)
    client.settimeout(DEADLINE_S)
    client.connect(address)
    client.sendall(GET)
    return client


def is_answered(client: socket.socket) -> bool:
    with client, client.makefile("rb") as stream:
        return stream.read().endswith(b"\r\n\r\nhello\n")


def kill_master(daemon: Daemon) -> None:
    """kill -9, and all its children have followed."""
    children = daemon.children()
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.process.wait(DEADLINE_S)
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "all are gone")


def stop_workers(daemon: Daemon) -> None:
    """Nobody accepts any more."""
    for worker in daemon.workers():
        os.kill(worker["pid"], signal.SIGSTOP)


def restarted(systemd: Manager, tmp_path: Path, listen: str) -> AbstractContextManager[Daemon]:
    """Started anew by systemd, with what is in the store."""
    return started(
        tmp_path,
        ROUTES,
        env=systemd.env | {"FDSTORE": "64"},
        prefix=restart(systemd.store),
        pass_fds=tuple(systemd.store.values()),
        listen=listen,
    )


def test_a_killed_master_loses_no_queued_connection(tmp_path: Path) -> None:
    make_site(tmp_path)
    path = str(tmp_path / "http.sock")
    listen = f'["127.0.0.1:0", "[::1]:0", "unix:{path}"]'
    with manager(tmp_path) as systemd:
        clients = []
        with started(tmp_path, ROUTES, env=systemd.env, listen=listen) as daemon:
            addresses: list[str | tuple[str, int]] = [("127.0.0.1", daemon.port), path]
            inode = os.stat(path).st_ino
            places = [entry["address"] for entry in daemon.status()["listeners"]]
            stop_workers(daemon)
            clients += [ask(address) for address in addresses for _ in range(WAITING)]
            kill_master(daemon)
        clients += [ask(address) for address in addresses for _ in range(WAITING)]
        with restarted(systemd, tmp_path, listen) as daemon:
            lost = sum(not is_answered(client) for client in clients)
            assert (lost, len(clients)) == (0, 4 * WAITING)
            assert [entry["address"] for entry in daemon.status()["listeners"]] == places
            assert os.stat(path).st_ino == inode
            # And once more, since what was taken over is still in the store.
            kill_master(daemon)
        clients = [ask(address) for address in addresses for _ in range(WAITING)]
        with restarted(systemd, tmp_path, listen):
            assert all(map(is_answered, clients))
        # `systemctl restart`: an orderly stop leaves the sockets to the next start as well.
        clients = [ask(address) for address in addresses for _ in range(WAITING)]
        with restarted(systemd, tmp_path, listen):
            assert all(map(is_answered, clients))
        words = [word for word in systemd.words() if word.startswith("FD")]
        assert words == ["FDSTORE"] * 3


def test_a_start_with_another_configuration_drops_what_it_does_not_name(tmp_path: Path) -> None:
    make_site(tmp_path)
    [port] = free_ports(1)
    with manager(tmp_path) as systemd:
        with started(tmp_path, ROUTES, env=systemd.env, listen=f"0.0.0.0:{port}"):
            pass
        eventually(lambda: list(systemd.store) == [f"listen-tcp-0.0.0.0-{port}"], "it is stored")
        # The port is free for another address of it only when the store has let go of it.
        with restarted(systemd, tmp_path, f"127.0.0.1:{port}") as daemon:
            line = daemon.wait_for_log("is dropped")
            assert f"the stored socket listen-tcp-0.0.0.0-{port} is dropped: no `listen`" in line
            assert is_answered(ask(("127.0.0.1", port)))
            stored = [f"listen-tcp-127.0.0.1-{port}"]
            eventually(lambda: list(systemd.store) == stored, "its own is stored instead")


def test_after_an_upgrade_the_new_listeners_are_in_the_store(tmp_path: Path) -> None:
    make_site(tmp_path)
    [one, two] = free_ports(2)
    with manager(tmp_path) as systemd:
        with started(tmp_path, ROUTES, env=systemd.env, listen=f"127.0.0.1:{one}") as daemon:
            text = daemon.config.read_text()
            daemon.config.write_text(text.replace(f":{one}", f":{two}"))
            pid = daemon.ask(command="upgrade")["pid"]
            eventually(lambda: list(systemd.store) == [f"listen-tcp-127.0.0.1-{two}"], "it is told")
            daemon.process.wait(DEADLINE_S)
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: not Path(f"/proc/{pid}").exists(), "the new master is gone")
        client = ask(("127.0.0.1", two))
        with restarted(systemd, tmp_path, f"127.0.0.1:{two}"):
            assert is_answered(client)
            assert is_answered(ask(("127.0.0.1", two)))


def test_systemd_socket_activate_starts_it_with_the_connection_that_comes(tmp_path: Path) -> None:
    program = shutil.which("systemd-socket-activate")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("systemd-socket-activate is missing; CI must have it (package systemd)")
        pytest.skip("systemd-socket-activate is not installed")
    make_site(tmp_path)
    [port] = free_ports(1)
    variables = [f"--setenv={name}={value}" for name, value in environment().items()]
    prefix = (program, f"--listen=127.0.0.1:{port}", "--fdname=web", *variables)
    answers: list[bool] = []

    def connect() -> None:
        eventually(lambda: _listens(port), "systemd-socket-activate listens")
        answers.append(is_answered(ask(("127.0.0.1", port))))

    client = threading.Thread(target=connect)
    client.start()
    try:
        with started(tmp_path, ROUTES, prefix=prefix, listen='"fd:web"') as daemon:
            client.join(DEADLINE_S)
            assert answers == [True]
            assert daemon.port == port
            assert daemon.reload()["ok"]
            assert is_answered(ask(("127.0.0.1", port)))
    finally:
        client.join(DEADLINE_S)


def _listens(port: int) -> bool:
    """By /proc, since a connection would start it."""
    wanted = f"0100007F:{port:04X} 00000000:0000 0A"
    return wanted in Path("/proc/net/tcp").read_text()
