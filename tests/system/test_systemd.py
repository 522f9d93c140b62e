"""What forkd says to systemd, and the sockets that it takes from it."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import requests

from tests.system.daemon import DEADLINE_S, FORKD, environment, started, write_config
from tests.system.manager import activation, manager
from tests.system.sites import ROUTES, make_site, script


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, each another."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(sock.getsockname()[1]) for sock in held]
    for sock in held:
        sock.close()
    return ports


def test_ready_reloading_and_stopping_are_told(tmp_path: Path) -> None:
    make_site(tmp_path)
    with manager(tmp_path) as systemd, started(tmp_path, ROUTES, env=systemd.env) as daemon:
        ready = systemd.next_with("READY")
        assert ready["READY"] == "1"
        assert "2 workers" in ready["STATUS"]
        for ok in (True, False, True):
            text = daemon.config.read_text()
            if not ok:
                daemon.config.write_text(text + "surprise: 1\n")
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            assert daemon.reload()["ok"] is ok
            after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            reloading = systemd.next_with("RELOADING")
            assert reloading["RELOADING"] == "1"
            # systemd takes only a RELOADING that was sent after its own signal.
            assert before <= int(reloading["MONOTONIC_USEC"]) <= after
            ready = systemd.next_with("READY")
            assert ("surprise" in ready["STATUS"]) is not ok
            daemon.config.write_text(text)
        assert daemon.stop() == 0
        assert systemd.next_with("STOPPING")["STOPPING"] == "1"


def test_the_status_has_real_figures(tmp_path: Path) -> None:
    make_site(tmp_path)
    with manager(tmp_path) as systemd, started(tmp_path, ROUTES, env=systemd.env) as daemon:
        systemd.next_with("READY")
        for _ in range(3):
            assert requests.get(f"{daemon.url}/hello", timeout=10).ok
        deadline = time.monotonic() + DEADLINE_S
        while "3 requests answered" not in systemd.next()["STATUS"]:
            assert time.monotonic() < deadline


def test_without_a_listening_manager_forkd_serves(tmp_path: Path) -> None:
    make_site(tmp_path)
    env = {"NOTIFY_SOCKET": str(tmp_path / "nobody.sock")}
    with started(tmp_path, ROUTES, env=env) as daemon:
        assert daemon.reload()["ok"]


def test_programs_never_see_the_variables_of_systemd(tmp_path: Path) -> None:
    make_site(tmp_path)
    script(tmp_path, "env.sh", "printf 'Content-Type: text/plain\\n\\n'; env; ls -l /proc/$$/fd")
    given = {"WATCHDOG_PID": "1", "WATCHDOG_USEC": "1000000", "RUNTIME_DIRECTORY": str(tmp_path)}
    given |= {"FDSTORE": "64", "MAINPID": "1", "LISTEN_PIDFDID": "1"}
    [port] = free_ports(1)
    with (
        manager(tmp_path) as systemd,
        started(
            tmp_path,
            ROUTES,
            env=systemd.env | given,
            prefix=activation(["web"], [port]),
            listen='"fd:web"',
        ) as daemon,
    ):
        text = requests.get(f"{daemon.url}/cgi-bin/env.sh", timeout=10).text
        for name in ("NOTIFY_SOCKET", "LISTEN_", "FDSTORE", *given):
            assert name not in text
        environ = Path(f"/proc/{daemon.pid}/environ").read_bytes()
        assert b"NOTIFY_SOCKET" in environ, "it was there to be scrubbed"
        # stdin, stdout, stderr and, in some shells, the script itself.
        assert text.count("socket:") == 0, text


def test_sockets_are_taken_by_name(tmp_path: Path) -> None:
    make_site(tmp_path)
    ports = free_ports(3)
    prefix = activation(["web", "web", "spare"], ports)
    with started(tmp_path, ROUTES, prefix=prefix, listen='"fd:web"') as daemon:
        for port in ports[:2]:
            assert requests.get(f"http://127.0.0.1:{port}/hello", timeout=10).ok
        addresses = [entry["address"] for entry in daemon.status()["listeners"]]
        assert addresses == [f"127.0.0.1:{port}" for port in ports[:2]]
        daemon.wait_for_log("a socket named spare that no `listen` takes")
        # A reload may take another, and give it back: they are systemd's and stay open.
        for name, port in (("spare", ports[2]), ("web", ports[0])):
            write_config(tmp_path, ROUTES, listen=f'"fd:{name}"')
            assert daemon.reload()["ok"]
            assert requests.get(f"http://127.0.0.1:{port}/hello", timeout=10).ok
        with socket.create_connection(("127.0.0.1", ports[2]), DEADLINE_S):
            pass


def test_a_socket_may_stand_beside_an_address(tmp_path: Path) -> None:
    make_site(tmp_path)
    [port] = free_ports(1)
    listen = '["127.0.0.1:0", "fd:web"]'
    with started(tmp_path, ROUTES, prefix=activation(["web"], [port]), listen=listen) as daemon:
        assert len(daemon.status()["listeners"]) == 2
        assert daemon.port != port
        assert requests.get(f"http://127.0.0.1:{port}/hello", timeout=10).ok


def test_a_name_that_systemd_did_not_pass_is_one_clear_line(tmp_path: Path) -> None:
    make_site(tmp_path)
    write_config(tmp_path, ROUTES, listen='"fd:htpp"')
    for prefix, known in ((activation(["http"], free_ports(1)), "http"), ((), "none")):
        result = subprocess.run(
            [*prefix, *FORKD, "-c", str(tmp_path / "forkd.yaml")],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
        assert "cannot listen on fd:htpp: systemd has passed no socket of that name" in (
            result.stderr
        )
        assert f"passed: {known}" in result.stderr


def test_sockets_meant_for_another_process_are_not_taken(tmp_path: Path) -> None:
    make_site(tmp_path)
    write_config(tmp_path, ROUTES, listen='"fd:http"')
    result = subprocess.run(
        [*FORKD, "-c", str(tmp_path / "forkd.yaml")],
        env=environment(LISTEN_PID="1", LISTEN_FDS="1", LISTEN_FDNAMES="http"),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert result.returncode == 1
    assert "passed: none" in result.stderr
