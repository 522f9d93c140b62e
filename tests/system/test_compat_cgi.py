"""forkd's CGIHTTPRequestHandler under http.server.ThreadingHTTPServer, with real programs."""

from __future__ import annotations

import http.client
import io
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from forkd.compat import CGIHTTPRequestHandler
from tests.system.daemon import DEADLINE_S, eventually
from tests.system.wire import Answer, Wire, fetch, request


@dataclass(slots=True)
class Site:
    """A directory that is served, and what the handler logged about it."""

    root: Path
    log: list[str] = field(default_factory=list)
    port: int = 0

    def script(self, name: str, text: str, mode: int = 0o755) -> Path:
        return self.file(f"cgi-bin/{name}", text, mode)

    def sh(self, name: str, text: str) -> Path:
        return self.script(name, f"#!/bin/sh\n{text}\n")

    def file(self, name: str, text: str, mode: int = 0o644) -> Path:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def fetch(self, target: str, *headers: str, **more: Any) -> Answer:
        return fetch(self.port, target, *headers, **more)

    def logged(self, words: str) -> list[str]:
        return [line for line in self.log if words in line]


class Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True


@pytest.fixture
def handler() -> type[CGIHTTPRequestHandler]:
    """A class of its own for each test, to set attributes of."""

    class Handler(CGIHTTPRequestHandler):
        cgi_timeout = DEADLINE_S
        protocol_version = "HTTP/1.1"

    return Handler


@pytest.fixture
def site(handler: type[CGIHTTPRequestHandler]) -> Iterator[Site]:
    # Not tmp_path: programs of a server that root runs are nobody's, who cannot search it.
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        root.chmod(0o755)
        (root / "cgi-bin").mkdir(mode=0o777)
        (root / "cgi-bin").chmod(0o777)  # scripts leave marks in it
        site = Site(root)
        before = set(children())

        class Logged(handler):  # type: ignore[valid-type,misc]  # a class that a fixture made
            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                site.log.append(format % args)

        with Server(("127.0.0.1", 0), partial(Logged, directory=directory)) as server:
            site.port = server.server_address[1]
            # The interval is for shutdown() alone, which waits for it.
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield site
            finally:
                server.shutdown()
                thread.join()
        # The server has waited for its threads.
        assert set(children()) <= before


def children() -> list[int]:
    """Processes of this one that run or are zombies, by whatever thread started."""
    found: list[int] = []
    for task in os.listdir("/proc/self/task"):
        try:
            found += map(int, Path(f"/proc/self/task/{task}/children").read_text().split())
        except OSError:
            continue
    return found


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


HELLO = "printf 'Content-Type: text/plain\\n\\nhello\\n'"


def test_a_script_answers_get_head_and_post(site: Site) -> None:
    site.sh("a", "echo Content-Type: text/plain; echo; echo $REQUEST_METHOD; cat")
    assert site.fetch("/cgi-bin/a").text == "GET\n"
    assert site.fetch("/cgi-bin/a", method="POST", body=b"body").text == "POST\nbody"
    with Wire(site.port) as wire:
        head = wire.get("/cgi-bin/a", "Connection: close", method="HEAD")
        assert (head.status, wire.rest()) == (200, b"")


def test_the_environment_is_made_from_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORKD_TEST_SECRET", "x")
    monkeypatch.setenv("HTTP_PROXY", "http://example.org")
    script = site.script(
        "env.py",
        "#!/usr/bin/env python3\nimport os\nprint('Content-Type: text/plain\\n')\n"
        "for name, value in sorted(os.environ.items()): print(f'{name}={value}')\n"
        "print('CWD=' + os.getcwd())\n",
    )
    answer = site.fetch(
        "/x/../cgi-bin/env%2Epy/ex%20tra?a+b&c=%2F",
        "Proxy: http://evil",
        "X_Under: 1",
        "Authorization: Basic dTpw",
        "Accept: a",
        "Accept: b",
        method="POST",
        body=b"12345",
    )
    seen = dict(line.split("=", 1) for line in answer.text.splitlines())
    assert seen.pop("REMOTE_PORT").isdigit()
    assert seen.pop("SERVER_SOFTWARE").startswith("SimpleHTTP/")
    assert seen.pop("SERVER_NAME")
    # Set by the C library or the interpreter where they are missing, not by the server.
    seen.pop("LC_CTYPE", None)
    assert seen == {
        "CONTENT_LENGTH": "5",
        "CWD": str(script.parent),
        "DOCUMENT_ROOT": str(site.root),
        "GATEWAY_INTERFACE": "CGI/1.1",
        "HTTP_ACCEPT": "a, b",
        "HTTP_HOST": "test",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PATH_INFO": "/ex tra",
        "PATH_TRANSLATED": f"{site.root}/ex tra",
        "QUERY_STRING": "a+b&c=%2F",
        "REDIRECT_STATUS": "200",
        "REMOTE_ADDR": "127.0.0.1",
        "REQUEST_METHOD": "POST",
        "REQUEST_SCHEME": "http",
        "REQUEST_URI": "/x/../cgi-bin/env%2Epy/ex%20tra?a+b&c=%2F",
        "SCRIPT_FILENAME": str(script),
        "SCRIPT_NAME": "/cgi-bin/env.py",
        "SERVER_PORT": str(site.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
    }


def test_the_query_never_becomes_arguments(site: Site) -> None:
    site.sh("args", "echo Content-Type: text/plain; echo; echo $#")
    assert site.fetch("/cgi-bin/args?-s+x").text == "0\n"


def test_a_python_script_without_the_run_bit_is_run_by_this_interpreter(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # That of the tests may lie where nobody can go.
    monkeypatch.setattr(sys, "executable", shutil.which("python3", path="/usr/local/bin:/usr/bin"))
    site.script("a.py", "print('Content-Type: text/plain\\n')\nprint('python')\n", mode=0o644)
    assert site.fetch("/cgi-bin/a.py").text == "python\n"


def test_scripts_in_directories_below_are_found(site: Site) -> None:
    (site.root / "cgi-bin/d").mkdir(mode=0o755)
    site.script("d/a", f"#!/bin/sh\n{HELLO}\n")
    assert site.fetch("/cgi-bin/d/a").text == "hello\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_programs_of_a_server_that_root_runs_are_nobodys(site: Site) -> None:
    site.sh("id", "echo Content-Type: text/plain; echo; id -u; id -G")
    uid, groups = site.fetch("/cgi-bin/id").text.splitlines()
    assert uid != "0"
    assert "0" not in groups.split()


@pytest.mark.parametrize(
    ("header", "status", "reason"),
    [
        ("Status: 404 Gone Fishing", 404, "Gone Fishing"),
        ("Status: 503", 503, "Service Unavailable"),
        ("Location: http://example.org/", 302, "Found"),
        ("Status: 307 Over There\\nLocation: /x", 307, "Over There"),
    ],
)
def test_the_status_is_the_programs(site: Site, header: str, status: int, reason: str) -> None:
    site.sh("a", f"printf '{header}\\n\\n'")
    with Wire(site.port) as wire:
        wire.send(request("/cgi-bin/a", "Connection: close"))
        assert wire.rest().startswith(f"HTTP/1.1 {status} {reason}\r\n".encode())


def test_a_local_location_is_served_in_the_programs_place(site: Site) -> None:
    site.file("page.txt", "the page")
    site.sh("a", "cat >/dev/null; printf 'Location: /cgi-bin/b?x=1\\n\\n'")
    site.sh(
        "b", 'printf "Location: /page.txt\\nX-B: $REQUEST_METHOD$QUERY_STRING\\n\\n"; env > b.env'
    )
    answer = site.fetch("/cgi-bin/a", method="POST", body=b"form")
    assert (answer.status, answer.text) == (200, "the page")
    seen = (site.root / "cgi-bin/b.env").read_text().splitlines()
    assert {"REQUEST_METHOD=GET", "QUERY_STRING=x=1"} <= set(seen)
    assert not [line for line in seen if line.startswith("CONTENT_")]


def test_a_script_that_leads_to_itself_is_stopped(site: Site) -> None:
    site.sh("a", "printf 'Location: /cgi-bin/a\\n\\n'")
    assert site.fetch("/cgi-bin/a").status == 502


@pytest.mark.parametrize(
    ("name", "text", "mode", "status", "words"),
    [
        ("a.sh", "#!/bin/sh\n", 0o644, 403, "not executable"),
        ("a.sh", "#!/no/such/interpreter\n", 0o755, 500, "interpreter"),
        ("a.sh", "echo no first line\n", 0o755, 500, "begin with #!"),
        ("a.sh", "#!/bin/sh\nexit 3\n", 0o755, 502, "ended without a header; exit status 3"),
        ("a.sh", "#!/bin/sh\nkill -9 $$\n", 0o755, 502, "signal 9 (SIGKILL)"),
        ("a.sh", "#!/bin/sh\necho '<html>'\n", 0o755, 502, "'<html>' where a header"),
        ("a.sh", "#!/bin/sh\necho X: 1; echo\n", 0o755, 502, "no Content-Type"),
        ("b.sh", "#!/bin/sh\n", 0o755, 404, "No such CGI script"),
    ],
)
def test_a_failure_has_its_status_and_one_line_in_the_log(
    site: Site, name: str, text: str, mode: int, status: int, words: str
) -> None:
    site.script(name, text, mode)
    answer = site.fetch("/cgi-bin/a.sh")
    assert answer.status == status
    assert "#!/bin/sh" not in answer.text
    assert len(site.logged(words)) == 1
    assert "/cgi-bin/a.sh" in site.logged(words)[0]
    assert len(site.log) == 2  # the other one is that of the access


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/cgi-bin/", 403),
        ("/cgi-bin", 403),
        ("/cgi-bin/a.sh%00", 404),
        ("/cgi-bin/a.sh/%00", 400),
        ("/../cgi-bin/a.sh", 404),
        ("/%2e%2e/cgi-bin/a.sh", 404),
        ("/cgi-bin/%2e%2e/%2e%2e/%2e%2e/bin/sh", 404),
        ("/cgi-bin/%252e%252e/secret.sh", 404),
        ("/alias/a.sh", 404),
        ("/%00", 404),
    ],
)
def test_no_path_leads_around_the_rules(site: Site, target: str, status: int) -> None:
    site.sh("a.sh", HELLO)
    site.file("secret.sh", "#!/bin/sh\necho secret\n", 0o755)
    (site.root / "alias").symlink_to("cgi-bin")
    answer = site.fetch(target)
    assert answer.status == status
    assert "printf" not in answer.text


def test_files_are_served_as_ever(site: Site) -> None:
    site.file("page.txt", "the page")
    assert site.fetch("/page.txt").text == "the page"
    assert site.fetch("/page.txt", method="POST", body=b"x").status == 501


def test_an_is_cgi_of_the_users_own_decides(
    site: Site, handler: type[CGIHTTPRequestHandler]
) -> None:
    def is_cgi(self: CGIHTTPRequestHandler) -> bool:
        self.cgi_info = "", self.path[1:]
        return self.path.partition("?")[0].endswith(".cgi")

    handler.is_cgi = is_cgi  # type: ignore[method-assign]  # the class is the test's own
    site.file("a.cgi", "#!/bin/sh\necho Content-Type: t/p; echo; echo $QUERY_STRING\n", 0o755)
    site.file("page.txt", "the page")
    assert site.fetch("/a.cgi?x=1").text == "x=1\n"
    assert site.fetch("/page.txt").text == "the page"


def test_a_program_that_writes_before_it_reads_does_not_deadlock(site: Site) -> None:
    site.script(
        "a.py",
        "#!/usr/bin/env python3\nimport sys\nprint('Content-Type: text/plain\\n')\n"
        "sys.stderr.write('e' * 80 + '\\n'); sys.stderr.write('x\\n' * 100_000)\n"
        "print('o' * 1_000_000, end='', flush=True)\n"
        "print(len(sys.stdin.read()), end='')\n",
    )
    # http.client takes nothing of the answer before it has sent all.
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=DEADLINE_S)
    connection.request("POST", "/cgi-bin/a.py", b"i" * 3_000_000)
    with connection.getresponse() as response:
        assert response.read() == b"o" * 1_000_000 + b"3000000"
    connection.close()
    assert len(site.logged(": x")) == 100_000


def test_output_comes_as_it_is_made(site: Site) -> None:
    os.mkfifo(site.root / "cgi-bin/gate", 0o666)
    (site.root / "cgi-bin/gate").chmod(0o666)
    site.sh("a", f"{HELLO}; read line <gate; echo $line")
    with Wire(site.port) as wire:
        wire.send(request("/cgi-bin/a"))
        assert wire.head().headers["transfer-encoding"] == "chunked"
        assert wire.chunk() == b"hello\n"
        (site.root / "cgi-bin/gate").write_text("more\n")
        assert (wire.chunk(), wire.chunk()) == (b"more\n", b"")
        site.file("page.txt", "the page")
        assert wire.get("/page.txt").text == "the page"  # the connection goes on


def test_a_client_of_http_1_0_gets_neither_chunks_nor_keep_alive(site: Site) -> None:
    site.sh("a", HELLO)
    with Wire(site.port) as wire:
        wire.send(b"GET /cgi-bin/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        head = wire.head()
        assert "transfer-encoding" not in head.headers
        assert head.headers["connection"] == "close"
        assert wire.rest() == b"hello\n"


def test_under_http_1_0_as_is_the_default_of_http_server_the_connection_closes(
    site: Site, handler: type[CGIHTTPRequestHandler]
) -> None:
    handler.protocol_version = "HTTP/1.0"
    site.sh("a", HELLO)
    with Wire(site.port) as wire:
        answer = wire.get("/cgi-bin/a")
        assert (answer.version, answer.text) == ("HTTP/1.0", "hello\n")


def test_content_length_of_the_program_keeps_the_connection(site: Site) -> None:
    site.sh("a", "printf 'Content-Type: t/p\\nContent-Length: 5\\n\\nhello'")
    with Wire(site.port) as wire:
        for _ in range(3):
            answer = wire.get("/cgi-bin/a")
            assert (answer.text, answer.headers["content-length"]) == ("hello", "5")
        assert wire.get("/cgi-bin/a", method="HEAD").headers["content-length"] == "5"
        assert wire.get("/cgi-bin/a").text == "hello"


def test_too_much_output_is_cut_at_content_length(site: Site) -> None:
    site.sh("a", "printf 'Content-Type: t/p\\nContent-Length: 5\\n\\nhello and more'")
    with Wire(site.port) as wire:
        assert wire.get("/cgi-bin/a").text == "hello"
        assert wire.get("/cgi-bin/a").text == "hello"
    eventually(lambda: len(site.logged("Content-Length")) == 2, "the log has both")


def test_too_little_output_closes_the_connection(site: Site) -> None:
    site.sh("a", "printf 'Content-Type: t/p\\nContent-Length: 9\\n\\nhello'")
    with Wire(site.port) as wire, pytest.raises(ConnectionError, match="closed after 5 of 9"):
        wire.get("/cgi-bin/a")


def test_a_body_ends_where_content_length_says(site: Site) -> None:
    site.sh("a", "echo Content-Type: text/plain; echo; cat")
    with Wire(site.port) as wire:
        wire.send(request("/cgi-bin/a", method="POST", body=b"one") + request("/cgi-bin/a"))
        assert wire.answer().text == "one"
        assert wire.answer().text == ""


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("Transfer-Encoding: chunked", 501),
        ("Content-Length: 3\r\nContent-Length: 4", 400),
        ("Content-Length: x", 400),
        ("Content-Length: 101", 413),
    ],
)
def test_a_body_that_cannot_be_taken_is_refused(
    site: Site, handler: type[CGIHTTPRequestHandler], head: str, status: int
) -> None:
    handler.cgi_max_body = 100
    site.sh("a", HELLO)
    with Wire(site.port) as wire:
        wire.send(f"POST /cgi-bin/a HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n".encode())
        wire.end()
        answer = wire.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")


def test_a_body_that_ends_too_early_starts_nothing(site: Site) -> None:
    site.sh("a", "touch ran")
    with Wire(site.port) as wire:
        wire.send(b"POST /cgi-bin/a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello")
        wire.end()
        assert wire.answer().status == 400
    assert not (site.root / "cgi-bin/ran").exists()


def test_the_error_for_a_request_with_a_body_reaches_the_client(site: Site) -> None:
    for target in ("/cgi-bin/missing", "/page.txt", "/../x"):
        with Wire(site.port) as wire:
            # So little that the client still sends when the answer comes.
            wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            wire.send(request(target, method="POST", body=b"x" * 900_000))
            answer = wire.answer()
            assert answer.status in (404, 501)
            assert wire.rest() == b""  # a reset would raise


def test_stderr_goes_to_the_log_line_by_line(site: Site) -> None:
    site.sh("a", f"echo one >&2; printf 'two\\r\\nthr\\033ee' >&2; {HELLO}")
    assert site.fetch("/cgi-bin/a").text == "hello\n"
    eventually(lambda: site.logged("thr"), "the last line is logged")
    found = [line.partition(": ")[2] for line in site.log if "CGI script" in line]
    assert found == ["one", "two", "thr\x1bee"]  # log_message() is who escapes


def test_an_exit_status_is_logged(site: Site) -> None:
    site.sh("a", f"{HELLO}; exit 3")
    assert site.fetch("/cgi-bin/a").status == 200
    eventually(lambda: site.logged("exit status 3"), "the exit status is logged")


def test_a_process_in_the_background_does_not_hold_the_answer(site: Site) -> None:
    site.sh("a", f"printf last >&2; {HELLO}; sleep 60 >/dev/null & echo $! >>pid")
    with Wire(site.port) as wire:
        assert wire.get("/cgi-bin/a").text == "hello\n"
        assert wire.get("/cgi-bin/a").text == "hello\n"
    left = [int(line) for line in (site.root / "cgi-bin/pid").read_text().split()]
    assert len(left) == 2
    eventually(lambda: len(site.logged(": last")) == 2, "an open line is logged at the end")
    assert not any(map(gone, left))
    for pid in left:
        os.kill(pid, signal.SIGKILL)


STUBBORN = """
trap '' TERM
(trap '' TERM; echo $$ >>pids; exec sleep 60) &
echo $$ >>pids; echo $! >>pids
"""


def pids(site: Site) -> list[int]:
    try:
        text = (site.root / "cgi-bin/pids").read_text()
    except OSError:
        return []
    return [int(line) for line in text.split()] if text.count("\n") == 3 else []


def test_a_silent_program_is_ended_with_its_group(
    site: Site, handler: type[CGIHTTPRequestHandler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forkd.compat.program._GRACE_S", 0.2)
    handler.cgi_timeout = 1
    site.sh("a", f"{STUBBORN}\nwait; wait")
    assert site.fetch("/cgi-bin/a").status == 504
    assert len(site.logged("no progress for 1 s")) == 1
    eventually(lambda: all(map(gone, pids(site))), "all of the group are gone")
    assert pids(site)


def test_a_program_that_falls_silent_is_cut_off(
    site: Site, handler: type[CGIHTTPRequestHandler]
) -> None:
    handler.cgi_timeout = 1
    site.sh("a", f"{HELLO}; exec sleep 60")
    with Wire(site.port) as wire, pytest.raises(ConnectionError, match="before the last chunk"):
        wire.get("/cgi-bin/a")
    assert len(site.logged("no progress for 1 s: cut off")) == 1


def test_term_lets_a_program_clean_up(site: Site, handler: type[CGIHTTPRequestHandler]) -> None:
    handler.cgi_timeout = 1
    site.sh("a", "trap 'echo cleaned >&2; exit 0' TERM; sleep 60 & wait")
    assert site.fetch("/cgi-bin/a").status == 504
    eventually(lambda: site.logged("cleaned"), "what it said last is logged")


def test_a_client_that_resets_ends_the_program(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forkd.compat.program._GRACE_S", 0.2)
    site.sh("a", f"{STUBBORN}\nwait; wait")
    with Wire(site.port) as wire:
        wire.send(request("/cgi-bin/a"))
        eventually(lambda: pids(site), "the program runs")
        linger = (1).to_bytes(4, "little") + bytes(4)
        wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    eventually(lambda: all(map(gone, pids(site))), "all of the group are gone")
    eventually(lambda: site.logged("client is gone"), "the log says why")


def test_a_client_that_half_closes_gets_its_answer_if_it_comes_soon(site: Site) -> None:
    os.mkfifo(site.root / "cgi-bin/gate", 0o666)
    (site.root / "cgi-bin/gate").chmod(0o666)
    site.sh("a", f"read line <gate; {HELLO}")
    with Wire(site.port) as wire:
        wire.send(request("/cgi-bin/a"))
        wire.end()
        (site.root / "cgi-bin/gate").write_text("go\n")
        assert wire.answer().text == "hello\n"


def test_a_client_that_closes_is_waited_for_a_while_only(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forkd.compat.program._GRACE_S", 0.2)
    site.sh("a", "exec sleep 60")
    with Wire(site.port) as wire:
        wire.send(request("/cgi-bin/a"))
        wire.end()
        assert wire.rest() == b""
    assert site.logged("client is gone")


def test_a_client_that_takes_nothing_does_not_hold_the_program(
    site: Site, handler: type[CGIHTTPRequestHandler]
) -> None:
    handler.cgi_timeout = 1
    site.sh("a", "echo $$ >pid; printf 'Content-Type: t/p\\n\\n'; exec cat /dev/zero")
    with Wire(site.port, receive_buffer=4096) as wire:
        wire.send(request("/cgi-bin/a"))
        eventually(lambda: site.logged("does not go on"), "the client is given up")
        eventually(lambda: gone(int((site.root / "cgi-bin/pid").read_text())), "it is ended")


class Likeness:
    """What a server hands over that keeps the socket for itself: no descriptor, no timeout."""

    def __init__(self, data: bytes) -> None:
        self.sent = b""
        self._data = data

    def makefile(self, mode: str, _size: int) -> io.BytesIO:
        assert mode == "rb"
        return io.BytesIO(self._data)

    def sendall(self, data: bytes) -> None:
        self.sent += data


def test_a_connection_need_not_be_a_socket(
    site: Site, handler: type[CGIHTTPRequestHandler]
) -> None:
    site.sh("a", "echo Content-Type: text/plain; echo; cat; echo $REMOTE_ADDR")
    connection = Likeness(b"POST /cgi-bin/a HTTP/1.0\r\nContent-Length: 4\r\n\r\none ")
    server = SimpleNamespace(server_name="test", server_port=80)
    make: Any = partial(handler, directory=str(site.root))
    make(connection, ("192.0.2.1", 4711), server)
    assert connection.sent.startswith(b"HTTP/1.1 200 OK\r\n")
    assert connection.sent.endswith(b"\r\n\r\none 192.0.2.1\n")


def test_many_at_once_each_get_their_own(site: Site) -> None:
    site.sh("a", "echo Content-Type: text/plain; echo; cat; echo $QUERY_STRING")
    results: dict[int, str] = {}

    def run(number: int) -> None:
        body = f"{number} ".encode() * 10_000
        answer = site.fetch(f"/cgi-bin/a?{number}", method="POST", body=body)
        assert answer.body == body + f"{number}\n".encode()
        results[number] = answer.text[-5:]

    threads = [threading.Thread(target=run, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 20
