"""`forkd explain`: what it says of a URL is what a client of that URL gets, and why."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.daemon import Daemon, eventually, run_forkd, started
from tests.system.sites import HI, ROUTES, lock_out, make_site, open_to_all, script
from tests.system.wire import Wire

WHO = "www-data" if os.geteuid() == 0 else None
"""Whom the workers run as; None: as the tests."""


def write(path: Path, content: bytes, mode: int = 0o755) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def make_trouble(directory: Path) -> str:
    """Scripts and files that cannot be used; gives a line that the configuration needs."""
    make_site(directory)
    bin_, html = directory / "cgi-bin", directory / "html"
    write(bin_ / "norun.sh", b"#!/bin/sh\n", 0o644)
    write(bin_ / "dos.sh", b"#!/bin/sh\r\n")
    write(bin_ / "nointerpreter.sh", b"#!/no/such\n")
    write(bin_ / "env.sh", b"#!/usr/bin/env no-such-shell\n")
    write(bin_ / "unreadable.sh", b"#!/bin/sh\n", 0o711)
    shutil.copy("/bin/sh", directory / "tool")
    write(bin_ / "tools.sh", f"#!{directory}/tool\n{HI}\n".encode())
    write(bin_ / "empty", b"")
    write(bin_ / "text", b"hello")
    write(bin_ / ".hidden.sh", b"#!/bin/sh\n")
    write(bin_ / "locked" / "x.sh", b"#!/bin/sh\n")
    (bin_ / "deep").mkdir()
    write(bin_ / "deep" / "x.pl", b"print qq(Content-Type: text/plain\\n\\nperl\\n);", 0o644)
    write(html / "unreadable", b"x", 0o600 if WHO else 0)
    write(html / ".hidden", b"x", 0o644)
    write(html / "locked" / "x", b"x", 0o644)
    write(html / "with" / "index.html", b"x", 0o644)
    (html / "without").mkdir()
    (html / "outside").symlink_to("/etc/passwd")
    (html / "dangling").symlink_to("nothing")
    os.mkfifo(html / "fifo")
    pages = directory / "pages"
    write(pages / "here.py", b"def application():\n    return 'page'\n", 0o644)
    write(directory / "app.py", APPLICATION, 0o644)
    if not WHO:
        (bin_ / "unreadable.sh").chmod(0o311)
    lock_out(bin_ / "locked")
    open_to_all(directory)
    directory.chmod(0o755)  # to be listed, for the import
    return lock_out(html / "locked")


APPLICATION = b"""\
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"wsgi"]
"""
MORE = {
    "/old/": "{redirect: /new/, status: 301}",
    "/nobody/": "{respond: secret, deny: all}",
    "/get/": '{cgi: cgi-bin, methods: [GET], interpreters: {".pl": PERL}, limits: {cpu: 5s}}',
    "/one": "{cgi: cgi-bin/hi.sh}",
    "/boxed/": "{cgi: cgi-bin, sandbox: {read: /etc/hostname, best_effort: true}}",
    "*.cgi": "{cgi: html}",
    "/front/": "{static: html, fallback: /app/x}",
    "/listed/": "{static: html, listing: true}",
    "/app/": '{wsgi: "app:application"}',
    "/pages/": "{pages: pages}",
    "/healthz": "{health: true}",
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("explain")
    top = make_trouble(directory)
    perl = shutil.which("perl") or "/usr/bin/perl"
    routes = ROUTES | {pattern: action.replace("PERL", perl) for pattern, action in MORE.items()}
    with started(directory, routes, top=top, workers="{count: 1}") as daemon:
        yield daemon
    if not WHO:
        for name in ("cgi-bin", "html"):
            (directory / name / "locked").chmod(0o755)  # or nobody can remove it


@pytest.fixture
def user() -> str:
    import pwd

    return WHO or pwd.getpwuid(os.geteuid()).pw_name


def facts(answer: dict[str, object]) -> dict[str, str]:
    found = answer["facts"]
    assert isinstance(found, list)
    return dict(found)


@pytest.mark.parametrize(
    ("url", "status", "reason"),
    [
        ("/cgi-bin/norun.sh", 403, "user USER may not run BIN/norun.sh (chmod +x BIN/norun.sh)"),
        ("/cgi-bin/dos.sh", 500, "the first line of BIN/dos.sh ends with a carriage return"),
        ("/cgi-bin/nointerpreter.sh", 500, "the interpreter /no/such in the first line of BIN/"),
        ("/cgi-bin/empty", 500, "BIN/empty is empty"),
        ("/cgi-bin/text", 500, "BIN/text is neither a program nor a script"),
        ("/cgi-bin/missing", 404, "BIN/missing does not exist"),
        ("/cgi-bin/.hidden.sh", 404, "BIN/.hidden.sh is hidden"),
        ("/cgi-bin/deep", 403, "BIN/deep is a directory"),
        ("/cgi-bin/locked/x.sh", 403, "user USER may not search the directory BIN/locked"),
        ("/cgi-bin/env.sh", 502, "/usr/bin/env in the first line of BIN/env.sh finds no no-such-"),
        ("/get/missing.pl", 404, "BIN/missing.pl does not exist"),
        ("/x/missing.cgi/y", 404, "HTML/x/missing.cgi does not exist"),
        ("/missing", 404, "HTML/missing does not exist"),
        ("/.hidden", 404, "HTML/.hidden is hidden"),
        ("/outside", 404, "HTML/outside leads to /etc/passwd by a symbolic link, and follow_sym"),
        ("/dangling", 404, "HTML/dangling is a symbolic link to nothing"),
        ("/fifo", 404, "HTML/fifo is neither a file nor a directory"),
        ("/unreadable", 403, "user USER may not read HTML/unreadable"),
        ("/locked/x", 403, "user USER may not search the directory HTML/locked"),
        ("/without/", 403, "HTML/without/ is a directory without an index file (index.html), and"),
        ("/nobody/x", 403, "client 127.0.0.1: refused by allow and deny of /nobody/"),
        ("/pages/missing.py", 404, "PAGES/missing.py does not exist"),
        ("/pages/other", 404, "PAGES/other is no page"),
        ("/%zz", 400, "the path has a malformed percent-encoding"),
    ],
)
def test_a_failure_is_explained_in_the_words_of_the_log(
    daemon: Daemon, user: str, url: str, status: int, reason: str
) -> None:
    answer = daemon.ask(command="explain", url=url, client="127.0.0.1")
    for name in ("cgi-bin:BIN", "html:HTML", "pages:PAGES"):
        directory, _, short = name.partition(":")
        reason = reason.replace(f"{short}/", f"{daemon.directory}/{directory}/")
    expected = f"would fail: {status} {reason.replace('USER', user)}"
    assert answer["result"][: len(expected)] == expected
    assert answer["status"] == status
    with Wire(daemon.port) as wire:
        assert wire.get(url).status == status


@pytest.mark.parametrize(
    ("url", "status", "result"),
    [
        ("/small.txt", 200, "with 200 and the file HTML/small.txt"),
        ("/with/", 200, "with 200 and the file HTML/with/index.html"),
        ("/listed/without/", 200, "with 200 and a listing of HTML/without/"),
        ("/with", 301, "with 301 to /with/: HTML/with is a directory"),
        ("/cgi-bin", 301, "with 301 to /cgi-bin/, which is a route: /cgi-bin is none"),
        ("/old/a?b=c", 301, "with 301 to /new/a?b=c"),
        ("/hello", 200, "with 200 and the text of the route (6 bytes)"),
        ("/cgi-bin/hi.sh/a", 200, "by the program BIN/hi.sh"),
        ("/one", 200, "by the program BIN/hi.sh"),
        ("/boxed/hi.sh", 200, "by the program BIN/hi.sh"),
        ("/cgi-bin/tools.sh", 200, "by the program BIN/tools.sh"),
        ("/get/deep/x.pl", 200, "by the program BIN/deep/x.pl"),
        ("/app/x", 200, "by the application app:application"),
        ("/front/none", 200, "by the application app:application"),
        ("/pages/here.py", 200, "by the page PAGES/here.py"),
        ("/healthz", 200, "by forkd itself (health: true)"),
    ],
)
def test_an_answer_is_foretold(daemon: Daemon, url: str, status: int, result: str) -> None:
    answer = daemon.ask(command="explain", url=url)
    for name in ("cgi-bin:BIN", "html:HTML", "pages:PAGES"):
        directory, _, short = name.partition(":")
        result = result.replace(f"{short}/", f"{daemon.directory}/{directory}/")
    assert answer["result"] == f"would be answered {result}"
    assert answer["status"] in (status, None)
    with Wire(daemon.port) as wire:
        assert wire.get(url).status == status


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("POST", "/get/hi.sh", 405),
        ("GET", "/get/hi.sh", 200),
        ("PUT", "/small.txt", 405),
        ("BREW", "/small.txt", 501),
        ("OPTIONS", "/small.txt", 200),
        ("POST", "/front/small.txt", 405),
        ("POST", "/front/none", 200),
        ("POST", "/old", 308),
    ],
)
def test_the_method_counts(daemon: Daemon, method: str, url: str, status: int) -> None:
    answer = daemon.ask(command="explain", url=url, method=method)
    assert answer["status"] in (status, None), answer
    with Wire(daemon.port) as wire:
        assert wire.get(url, method=method).status == status


def test_a_script_that_may_be_run_but_not_read_is_told(daemon: Daemon, user: str) -> None:
    path = f"{daemon.directory}/cgi-bin/unreadable.sh"
    result = daemon.ask(command="explain", url="/cgi-bin/unreadable.sh")["result"]
    if WHO:
        why = f"user {user} may run {path} but not read it, which its interpreter has to"
        assert result == f"would fail: 502 {why}"
    else:  # whether it is a script cannot be seen then
        assert result == (
            f"would be answered by the program {path}, unless it is a script: user {user} may not "
            f"read it"
        )
    with Wire(daemon.port) as wire:
        assert wire.get("/cgi-bin/unreadable.sh").status == 502


def test_a_sandbox_that_holds_back_an_interpreter_is_told(daemon: Daemon) -> None:
    answer = daemon.ask(command="explain", url="/boxed/tools.sh")
    assert f"{daemon.directory}/cgi-bin" in facts(answer)["  may read"]
    with Wire(daemon.port) as wire:
        status = wire.get("/boxed/tools.sh").status
    if status == 500:
        assert answer["status"] == 500
        assert "the sandbox does not let " in answer["result"]
    else:  # a kernel without Landlock, which `best_effort` puts up with
        assert (status, answer["status"]) == (200, None)


def test_it_says_who_would_do_what_with_which_limits(daemon: Daemon, user: str) -> None:
    found = facts(daemon.ask(command="explain", url="/get/deep/x.pl/info?q"))
    assert found["site"] == "sites.0 (any host that no other site names)"
    assert found["route"] == f"/get/ (cgi: {daemon.directory}/cgi-bin)"
    assert found["methods"] == "GET"
    assert found["file"] == f"{daemon.directory}/cgi-bin/deep/x.pl"
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("/get/deep/x.pl", "/info")
    assert found["interpreter"].endswith("perl (of `interpreters`)")
    assert found["user"] == user
    assert found["limits"] == "cpu: 5.0"
    assert found["no_new_privileges"] == "true"
    assert found["timeout"] == "60 s without progress"


def test_allow_and_deny_are_told_and_judged_for_a_client(daemon: Daemon) -> None:
    open_ = daemon.ask(command="explain", url="/nobody/x")
    assert open_["status"] == 200
    assert (facts(open_)["allow"], facts(open_)["deny"]) == ("all", "all")
    assert daemon.ask(command="explain", url="/nobody/x", client="unix:")["status"] == 403
    wrong = daemon.ask(command="explain", url="/nobody/x", client="somebody")
    assert wrong == {"ok": False, "reasons": ["'somebody' is no address of a client"]}


def test_a_person_reads_lines_and_a_program_reads_json(daemon: Daemon) -> None:
    result = daemon.command("explain", f"{daemon.url}/cgi-bin/hi.sh/a")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert "SCRIPT_NAME        /cgi-bin/hi.sh" in lines
    assert "interpreter        /bin/sh" in lines
    assert lines[-1] == f"would be answered by the program {daemon.directory}/cgi-bin/hi.sh"
    result = daemon.command("explain", "--json", "/missing", "-X", "HEAD")
    assert (result.returncode, json.loads(result.stdout)["status"]) == (0, 404)


def test_what_is_no_url_is_refused(daemon: Daemon) -> None:
    result = daemon.command("explain", "ftp://x/")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("forkd: ftp://x/ is no http URL")


def test_wrong_usage_and_nobody_there_are_told(tmp_path: Path) -> None:
    control = str(tmp_path / "control.sock")
    assert run_forkd("explain", "--control", control).returncode == 2
    result = run_forkd("explain", "/", "--control", control)
    assert (result.returncode, len(result.stderr.splitlines())) == (3, 1)


def test_the_master_reaps_whoever_it_has_asked(daemon: Daemon) -> None:
    before, log = daemon.children(), daemon.error_log
    for _ in range(5):
        assert daemon.ask(command="explain", url="/")["ok"]
    eventually(lambda: daemon.children() <= before, "nobody is left")
    assert daemon.error_log == log


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_user_of_the_route_is_asked_and_not_that_of_the_workers(tmp_path: Path) -> None:
    make_site(tmp_path)
    theirs = tmp_path / "cgi-bin" / "theirs.sh"
    script(tmp_path, "theirs.sh", "printf 'Content-Type: text/plain\\n\\n'; id -un")
    open_to_all(tmp_path)
    theirs.chmod(0o700)
    shutil.chown(theirs, "nobody")
    routes = ROUTES | {"/theirs/": "{cgi: cgi-bin, user: nobody}"}
    with started(tmp_path, routes, top="user: www-data", workers="{count: 1}") as daemon:
        answer = daemon.ask(command="explain", url="/theirs/theirs.sh")
        assert answer["result"] == f"would be answered by the program {theirs}"
        assert facts(answer)["user"] == "nobody"
        assert facts(answer)["group"] == "nogroup"
        answer = daemon.ask(command="explain", url="/cgi-bin/theirs.sh")
        assert answer["result"].startswith("would fail: 403 user www-data may not run ")
        with Wire(daemon.port) as wire:
            assert wire.get("/theirs/theirs.sh").text == "nobody\n"
            assert wire.get("/cgi-bin/theirs.sh").status == 403


def test_hosts_lead_to_their_sites(tmp_path: Path) -> None:
    (tmp_path / "forkd.yaml").write_text(
        f"root: {tmp_path}\ncontrol: {tmp_path}/control.sock\nlisten: 127.0.0.1:0\n"
        f"workers: {{count: 1}}\nlog: {{error: {{file: error.log}}}}\n"
        "sites:\n"
        "  - {host: [a.org, '*.a.org'], routes: {/x/: {respond: a, status: 418}}}\n"
        "  - {host: b.org, deny: [all], allow: [10.0.0.0/8], routes: {/: {respond: b}}}\n"
    )
    with started(tmp_path) as daemon:
        for url, status, site in (
            ("http://A.org:80/x/", 418, "sites.0 (a.org, *.a.org)"),
            ("www.a.org/x/y", 418, "sites.0 (a.org, *.a.org)"),
            ("/x/", 418, "sites.0 (a.org, *.a.org)"),
            ("a.org/y", 404, "sites.0 (a.org, *.a.org)"),
            ("b.org/", 200, "sites.1 (b.org)"),
            ("c.org/", 404, None),
        ):
            answer = daemon.ask(command="explain", url=url)
            assert (answer["status"], facts(answer).get("site")) == (status, site), url
        assert daemon.ask(command="explain", url="b.org/x", client="::1")["status"] == 403
        assert daemon.ask(command="explain", url="b.org/x", client="10.1.1.1")["status"] == 200
