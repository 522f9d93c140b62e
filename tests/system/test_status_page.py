"""The status route: for programs, for people, and in a real browser."""

from __future__ import annotations

import html
import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.system.applications import wsgi_route
from tests.system.chromium import screenshot
from tests.system.daemon import Daemon, eventually, started
from tests.system.live_page import LivePage, live_page
from tests.system.pages import Page
from tests.system.programs import Held
from tests.system.sites import HI, ROUTES, make_site, script
from tests.system.wire import Wire, fetch, request

STATUS = {"/status": "{status: true, allow: 127.0.0.1}"}
EVIL = "<script>oh('&')</script>"
TARGET = f"/cgi-bin/held.sh?{EVIL}"


@contextmanager
def asked_by_a_stranger(directory: Path) -> Iterator[Daemon]:
    """A daemon whose one worker is busy with a request for TARGET."""
    make_site(directory)
    gate = directory / "gate"
    os.mkfifo(gate, 0o666)
    script(directory, "held.sh", f"read line < {gate}; {HI}")
    with (
        started(directory, ROUTES | STATUS, workers="{count: 1}") as daemon,
        Wire(daemon.port) as wire,
    ):
        wire.send(request(TARGET))
        eventually(lambda: daemon.workers()[0]["request"], "the request is told of")
        yield daemon
        gate.write_text("\n")
        assert wire.answer().text == "hi\n"


def figures(daemon: Daemon) -> dict[str, Any]:
    answer = fetch(daemon.port, "/status?json")
    assert answer.status == 200
    found: dict[str, Any] = json.loads(answer.body)
    return found


def shape(value: object) -> object:
    """The keys at every level; of lists those of the first entry."""
    match value:
        case dict():
            return {key: shape(part) for key, part in value.items()}
        case list():
            return [shape(part) for part in value[:1]]
        case _:
            return None


def shown_requests(page: LivePage) -> int:
    return int(page.text("#totals dd").replace("\u202f", ""))


def test_json_is_what_the_command_prints(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES | STATUS) as daemon, Held(tmp_path, daemon.port) as held:
        eventually(lambda: any(one["request"] for one in daemon.workers()), "a request is told of")
        printed = json.loads(daemon.command("status", "--json").stdout)
        told = figures(daemon)
        # Which worker is busy is not the same in both: the one that answers is.
        for one in (printed, told):
            one["workers"] = [{**one["workers"][0], "request": None}]
        assert shape(told) == shape(printed)
        assert (told["pid"], told["config"]) == (printed["pid"], printed["config"])
        held.finish()


def test_the_page_shows_what_is_under_way_as_text(tmp_path: Path) -> None:
    with asked_by_a_stranger(tmp_path) as daemon:
        answer = fetch(daemon.port, "/status")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")
        assert f"GET {html.escape(TARGET)} " in answer.text
        assert EVIL not in answer.text
        assert Page(answer.text).faults == []


def test_it_answers_while_every_thread_of_every_worker_is_busy(tmp_path: Path) -> None:
    routes = STATUS | {"/app/": wsgi_route("wsgi_app:application", SIGNALS=tmp_path)}
    workers = "{count: 1, threads: 2}"
    with started(tmp_path, routes, workers=workers) as daemon, ExitStack() as stack:
        wires = [stack.enter_context(Wire(daemon.port)) for _ in range(4)]
        for number, wire in enumerate(wires):
            wire.send(request(f"/app/blocked?{number}"))
        eventually(lambda: figures(daemon)["workers"][0]["threads_waiting"] == 2, "two wait")
        assert figures(daemon)["workers"][0]["threads_busy"] == 2
        assert fetch(daemon.port, "/status").status == 200
        for number in range(4):
            (tmp_path / str(number)).touch()
        assert [wire.answer().body for wire in wires] == [b"at last"] * 4


def test_a_master_that_stands_still_is_503(tmp_path: Path) -> None:
    with started(tmp_path, STATUS) as daemon:
        port = daemon.port
        daemon.send_signal(signal.SIGSTOP)
        try:
            answer = fetch(port, "/status")
        finally:
            daemon.send_signal(signal.SIGCONT)
        assert (answer.status, answer.text) == (503, "The master does not answer within 2 s.\n")
        eventually(lambda: fetch(port, "/status").status == 200, "it answers again")


def test_many_who_ask_at_once_cost_the_master_little(tmp_path: Path) -> None:
    with started(tmp_path, STATUS) as daemon, ExitStack() as stack:
        wires = [stack.enter_context(Wire(daemon.port)) for _ in range(100)]
        for wire in wires:
            wire.send(request("/status?json"))
        answers = [wire.answer() for wire in wires]
        assert {answer.status for answer in answers} == {200}
        assert len({answer.body for answer in answers}) < 50


def test_others_are_refused(tmp_path: Path) -> None:
    routes = {"/status": "{status: true, allow: 192.0.2.1}"}
    with started(tmp_path, routes) as daemon:
        assert [fetch(daemon.port, f"/status{one}").status for one in ("", "?json")] == [403, 403]


def test_the_page_lives_in_a_browser_without_a_complaint(tmp_path: Path) -> None:
    make_site(tmp_path)
    with started(tmp_path, ROUTES | STATUS) as daemon, live_page(tmp_path / "profile") as page:
        [worker, _] = daemon.workers()
        os.kill(worker["pid"], signal.SIGKILL)
        eventually(lambda: daemon.status()["deaths"], "the death is told of")
        eventually(lambda: len(daemon.workers()) == 2, "it is replaced")
        page.open(f"{daemon.url}/status")
        eventually(lambda: page.text("#g-requests strong") not in ("", "\u2013"), "rates are shown")
        before = shown_requests(page)
        for _ in range(500):
            fetch(daemon.port, "/hello")
        eventually(lambda: shown_requests(page) >= before + 500, "the page goes on")
        assert page.evaluate("document.querySelectorAll('svg path.curve').length") == 3
        assert page.text("#alive") == "live"
        assert f"worker {worker['slot']} gen 1 pid {worker['pid']}" in page.text("#deaths")
        assert "died by signal 9 (SIGKILL)" in page.text("#deaths")
        assert daemon.reload()["ok"]
        eventually(lambda: "generation 2 serves" in page.text("#reloads"), "the reload is shown")
        daemon.ask(command="drain", grace=60)
        eventually(lambda: page.text("#state") == "draining", "the state is shown")
        assert page.complaints == []


def test_the_page_says_when_nobody_answers(tmp_path: Path) -> None:
    with started(tmp_path, STATUS) as daemon, live_page(tmp_path / "profile") as page:
        page.open(f"{daemon.url}/status")
        eventually(lambda: page.text("#g-connections .most"), "the page lives")
        daemon.stop()
        eventually(lambda: "forkd does not answer." in page.text("#trouble"), "the page says so")
        assert page.evaluate("document.querySelector('#trouble').hidden") is False


def test_what_strangers_ask_for_runs_in_no_browser(tmp_path: Path) -> None:
    with asked_by_a_stranger(tmp_path) as daemon, live_page(tmp_path / "profile") as page:
        page.open(f"{daemon.url}/status")
        eventually(lambda: page.text("#g-connections .most"), "the page lives")
        assert f"GET {TARGET} " in page.text("#workers")
        assert page.evaluate("document.querySelectorAll('script').length") == 1
        assert page.complaints == []


def test_a_complaint_would_be_seen(tmp_path: Path) -> None:
    routes = {"/broken": "{respond: '<script>oh()</script>', content_type: text/html}"}
    with started(tmp_path, routes) as daemon, live_page(tmp_path / "profile") as page:
        page.open(f"{daemon.url}/broken")
        eventually(lambda: page.text("script") and page.complaints, "the browser complains")


def test_the_page_has_something_to_look_at(tmp_path: Path) -> None:
    with started(tmp_path, STATUS) as daemon:
        blank = screenshot("about:blank", tmp_path / "profile", tmp_path / "blank.png")
        shot = screenshot(f"{daemon.url}/status", tmp_path / "profile", tmp_path / "page.png")
        assert len(shot) > 4 * len(blank)
