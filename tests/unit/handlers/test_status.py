"""The routes health and status: what they answer, and what they do while the master is silent."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

import pytest

from forkd.config.settings import HealthRoute, StatusRoute
from forkd.handlers.asking import AskingJob, Listener
from forkd.handlers.base import Response
from forkd.handlers.health import Health
from forkd.handlers.status import Status
from forkd.handlers.status_page.page import StatusPage, age, count, generations, size
from tests.unit.handlers.programs import FakeExchange
from tests.unit.handlers.requests import fields, request
from tests.unit.stepped import SteppedLoop
from tests.unit.written import written

EVIL = "<script>alert('&')</script>"


def worker(**other: object) -> dict[str, Any]:
    return {
        "slot": 1,
        "pid": 42,
        "generation": 2,
        "state": "ready",
        "requests": 1234567,
        "connections": 3,
        "threads_busy": 2,
        "threads_waiting": 1,
        "since_s": 61.0,
        "memory_pss": 3 << 20,
        "request": None,
    } | other


def doing(target: str, since_s: float = 0.5) -> dict[str, Any]:
    return {
        "id": "a1",
        "client": EVIL,
        "method": EVIL,
        "target": target,
        "route": "/",
        "since_s": since_s,
    }


def figures(**other: object) -> dict[str, Any]:
    return {
        "state": "running",
        "version": "0.1.0",
        "pid": 41,
        "config": "forkd.yaml",
        "generation": 2,
        "started": 1.0,
        "uptime_s": 7200.0,
        "last_reload": None,
        "listeners": [{"address": "127.0.0.1:80", "protocol": "http", "queue": 7}],
        "workers": [worker()],
        "totals": {"requests": 5, "connections": 4, "bytes_sent": 3000, "errors": 1},
    } | other


class FakeMaster:
    def __init__(self, answer: dict[str, Any] | None = None) -> None:
        self.answer = answer
        self.waiting: list[Listener] = []

    def ask(self, listener: Listener) -> None:
        if self.answer is None:
            self.waiting.append(listener)
        else:
            listener.told(json.dumps(self.answer).encode())

    def forget(self, listener: Listener) -> None:
        self.waiting.remove(listener)


class Client(FakeExchange):
    def answer(self, response: Response) -> None:
        super().answer(response)
        self.response = response


def ask(
    loop: SteppedLoop, master: FakeMaster, target: str = "/status", **headers: object
) -> tuple[AskingJob, Client]:
    status = Status(written(StatusRoute, status=True, headers=headers), master)
    asked = request(target)
    job = status.answer(asked)
    client = Client(loop, asked)
    job.start(client)
    return job, client


# Health.


@pytest.mark.parametrize(
    ("leaving", "status", "body"), [(False, 200, b"ok\n"), (True, 503, b"draining\n")]
)
def test_health_says_whether_to_send_requests_here(leaving: bool, status: int, body: bytes) -> None:
    health = Health(written(HealthRoute, health=True), lambda: leaving)
    response = health.answer(request("/healthz"))
    assert (response.status, response.body) == (status, body)
    assert fields(response)["Cache-Control"] == "no-store"
    assert fields(response)["Content-Type"].startswith("text/plain")
    assert response.fresh_until == 0.0, "it must never be remembered"


# The figures and the page.


def test_json_is_what_the_master_says(loop: SteppedLoop) -> None:
    _, client = ask(loop, FakeMaster(figures()), "/status?json")
    assert json.loads(client.response.body) == figures()
    assert fields(client.response)["Content-Type"] == "application/json"
    assert fields(client.response)["Cache-Control"] == "no-store"


def test_the_page_allows_its_own_script_and_style_alone(loop: SteppedLoop) -> None:
    _, client = ask(loop, FakeMaster(figures()))
    page, policy = client.response.body.decode(), fields(client.response)["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    for kind in ("script", "style"):
        [text] = re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_headers_of_the_route_are_changed(loop: SteppedLoop) -> None:
    _, client = ask(loop, FakeMaster(figures()), set={"X-One": "1"})
    assert fields(client.response)["X-One"] == "1"


def test_what_strangers_wrote_is_shown_as_text() -> None:
    shown = figures(
        workers=[worker(request=doing(f"/{EVIL}"))],
        deaths=[
            {
                "at": 0.0,
                "kind": "worker",
                "slot": 1,
                "pid": 2,
                "generation": 1,
                "reason": EVIL,
                "request": doing(f"/{EVIL}"),
            }
        ],
        reloads=[{"at": 0.0, "ok": False, "generation": 1, "reasons": [EVIL]}],
        routes=[
            {
                "route": EVIL,
                "site": EVIL,
                "requests": 1,
                "statuses": {"2xx": 1},
                "latency_ms": {"p50": 1.25, "p99": None},
            }
        ],
    )
    page = StatusPage().render(shown, "/status")
    assert EVIL not in page
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;") == 10


def test_programs_are_shown_where_there_are_any() -> None:
    assert "rograms" not in _markup(figures())
    shown = figures(
        workers=[worker(programs=3), worker(programs=0)],
        routes=[
            {
                "route": "/cgi/",
                "site": "",
                "requests": 1,
                "statuses": {},
                "programs": {"ended": 2, "cpu_s": 1.5, "peak_memory": 5},
            }
        ],
    )
    page = _markup(shown)
    assert "<dt>Programs running</dt><dd>3</dd>" in page
    assert "<dt>CPU of programs</dt><dd>1.5 s</dd>" in page
    assert page.count('<span class="soft">3 CGI</span>') == 1
    assert page.count(" CGI</span>") == 1


def _markup(shown: dict[str, Any]) -> str:
    """The page without its script."""
    return StatusPage().render(shown, "/status").partition("<script>")[0]


def test_figures_that_are_missing_are_left_out() -> None:
    page = StatusPage().render(figures(), "/status")
    assert '<section id="routes-section" hidden>' in page
    assert page.count("<li class=soft>None since the start.</li>") == 2
    shown = figures(
        workers=[worker(cpu_percent=12.4, requests_per_s=3.26, memory_pss=None, pid=None)],
        routes=[{"route": "/a/", "site": "", "requests": 1, "statuses": {}, "latency_ms": None}],
        queue_ms={"p50": 0.0, "p99": 3.0},
    )
    page = StatusPage().render(shown, "/status")
    assert '<section id="routes-section">' in page
    for text in ("12 %", "3.3", "0 / 3 ms", "2 +1 waiting", "1\u202f234\u202f567"):
        assert f">{text}<" in page


def test_a_request_for_the_page_itself_is_not_shown() -> None:
    own = figures(workers=[worker(request=doing("/status?json"))])
    assert "/status?json" not in StatusPage().render(own, "/status")
    assert "/status?json" in StatusPage().render(own, "/elsewhere")


def test_the_page_can_do_without_measurements_that_are_not_there_yet() -> None:
    nothing = {"p50": None, "p90": None, "p99": None}
    route = {"route": "/a", "site": "", "requests": 0, "statuses": {}, "latency_ms": nothing}
    page = StatusPage()
    assert "Queued, p50 / p99</dt>" not in page.render(figures(queue_ms=nothing), "/status")
    assert '<td class="n" data-label="p50">\u2013</td>' in page.render(
        figures(routes=[route]), "/status"
    )
    assert "<table class=no-cpu>" in page.render(figures(), "/status")
    shown = figures(workers=[worker(cpu_percent=None)])
    assert "<table class=no-cpu>" not in page.render(shown, "/status")


def test_a_worker_that_stands_still_stands_out() -> None:
    page = StatusPage().render(figures(workers=[worker(stalled_s=7.25)]), "/status")
    assert '<span class="state lost">stands still for 7.2 s</span>' in page
    page = StatusPage().render(figures(workers=[worker(stalled_s=None)]), "/status")
    assert '<span class="state ready">ready</span>' in page


def test_a_request_that_takes_long_stands_out() -> None:
    page = StatusPage()
    for since, kind in ((9.9, "soft"), (10.0, "long")):
        shown = page.render(figures(workers=[worker(request=doing("/a", since))]), "/status")
        assert f'/a <span class="{kind}">for ' in shown


def test_generations_are_told_the_newest_first() -> None:
    pool = [worker(), worker(), worker(state="starting"), worker(generation=1, state="draining")]
    assert generations(pool) == "generation 2: 2 ready, 1 starting · generation 1: 1 draining"


def test_figures_are_told_for_people() -> None:
    ages = [age(given) for given in (-1.0, 0.04, 9.96, 59.4, 61, 3599, 3700, 172_800, 180_000)]
    assert ages[:5] == ["0.0 s", "0.0 s", "10.0 s", "59 s", "1 min 1 s"]
    assert ages[5:] == ["59 min 59 s", "1 h 1 min", "2 d 0 h", "2 d 2 h"]
    sizes = ["0 B", "1023 B", "1.0 KiB", "3.0 GiB", "5.0 TiB"]
    assert [size(given) for given in (0, 1023, 1024, 3 << 30, 5 << 40)] == sizes
    assert [count(given) for given in (0, 999, 1000)] == ["0", "999", "1\u202f000"]


# Waiting for the master.


def test_a_silent_master_is_waited_for_two_seconds(loop: SteppedLoop) -> None:
    master = FakeMaster()
    _, client = ask(loop, master)
    loop.pass_time(1.8)
    assert client.calls == []
    loop.pass_time(0.5)
    assert client.calls == ["answer 503"]
    assert client.response.body == b"The master does not answer within 2 s.\n"
    assert master.waiting == []


def test_a_client_that_leaves_is_forgotten(loop: SteppedLoop) -> None:
    master = FakeMaster()
    job, client = ask(loop, master)
    job.disconnected()
    loop.pass_time(3)
    assert (client.calls, master.waiting) == ([], [])


def test_an_answer_in_time_is_the_only_one(loop: SteppedLoop) -> None:
    _, client = ask(loop, FakeMaster(figures()))
    loop.pass_time(3)
    assert client.calls == ["answer 200"]


def test_figures_that_the_page_does_not_understand_are_an_error_of_that_request(
    loop: SteppedLoop,
) -> None:
    master = FakeMaster()
    job, client = ask(loop, master)
    job.told(b"{}")
    loop.pass_time(3)
    assert client.calls == ["fail 500"]
