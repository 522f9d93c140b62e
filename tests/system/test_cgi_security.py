"""What programs are told, who they are, and what a sandbox keeps them from."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.system.daemon import is_running
from tests.system.hostile import IDENTITIES, OWN_USER, PROGRAM, Fort, fort, need_sandbox
from tests.system.scripts import parent_of
from tests.system.tools import need
from tests.system.wire import Wire, fetch

BOXED = "/boxed"
FREE = "/cgi-bin"
"""What the same program, as the same user, can do without a sandbox."""
BY_INTERPRETER = "/interpreted"
OWN = "/own"
"""Where programs have a user of their own, if forkd is started as root."""

AS_ROOT = os.geteuid() == 0


@pytest.fixture(scope="module", params=IDENTITIES, ids=lambda line: line or "as this user")
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fort]:
    need_sandbox()
    directory = tmp_path_factory.mktemp("security")
    shared = directory / "shared"
    for place in (shared / "given", shared / "other"):
        place.mkdir(parents=True)
        place.chmod(0o777)
        (place / "file").write_text("content")
        (place / "file").chmod(0o666)
    routes = {
        "/boxed/": f"{{MARK, sandbox: {{write: {shared}/given}}}}",
        "/interpreted/": "{MARK, interpreters: {.py: /usr/bin/python3}}",
        "/own/": f"{{MARK, user: {OWN_USER}}}" if AS_ROOT else "{MARK}",
        "/loose/": "{MARK, no_new_privileges: false}",
    }
    secrets = {"SECRET": "x", "HTTP_PROXY": "x", "NOTIFY_SOCKET": "", "LD_LIBRARY_PATH": "/secret"}
    # Groups of whoever started it, which nobody below may have.
    prefix = (need("setpriv"), "--groups", "4,27,31") if AS_ROOT else ()
    with fort(directory, routes, request.param, env=secrets, prefix=prefix) as made:
        if AS_ROOT:
            identity = shutil.copy(need("id"), directory / "cgi-bin" / "id")
            Path(identity).chmod(0o4755)
        yield made


ALLOWED = (
    {"GATEWAY_INTERFACE", "SERVER_SOFTWARE", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL"}
    | {"REQUEST_METHOD", "REQUEST_SCHEME", "REQUEST_URI", "REQUEST_ID", "QUERY_STRING"}
    | {"REMOTE_ADDR", "REMOTE_PORT", "SCRIPT_NAME", "SCRIPT_FILENAME", "DOCUMENT_ROOT"}
    | {"CONTENT_LENGTH", "REDIRECT_STATUS", "PATH", "HTTP_HOST", "MARK"}
)


@pytest.mark.parametrize("target", [FREE, BOXED, BY_INTERPRETER, OWN])
def test_a_program_is_told_what_it_should_be_and_nothing_else(site: Fort, target: str) -> None:
    environ, argv = site.ask(target, "dict(os.environ)", "sys.orig_argv")
    environ.pop("LC_CTYPE", None)  # Python's own (PEP 538)
    assert set(environ) == ALLOWED
    assert "secret" not in str(environ)
    script = f"{site.directory}/{PROGRAM}"
    assert argv in (["/usr/bin/python3", script], ["/usr/bin/python3", "-I", script])


@pytest.mark.parametrize("target", [FREE, BOXED, BY_INTERPRETER, OWN])
@pytest.mark.parametrize("query", ["-s", "a+b", "-d+allow_url_include%3d1", "%2ds", "+", "--"])
def test_a_query_is_no_argument(site: Fort, target: str, query: str) -> None:
    with site.send(target, "sys.orig_argv[1:]", "os.environ['QUERY_STRING']", query=query) as wire:
        lines = wire.answer().text.splitlines()
    options = "" if target == BY_INTERPRETER else '"-I", '
    assert lines == [f'[{options}"{site.directory}/{PROGRAM}"]', f'"{query}"']


@pytest.mark.skipif(not AS_ROOT, reason="only root has privileges to give up")
@pytest.mark.parametrize(("target", "user"), [(FREE, "www-data"), (OWN, OWN_USER)])
def test_privileges_are_really_gone(site: Fort, target: str, user: str) -> None:
    if target == FREE and site.identity == "":
        user = "root"
    entry = pwd.getpwnam(user)
    (status,) = site.ask(target, "status()")
    assert status["Uid"].split() == [str(entry.pw_uid)] * 4
    assert status["Gid"].split() == [str(entry.pw_gid)] * 4
    assert status["NoNewPrivs"] == "1"
    if user == "root":
        return
    # The user's own, and none of those that forkd was started with.
    assert sorted(status["Groups"].split()) == sorted(map(str, os.getgrouplist(user, entry.pw_gid)))
    assert {kind: int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Amb")} == {
        "Inh": 0,
        "Prm": 0,
        "Eff": 0,
        "Amb": 0,
    }
    ways_back = ("os.setuid(0)", "os.setgid(0)", "os.setgroups([0])", "os.chroot('/')")
    assert set(site.ask(target, *ways_back)) == {"EPERM"}
    effective = f"output('{site.directory}/id', '-u')"
    assert site.ask(target, effective) == [str(entry.pw_uid)]


@pytest.mark.skipif(not AS_ROOT, reason="only root can make a program of root's")
def test_a_set_user_id_program_has_its_effect_only_where_the_route_says_so(site: Fort) -> None:
    assert site.ask("/loose", f"output('{site.directory}/id', '-u')") == ["0"]
    uid = pwd.getpwnam(site.identity.removeprefix("user: ") or "root").pw_uid
    for target in (FREE, BOXED):
        assert site.ask(target, f"output('{site.directory}/id', '-u')") == [str(uid)]


def test_a_link_to_a_program_elsewhere_is_run_but_not_out_of_a_sandbox(site: Fort) -> None:
    """Whoever may write to a directory of programs may say what is run there."""
    elsewhere = site.daemon.directory / "shared" / "elsewhere.sh"
    elsewhere.write_text("#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nelsewhere'\n")
    elsewhere.chmod(0o755)
    (site.directory / "link.sh").symlink_to(elsewhere)
    answer = fetch(site.port, f"{FREE}/link.sh")
    assert (answer.status, answer.text) == (200, "elsewhere")
    assert fetch(site.port, f"{BOXED}/link.sh").status == 500
    assert site.lines(f"the sandbox does not let {site.directory}/link.sh", "sandbox.read")


def test_what_is_not_given_is_not_read(site: Fort) -> None:
    daemon = site.daemon
    ours = [f"read('{path}')" for path in (daemon.config, daemon.directory / "html" / "page.txt")]
    places = (
        "/etc/shadow",
        "/proc/1/environ",
        "/proc/self/environ",
        f"{daemon.directory}/access.log",
    )
    others = [f"read('{path}')" for path in places]
    assert site.ask(FREE, *ours) == ["done"] * len(ours)
    assert set(site.ask(BOXED, *ours, *others)) == {"EACCES"}


def test_no_descriptor_is_inherited(site: Fort) -> None:
    for target in (FREE, BOXED):
        assert site.ask(target, "descriptors()") == [[]]


def writes(path: Path) -> list[str]:
    return [
        f"write('{path}/file')",
        f"os.truncate('{path}/file', 0)",
        f"write('{path}/new')",
        f"os.link('{path}/file', '{path}/linked')",
        f"os.symlink('/etc/shadow', '{path}/symbolic')",
        f"os.rename('{path}/new', '{path}/renamed')",
        f"os.unlink('{path}/symbolic')",
    ]


def test_what_is_not_given_is_not_written(site: Fort) -> None:
    shared = site.daemon.directory / "shared"
    other, temporary = shared / "other", site.daemon.directory / "temporary"
    boxed = site.ask(
        BOXED, *writes(other), f"write('{temporary}/x')", f"write('{site.directory}/x')"
    )
    # What was not made cannot be renamed or removed: the name is looked up first.
    assert set(boxed) <= {"EACCES", "ENOENT"}
    assert [path.name for path in other.iterdir()] == ["file"]
    assert (other / "file").read_text() == "content"
    # Across the border, where each side is allowed to this user.
    given = shared / "given"
    crossing = [
        f"os.link('{other}/file', '{given}/taken')",
        f"os.rename('{other}/file', '{given}/taken')",
        f"os.link('{given}/file', '{other}/brought')",
    ]
    assert set(site.ask(BOXED, *crossing)) <= {"EACCES", "EXDEV"}
    assert set(site.ask(BOXED, *writes(given))) <= {"done", "EPERM"}  # fs.protected_hardlinks
    assert "done" in site.ask(FREE, *writes(other))


def test_there_is_no_network(site: Fort) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        datagrams.bind(("127.0.0.1", 0))
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind("")  # a name of the kernel's choice (unix(7), autobind)
        abstract.listen()
        name = abstract.getsockname().decode()
        calls = (
            f"connect(('127.0.0.1', {site.port}))",
            f"connect({listener.getsockname()})",
            f"send({datagrams.getsockname()})",
            f"connect({name!r})",
            "socket.create_server(('127.0.0.1', 0)).close()",
        )
        assert site.ask(BOXED, *calls) == ["EACCES", "EACCES", "EACCES", "EPERM", "EACCES"]
        assert set(site.ask(FREE, *calls)) == {"done"}


def family(site: Fort) -> dict[str, int]:
    """A worker, the master, and the spawner of the programs of /boxed/."""
    with site.sibling(BOXED) as (pid, _):
        spawner = parent_of(pid)
    return {"worker": site.daemon.workers()[0]["pid"], "master": site.daemon.pid, "own": spawner}


def test_a_program_can_do_nothing_to_another_process(site: Fort) -> None:
    with site.sibling(BOXED) as (victim, wire), site.sibling(FREE) as (free_victim, free_wire):
        targets = [victim, free_victim, *family(site).values()]
        kills = [f"os.kill({pid}, {int(signal.SIGKILL)})" for pid in targets]
        # Even where they are what they were.
        limits = [f"resource.prlimit({pid}, resource.RLIMIT_CPU)" for pid in targets]
        groups = [f"os.killpg({pid}, {int(signal.SIGKILL)})" for pid in targets[:2]]
        traces = [
            expression
            for pid in targets
            for expression in (f"trace({pid})", f"memory({pid})", f"take_descriptor({pid})")
        ]
        assert set(site.ask(BOXED, *kills, *groups, *limits, *traces)) <= {"EPERM", "EACCES"}
        # To all that it may: harmless to who does not wait for it.
        site.ask(BOXED, "os.kill(-1, signal.SIGURG)")
        assert is_running(victim)
        assert released(wire) == released(free_wire) == 0
    with site.sibling(FREE) as (victim, wire):
        free = [f"os.kill({victim}, signal.SIGURG)"]
        if not needs_a_capability_to_trace():
            free += [f"trace({victim})", f"memory({victim})"]
        assert set(site.ask(FREE, *free)) == {"done"}
        assert released(wire) == 1
    site.check_nothing_left()


def released(wire: Wire) -> int:
    """Let one go that stands there; how many signals it has got."""
    wire.send(b"\n")
    count = int(wire.chunk())
    assert wire.chunk() == b""
    return count


def needs_a_capability_to_trace() -> bool:
    """Yama may deny it to ordinary users (ptrace(2), ptrace_scope)."""
    try:
        return Path("/proc/sys/kernel/yama/ptrace_scope").read_text() != "0\n"
    except FileNotFoundError:
        return False
