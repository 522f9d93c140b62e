"""Metrics of a real daemon: they add up to the requests made, whatever becomes of workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.system.applications import Client
from tests.system.daemon import REPOSITORY, Daemon, environment, eventually, run_forkd, started
from tests.system.sites import ROUTES, held_script, make_site
from tests.system.stalled import accepted_late
from tests.system.tools import need_module

APPLICATION = """\
import os, time


def application(environ, start_response):
    query = environ["QUERY_STRING"]
    if query == "held":
        while os.path.exists("hold"):
            time.sleep(0.01)
    else:
        time.sleep(float(query or 0))
    start_response("201 Created", [("Content-Type", "text/plain")])
    return [b"made\\n"]
"""

METRICS = {
    **ROUTES,
    "/app/": '{wsgi: "app:application"}',
    "/old/": "{redirect: /}",
    "/metrics": "{metrics: true}",
    "/status": "{status: true}",
}

Labels = tuple[tuple[str, str], ...]
Figures = dict[tuple[str, Labels], float]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    need_module("prometheus_client")
    make_site(tmp_path)
    (tmp_path / "app.py").write_text(APPLICATION)
    return tmp_path


@pytest.fixture
def daemon(site: Path) -> Iterator[Daemon]:
    with started(site, METRICS) as running:
        yield running


def scrape(daemon: Daemon) -> Figures:
    """All samples, read as Prometheus' own client reads them."""
    parser: Any = need_module("prometheus_client.parser")
    with Client(daemon.url) as client:
        text = client.get("/metrics").text
    found: Figures = {}
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def answered(figures: Figures) -> dict[tuple[str, str, str], float]:
    """Requests by route, method and status, but for those of the metrics."""
    found = {}
    for (name, labels), value in figures.items():
        if name == "forkd_requests_total":
            by = dict(labels)
            assert by["site"] == ""
            if by["route"] != "/metrics":
                found[by["route"], by["method"], by["status"]] = value
    return found


def timed(figures: Figures) -> dict[str, float]:
    """How many requests were timed, by route, but for those of the metrics."""
    name = "forkd_request_duration_seconds_count"
    found = {dict(key[1])["route"]: value for key, value in figures.items() if key[0] == name}
    found.pop("/metrics", None)
    return found


def total(daemon: Daemon) -> float:
    return sum(answered(scrape(daemon)).values())


def count_to(daemon: Daemon, number: int) -> Figures:
    """Wait until so many requests are counted: figures are as much as 0.4 seconds old."""
    eventually(lambda: total(daemon) >= number, f"{number} requests are counted")
    found = scrape(daemon)
    assert sum(answered(found).values()) == number
    return found


def assert_none_went_down(before: Figures, after: Figures) -> None:
    for (name, labels), value in before.items():
        if name.endswith(("_total", "_count", "_bucket", "_sum")):
            assert after[name, labels] >= value, (name, labels)


def raw(daemon: Daemon, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", daemon.port)) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        with sock.makefile("rb") as stream:
            return stream.read()


def test_each_request_is_counted_by_the_route_that_answers_it(daemon: Daemon) -> None:
    with Client(daemon.url) as client:
        for _ in range(50):
            assert client.get("/small.txt").ok
        for method, target in (
            *(("HEAD", "/small.txt"), ("GET", "/nowhere"), ("DELETE", "/small.txt")),
            *(("GET", "/cgi-bin/hi.sh"), ("GET", "/cgi-bin/none.sh"), ("POST", "/app/x")),
            *(("PROPFIND", "/app/x"), ("GET", "/app"), ("GET", "/old/x"), ("GET", "/hello")),
        ):
            client.request(method, target, allow_redirects=False)
    assert b"400 Bad Request" in raw(daemon, b"not a request\r\n\r\n")
    found = count_to(daemon, 61)
    assert answered(found) == {
        ("/", "GET", "200"): 50,
        ("/", "HEAD", "200"): 1,
        ("/", "GET", "404"): 1,
        ("/", "DELETE", "405"): 1,
        ("/cgi-bin/", "GET", "200"): 1,
        ("/cgi-bin/", "GET", "404"): 1,
        ("/app/", "POST", "201"): 1,
        ("/app/", "other", "201"): 1,
        ("", "GET", "301"): 1,
        ("/old/", "GET", "302"): 1,
        ("/hello", "GET", "200"): 1,
        ("", "", "400"): 1,
    }
    assert timed(found) == {"/": 53, "/cgi-bin/": 2, "/app/": 2, "": 2, "/old/": 1, "/hello": 1}
    told = {one["route"]: one for one in daemon.status()["routes"]}
    assert told["/"]["requests"] == 53
    assert told["/"]["statuses"] == {"2xx": 51, "4xx": 2}
    assert 0 < told["/app/"]["latency_ms"]["p99"] < 10_000


def test_the_time_of_a_slow_request_is_in_its_bucket(daemon: Daemon) -> None:
    with Client(daemon.url) as client:
        began = time.monotonic()
        assert client.get("/app/?0.3").status_code == 201
        took = time.monotonic() - began
    found = count_to(daemon, 1)
    labels = (("route", "/app/"), ("site", ""))
    name = "forkd_request_duration_seconds"
    assert 0.3 <= found[f"{name}_sum", labels] <= took
    assert found[f"{name}_bucket", (("le", "0.25"), *labels)] == 0
    assert found[f"{name}_bucket", (("le", "+Inf"), *labels)] == 1


def test_programs_that_run_and_threads_that_are_busy_are_counted(site: Path) -> None:
    begun, release = held_script(site)
    os.mkfifo(release)
    hold = site / "hold"
    hold.touch()
    with started(site, METRICS) as daemon, Client(daemon.url) as client:
        asks = [
            threading.Thread(target=requests.get, args=[f"{daemon.url}{target}"])
            for target in ("/cgi-bin/held.sh", "/app/?held")
        ]
        for ask in asks:
            ask.start()
        eventually(begun.exists, "the program runs")

        def is_counted() -> bool:
            found = scrape(daemon)
            busy = [n for (name, _), n in found.items() if name == "forkd_worker_threads_busy"]
            return found["forkd_cgi_running", ()] == 1 and sum(busy) == 1

        eventually(is_counted, "one program and one thread")
        assert client.get("/metrics").ok
        release.write_text("go\n")
        hold.unlink()
        for ask in asks:
            ask.join()
        eventually(lambda: scrape(daemon)["forkd_cgi_running", ()] == 0, "it has left")


def test_a_reload_that_moves_routes_about_takes_nothing_away(daemon: Daemon) -> None:
    with Client(daemon.url) as client:
        for target in ("/small.txt", "/hello", "/hello"):
            client.get(target)
        before = count_to(daemon, 3)
        text = daemon.config.read_text()
        lines = text.splitlines(keepends=True)
        at = next(n for n, line in enumerate(lines) if '"/": ' in line)
        lines.insert(at, '      "/new": {respond: new}\n')
        daemon.config.write_text("".join(lines).replace('"/old/"', '"/older/"'))
        assert daemon.reload()["ok"]
        daemon.config.write_text("nonsense: 1\n")
        assert not daemon.reload()["ok"]
    for target in ("/new", "/hello"):
        assert requests.get(f"{daemon.url}{target}").ok, "asked of a worker of the new generation"
    after = count_to(daemon, 5)
    assert_none_went_down(before, after)
    assert answered(after) == {
        ("/", "GET", "200"): 1,
        ("/hello", "GET", "200"): 3,
        ("/new", "GET", "200"): 1,
    }
    for result in ("success", "failure"):
        assert after["forkd_reloads_total", (("result", result),)] == 1
    assert after["forkd_generation", ()] == 2


def test_what_a_killed_worker_had_counted_stays(daemon: Daemon) -> None:
    for _ in range(40):
        assert requests.get(f"{daemon.url}/small.txt").ok
    before = count_to(daemon, 40)
    for victim in daemon.workers():
        os.kill(victim["pid"], signal.SIGKILL)
    eventually(lambda: len(daemon.status()["deaths"]) == 2, "both are dead")
    eventually(lambda: len(daemon.workers()) == 2, "both are replaced")
    deaths = ("forkd_worker_deaths_total", (("reason", "SIGKILL"),))
    eventually(lambda: scrape(daemon).get(deaths) == 2, "two deaths")
    after = count_to(daemon, 40)
    assert_none_went_down(before, after)
    assert after["forkd_workers", (("state", "ready"),)] == 2


def test_workers_that_renew_themselves_lose_no_count(site: Path) -> None:
    with started(site, METRICS, workers="{count: 2, max_requests: 50}") as daemon:
        pids = {worker["pid"] for worker in daemon.workers()}
        before: Figures = {}
        for made in range(1, 501):
            assert requests.get(f"{daemon.url}/small.txt").ok
            if made % 100 == 0:
                found = count_to(daemon, made)
                assert_none_went_down(before, found)
                before = found
        eventually(
            lambda: not pids & {worker["pid"] for worker in daemon.workers()}, "all are renewed"
        )
        assert answered(count_to(daemon, 500)) == {("/", "GET", "200"): 500}


def test_a_connection_that_waited_to_be_accepted_is_counted_with_its_time(site: Path) -> None:
    with started(site, METRICS, workers="{count: 1}") as daemon:
        asked = b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        with accepted_late(daemon, asked, seconds=0.6) as sock:
            assert sock.recv(12) == b"HTTP/1.1 200"
        found = count_to(daemon, 1)
        name = "forkd_queue_time_seconds"
        slow = found[f"{name}_count", ()] - found[f"{name}_bucket", (("le", "0.5"),)]
        assert slow == 1
        assert daemon.status()["queue_ms"]["p99"] > 500


def test_the_figures_come_while_all_threads_are_busy(site: Path) -> None:
    hold = site / "hold"
    hold.touch()
    with started(site, METRICS, workers="{count: 1, threads: 1}") as daemon:
        asks = [
            threading.Thread(target=requests.get, args=[f"{daemon.url}/app/?held"])
            for _ in range(3)
        ]
        for ask in asks:
            ask.start()
        (worker,) = daemon.workers()
        slot = (("slot", str(worker["slot"])),)

        def is_busy() -> bool:
            found = scrape(daemon)
            words = ("busy", "waiting")
            return [found[f"forkd_worker_threads_{word}", slot] for word in words] == [1, 2]

        eventually(is_busy, "one is called and two wait")
        hold.unlink()
        for ask in asks:
            ask.join()


def test_without_prometheus_client_a_check_and_a_start_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "forkd.yaml").write_text(
        f"control: {tmp_path}/c\nlisten: 127.0.0.1:0\n"
        "sites: [{routes: {/m: {metrics: true}}}]\n"
    )
    (tmp_path / "prometheus_client.py").write_text(
        "raise ModuleNotFoundError('none', name='prometheus_client')\n"
    )
    env = environment(PYTHONPATH=f"{tmp_path}:{REPOSITORY}")
    reason = "metrics needs prometheus_client: pip install 'forkd[metrics]'"
    for more in (["-t"], []):
        done = run_forkd("-c", str(tmp_path / "forkd.yaml"), *more, env=env)
        assert done.returncode == 1
        assert f"sites.0.routes./m.metrics: {reason}" in done.stderr
        assert "Traceback" not in done.stderr


def test_status_as_json_has_the_same_figures(daemon: Daemon) -> None:
    for _ in range(3):
        assert requests.get(f"{daemon.url}/hello").ok
    count_to(daemon, 3)
    told = json.loads(requests.get(f"{daemon.url}/status?json").text)
    hello = next(one for one in told["routes"] if one["route"] == "/hello")
    assert (hello["requests"], hello["statuses"]) == (3, {"2xx": 3})
    assert told["queue_ms"].keys() == {"p50", "p90", "p99"}
