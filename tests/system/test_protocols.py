"""Listeners with a `handler`: classes of socketserver under the real daemon, over TCP and UDP."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
import requests

from tests.system.daemon import (
    DEADLINE_S,
    REPOSITORY,
    Daemon,
    eventually,
    run_forkd,
    started,
    write_config,
)
from tests.system.manager import activation

CLASSES = REPOSITORY / "tests" / "apps"
DEMO = REPOSITORY / "apps"
PAGE = {"/": '{respond: "a page"}'}
ONE = "{count: 1, threads: 2}"
THREADS = 2

MINUTE = r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}"
TIMES = {
    "asctime": MINUTE,
    "seconds": r"\d{10}\.\d{3}",
    "rfc822": r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}",
}


def tcp(target: str, address: str = "127.0.0.2:0", **more: str) -> dict[str, str]:
    path = DEMO if target.startswith("myclock:") else CLASSES
    whole = target if ":" in target else f"socket_classes:{target}"
    return {"address": address, "protocol": "tcp", "handler": whole, "path": str(path), **more}


def udp(target: str, address: str = "127.0.0.1:0") -> dict[str, str]:
    return tcp(target, address, protocol="udp")


def listening(*listens: Mapping[str, str]) -> str:
    """The value of `listen`: one for pages, and these."""
    return json.dumps(["127.0.0.1:0", *listens])


@contextmanager
def serving(
    directory: Path, *listens: Mapping[str, str], workers: str = ONE, limits: str = "{}"
) -> Iterator[Daemon]:
    listen = listening(*listens)
    with started(directory, PAGE, listen=listen, workers=workers, limits=limits) as daemon:
        yield daemon


def place(daemon: Daemon, protocol: str, number: int = 0) -> Any:
    """Where a listener of the protocol is, as connect() takes it."""
    found = [one["address"] for one in daemon.status()["listeners"] if one["protocol"] == protocol]
    if found[number].startswith("unix:"):
        return found[number].removeprefix("unix:")
    host, _, port = found[number].rpartition(":")
    return host.strip("[]"), int(port)


def family(address: object) -> int:
    if isinstance(address, str):
        return socket.AF_UNIX
    assert isinstance(address, tuple)
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


class Telnet:
    """A client that writes and reads lines."""

    def __init__(self, address: Any) -> None:
        self.sock = socket.socket(family(address))
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect(address)
        self._lines = self.sock.makefile("rb")

    def __enter__(self) -> Telnet:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._lines.close()
        self.sock.close()

    def line(self) -> str:
        """The next line; empty at the end."""
        return self._lines.readline().decode().rstrip("\r\n")

    def write(self, text: str) -> None:
        self.sock.sendall(text.encode() + b"\r\n")

    def ask(self, text: str) -> str:
        self.write(text)
        return self.line()


class Datagram:
    """A client that sends datagrams; on a Unix socket it has a name of its own."""

    def __init__(self, address: Any, name: Path | None = None) -> None:
        self.sock = socket.socket(family(address), socket.SOCK_DGRAM)
        if name is not None:
            self.sock.bind(str(name))
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect(address)

    def __enter__(self) -> Datagram:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.sock.close()

    def ask(self, data: bytes) -> bytes:
        self.sock.send(data)
        return self.sock.recv(70_000)


@pytest.mark.parametrize("address", ["127.0.0.2:0", "[::1]:0", "unix:clock.sock"])
def test_the_clock_answers_a_telnet_client(tmp_path: Path, address: str) -> None:
    with (
        serving(tmp_path, tcp("myclock:TimeHandler", address)) as daemon,
        Telnet(place(daemon, "tcp")) as client,
    ):
        assert client.line().startswith("Hello. ")
        for command, pattern in TIMES.items():
            assert re.fullmatch(pattern, client.ask(command))
        assert client.ask("noon").startswith("commands: ")
        assert client.ask("quit") == "Goodbye."
        assert client.line() == ""


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0"])
def test_the_clock_answers_datagrams(tmp_path: Path, address: str) -> None:
    with (
        serving(tmp_path, udp("myclock:UdpHandler", address)) as daemon,
        Datagram(place(daemon, "udp")) as client,
    ):
        for command, pattern in TIMES.items():
            assert re.fullmatch(pattern + "\n", client.ask(command.encode()).decode())
        assert re.fullmatch(MINUTE + "\n", client.ask(b"").decode())


def test_a_unix_socket_answers_clients_that_have_a_name(tmp_path: Path) -> None:
    with serving(tmp_path, udp("Echo", "unix:echo.sock")) as daemon:
        address = place(daemon, "udp")
        with Datagram(address) as nameless, Datagram(address, tmp_path / "me") as client:
            nameless.sock.send(b"lost")
            assert client.ask(b"x" * 50_000) == b"x" * 50_000
            daemon.wait_for_log("a client without a name of its own cannot be answered")
    assert not (tmp_path / "echo.sock").exists()


@pytest.mark.parametrize("target", ["Echo", "Base"])
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_datagrams_of_any_size_come_back(tmp_path: Path, host: str, target: str) -> None:
    with (
        serving(tmp_path, udp(target, f"{host}:0")) as daemon,
        Datagram(place(daemon, "udp")) as client,
    ):
        for size in (0, 1, 1472, 9000, 65_507):
            assert client.ask(b"x" * size) == b"x" * size


def test_many_datagrams_at_once_are_all_answered(tmp_path: Path) -> None:
    with (
        serving(tmp_path, udp("Echo"), workers="{count: 3}") as daemon,
        Datagram(place(daemon, "udp")) as client,
    ):
        for _ in range(20):
            sent = {b"%d" % number for number in range(50)}
            for data in sent:
                client.sock.send(data)
            assert {client.sock.recv(100) for _ in sent} == sent


def test_tcp_and_udp_share_a_port_number_and_pages_are_served_beside(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with serving(tmp_path, tcp("Talk", address), udp("Echo", address)) as daemon:
        listeners = daemon.status()["listeners"]
        assert [(one["protocol"], one["queue"]) for one in listeners] == [
            ("http", 0),
            ("tcp", 0),
            ("udp", None),
        ]
        assert listeners[1]["address"] == listeners[2]["address"] == address
        with Telnet(place(daemon, "tcp")) as client, Datagram(place(daemon, "udp")) as other:
            assert int(client.line()) == daemon.workers()[0]["pid"]
            assert other.ask(b"hello") == b"hello"
            assert client.ask("server") == str(place(daemon, "tcp"))
            assert client.ask("client") == str(client.sock.getsockname())
            assert client.ask("directory") == str(tmp_path)
            assert requests.get(daemon.url, timeout=10).text == "a page"


def test_a_socket_that_systemd_opened_is_served(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    listen = listening(tcp("Talk", "fd:talk"))
    prefix = activation(["talk"], [port])
    with (
        started(tmp_path, PAGE, listen=listen, prefix=prefix),
        Telnet(("127.0.0.1", port)) as client,
    ):
        client.line()
        assert client.ask("hello") == "hello"


def counts(daemon: Daemon) -> tuple[int, int, int]:
    """Open connections, threads busy, calls that wait."""
    (worker,) = daemon.workers()
    return worker["connections"], worker["threads_busy"], worker["threads_waiting"]


def test_connections_beyond_the_threads_wait_in_order_and_hold_up_nothing_else(
    tmp_path: Path,
) -> None:
    with serving(tmp_path, tcp("Talk")) as daemon:
        address = place(daemon, "tcp")
        with Telnet(address) as first, Telnet(address) as second:
            first.line(), second.line()
            with Telnet(address) as third:
                eventually(lambda: counts(daemon) == (3, 2, 1), "the third waits")
                with Telnet(address) as fourth:
                    eventually(lambda: counts(daemon) == (4, 2, 2), "the fourth waits")
                    assert requests.get(daemon.url, timeout=10).text == "a page"
                    assert first.ask("quick") == "quick"
                    first.write("quit")
                    assert third.line()
                    assert third.ask("third") == "third"
                    eventually(lambda: counts(daemon) == (3, 2, 1), "the fourth still waits")
                    second.write("quit")
                    assert fourth.line()
        eventually(lambda: counts(daemon) == (0, 0, 0), "all have gone")


def test_a_client_that_leaves_while_it_waits_costs_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, tcp("Talk")) as daemon:
        address = place(daemon, "tcp")
        with Telnet(address) as first, Telnet(address) as second:
            first.line(), second.line()
            with Telnet(address) as third:
                eventually(lambda: counts(daemon) == (3, 2, 1), "the third waits")
                third.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            first.write("quit")
            eventually(lambda: counts(daemon) == (1, 1, 0), "it is noticed")
            assert len((tmp_path / "finished").read_text().splitlines()) == 1


def test_max_connections_counts_them(tmp_path: Path) -> None:
    with serving(tmp_path, tcp("Talk"), limits="{max_connections: 2}") as daemon:
        address = place(daemon, "tcp")
        with Telnet(address) as first, Telnet(address) as second, Telnet(address) as third:
            first.line(), second.line()
            eventually(
                lambda: [one["queue"] for one in daemon.status()["listeners"]] == [0, 1],
                "the third stays in the kernel's queue",
            )
            eventually(lambda: counts(daemon) == (2, 2, 0), "two are counted")
            first.write("quit")
            assert third.line()


def emptied(daemon: Daemon) -> str:
    """The error log, which is then empty: a test has looked at the stacks in it."""
    text = daemon.error_log
    os.truncate(daemon.directory / "error.log", 0)
    return text


@pytest.mark.parametrize(
    ("command", "error"), [("fail", "ValueError: asked to fail"), ("exit", "SystemExit: 7")]
)
def test_what_a_class_raises_is_logged_and_hurts_nobody(
    tmp_path: Path, command: str, error: str
) -> None:
    with serving(tmp_path, tcp("Talk")) as daemon:
        address = place(daemon, "tcp")
        with Telnet(address) as bystander, Telnet(address) as client:
            bystander.line(), client.line()
            assert client.ask(command) == ""
            daemon.wait_for_log(error)
            assert bystander.ask("still here") == "still here"
            client_name = "{}:{}".format(*client.sock.getsockname())
            line = daemon.wait_for_log("socket_classes:Talk failed")
            assert line.endswith(f"listener=127.0.0.2:0 client={client_name}")
            assert "socket_classes.py" in emptied(daemon)


def test_a_datagram_that_a_class_fails_on_is_logged_and_the_next_is_answered(
    tmp_path: Path,
) -> None:
    with serving(tmp_path, udp("Echo")) as daemon, Datagram(place(daemon, "udp")) as client:
        assert client.ask(b"fail") == b"", "what finish() of socketserver sends after a fault"
        assert client.ask(b"next") == b"next"
        daemon.wait_for_log("ValueError: asked to fail")
        assert "socket_classes:Echo failed listener=127.0.0.1:0" in emptied(daemon)


def test_the_timeout_of_a_class_is_kept_and_costs_a_line(tmp_path: Path) -> None:
    with serving(tmp_path, tcp("Short")) as daemon, Telnet(place(daemon, "tcp")) as client:
        assert client.line() == ""
        daemon.wait_for_log("the client took longer than the timeout of the class")


def test_a_reload_leaves_open_connections_to_the_old_worker(tmp_path: Path) -> None:
    with serving(tmp_path, tcp("Talk")) as daemon:
        address = place(daemon, "tcp")
        with Telnet(address) as old, Telnet(address) as second, Telnet(address) as waiting:
            old_pid = old.line()
            second.line()
            eventually(lambda: counts(daemon) == (3, 2, 1), "one waits for a thread")
            assert daemon.reload()["ok"]
            with Telnet(address) as new:
                assert new.line() != old_pid
                assert new.ask("new") == "new"
            assert old.ask("old") == "old"
            second.write("quit")
            assert waiting.line() == old_pid
            (draining,) = daemon.workers("draining")
            assert draining["pid"] == int(old_pid)
            waiting.write("quit")
            old.write("quit")
            eventually(lambda: daemon.workers("draining") == [], "the old worker leaves")


def test_a_reload_changes_what_a_listener_is_for(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        where = probe.getsockname()
    address = "{}:{}".format(*where)
    with serving(tmp_path, tcp("Talk", address)) as daemon:
        with Telnet(where) as client:
            assert client.line().isdigit()
        write_config(tmp_path, PAGE, listen=listening(tcp("Other", address)), workers=ONE)
        assert daemon.reload()["ok"]
        with Telnet(where) as client:
            assert client.line() == "other"
        write_config(tmp_path, PAGE, listen=address, workers=ONE)
        assert daemon.reload()["ok"]
        assert requests.get(f"http://{address}", timeout=10).text == "a page"


def test_a_reload_under_load_loses_no_connection_and_no_datagram(tmp_path: Path) -> None:
    with serving(tmp_path, tcp("Talk"), udp("Echo"), workers="{count: 2}") as daemon:
        stop = threading.Event()
        faults: list[str] = []
        answered = [0, 0]

        def connect(address: Any) -> None:
            while not stop.is_set():
                with Telnet(address) as client:
                    if not client.line() or client.ask("word") != "word":
                        faults.append("a connection was lost")
                    client.write("quit")
                answered[0] += 1

        def send(address: Any) -> None:
            with Datagram(address) as client:
                while not stop.is_set():
                    if client.ask(b"word") != b"word":
                        faults.append("another datagram came")
                    answered[1] += 1

        def noted(work: Any, address: Any) -> None:
            try:
                work(address)
            except OSError as error:
                faults.append(repr(error))

        pairs = [(connect, "tcp"), (connect, "tcp"), (send, "udp"), (send, "udp")]
        threads = [
            threading.Thread(target=noted, args=(work, place(daemon, protocol)))
            for work, protocol in pairs
        ]
        for thread in threads:
            thread.start()
        for _ in range(8):
            before = list(answered)
            assert daemon.reload()["ok"]
            eventually(
                lambda: all(now > then for now, then in zip(answered, before, strict=True)),  # noqa: B023 at once
                "answers",
            )
        stop.set()
        for thread in threads:
            thread.join(DEADLINE_S)
        assert faults == []


def test_a_stop_cuts_connections_off_when_patience_is_over(tmp_path: Path) -> None:
    workers = "{count: 1, threads: 2, shutdown_timeout: 0.3s}"
    with serving(tmp_path, tcp("Talk"), workers=workers) as daemon:
        with Telnet(place(daemon, "tcp")) as client:
            client.line()
            assert daemon.stop() == 0
            assert client.line() == ""
        assert "1 connections were cut off after shutdown_timeout 0.3 s" in daemon.error_log
        assert "killed" not in daemon.error_log
        assert len((tmp_path / "finished").read_text().splitlines()) == 1, "the class ended"


def test_a_stop_lets_connections_and_datagrams_end(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with serving(tmp_path, tcp("Talk"), udp("Base")) as daemon:
        with Telnet(place(daemon, "tcp")) as client, Datagram(place(daemon, "udp")) as other:
            client.line()
            question = f"gate {gate}".encode()
            other.sock.send(question)
            eventually(lambda: (tmp_path / "begun").exists(), "the call has begun")
            daemon.process.terminate()
            daemon.wait_for_log("draining")
            assert client.ask("last") == "last"
            client.write("quit")
            assert client.line() == ""
            gate.open("wb").close()
            assert other.sock.recv(1000) == question
        assert daemon.process.wait(DEADLINE_S) == 0


@pytest.mark.parametrize(
    ("listen", "reason"),
    [
        (tcp("NoHandler"), "socket_classes:NoHandler is no class for tcp"),
        (tcp("Echo"), "socket_classes:Echo is no class for tcp (derive it from socketserver."),
        (udp("Talk"), "socket_classes:Talk is no class for udp (derive it from socketserver."),
        (tcp("Missing"), "there is no Missing in "),
        (tcp("no_module:Talk"), "importing no_module failed: ModuleNotFoundError"),
    ],
)
def test_a_class_that_does_not_do_is_one_line_at_check_start_and_reload(
    tmp_path: Path, listen: Mapping[str, str], reason: str
) -> None:
    config = write_config(tmp_path, PAGE, listen=listening(listen), workers=ONE)
    for arguments in (("-t",), ()):
        found = run_forkd("-c", str(config), *arguments)
        log = tmp_path / "error.log"
        output = found.stdout + found.stderr + (log.read_text() if log.exists() else "")
        assert found.returncode == 1
        assert f"listen.1.handler: {reason}" in output
        assert "Traceback" not in output
    with serving(tmp_path, tcp("Talk")) as daemon:
        write_config(tmp_path, PAGE, listen=listening(listen), workers=ONE)
        answer = daemon.reload()
        assert not answer["ok"]
        assert any(f"listen.1.handler: {reason}" in line for line in answer["reasons"])
        with Telnet(place(daemon, "tcp")) as client:
            assert client.line()


def test_a_port_for_datagrams_that_is_taken_is_said_at_the_start(tmp_path: Path) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        config = write_config(tmp_path, PAGE, listen=listening(udp("Echo", f"127.0.0.1:{port}")))
        found = run_forkd("-c", str(config))
    assert found.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: the port is taken (see: ss -lunp" in found.stderr
