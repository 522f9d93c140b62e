"""The route metrics: what its text says, and in which format."""

from __future__ import annotations

import builtins
import json
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from forkd.config.settings import MetricsRoute
from forkd.errors import OperationError
from forkd.figures.histogram import BUCKETS
from forkd.handlers.asking import Listener
from forkd.handlers.base import Response
from forkd.handlers.imports import load_metrics
from tests.system.tools import need_module
from tests.unit.handlers.programs import FakeExchange
from tests.unit.handlers.requests import fields, request
from tests.unit.stepped import SteppedLoop
from tests.unit.written import written

FIGURES: dict[str, Any] = {
    "version": "0.1.0",
    "started": 1.0,
    "generation": 3,
    "requests": [
        ["", "/", "GET", "200", 12],
        ["", "/", "GET", "404", 2],
        ["", "", "", "400", 1],
        ["é.example", '/"quoted\\', "other", "other", 3],
    ],
    "durations": [["", "/", [14] + [0] * (BUCKETS - 3) + [1, 2], 70.5]],
    "queue": [[4] + [0] * (BUCKETS - 1), 0.25],
    "accepted": 9,
    "bytes_sent": 1 << 40,
    "states": {"starting": 0, "ready": 2, "retiring": 0, "draining": 1},
    "workers": [
        {"slot": 0, "memory_pss": 5, "connections": 2, "threads_busy": 1, "threads_waiting": 0},
        {"slot": 4, "memory_pss": None, "connections": 1, "threads_busy": 0, "threads_waiting": 7},
    ],
    "programs": 2,
    "programs_by_route": [["", "/cgi/", 3, 1.5, 4096]],
    "listeners": [
        {"address": "127.0.0.1:80", "protocol": "http", "queue": 3},
        {"address": "unix:/run/s", "protocol": "http", "queue": None},
    ],
    "reloads": {"success": 1, "failure": 2},
    "deaths": {"SIGKILL": 1},
}


class FakeMaster:
    def __init__(self, answer: Mapping[str, Any] | None) -> None:
        self._answer = answer
        self.waiting: list[Listener] = []

    def ask(self, listener: Listener) -> None:
        if self._answer is None:
            self.waiting.append(listener)
        else:
            listener.told(json.dumps(self._answer).encode())

    def forget(self, listener: Listener) -> None:
        self.waiting.remove(listener)


class Client(FakeExchange):
    def answer(self, response: Response) -> None:
        super().answer(response)
        self.response = response


def ask(
    loop: SteppedLoop,
    master: FakeMaster,
    *headers: str,
    settings: Mapping[str, object] | None = None,
) -> Client:
    need_module("prometheus_client")
    route = written(MetricsRoute, metrics=True, **settings or {})
    asked = request("/metrics", *headers)
    client = Client(loop, asked)
    load_metrics("x")(route, master).answer(asked).start(client)
    return client


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    parser = need_module("prometheus_client.parser")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_figure_has_its_metric(loop: SteppedLoop) -> None:
    response = ask(loop, FakeMaster(FIGURES)).response
    assert response.status == 200
    said = b"\n# HELP forkd_generation Number of the configuration that serves.\n"
    assert said in response.body
    assert fields(response)["Content-Type"].startswith("text/plain; version=")
    assert fields(response)["Cache-Control"] == "no-store"
    found = samples(response.body.decode())

    def value(name: str, **labels: str) -> float:
        return found[f"forkd_{name}", tuple(sorted(labels.items()))]

    assert value("info", version="0.1.0") == 1
    assert value("generation") == 3
    assert value("requests_total", site="", route="/", method="GET", status="200") == 12
    assert value("requests_total", site="", route="", method="", status="400") == 1
    odd = {"site": "é.example", "route": '/"quoted\\', "method": "other", "status": "other"}
    assert value("requests_total", **odd) == 3
    bounds = {"0.0001": 14, "10.0": 14, "30.0": 15, "+Inf": 17}
    for bound, count in bounds.items():
        assert value("request_duration_seconds_bucket", site="", route="/", le=bound) == count
    assert value("request_duration_seconds_count", site="", route="/") == 17
    assert value("request_duration_seconds_sum", site="", route="/") == 70.5
    assert value("queue_time_seconds_count") == 4
    assert value("queue_time_seconds_sum") == 0.25
    assert value("connections") == 3
    assert value("connections_accepted_total") == 9
    assert value("sent_bytes_total") == 1 << 40
    assert value("workers", state="ready") == 2
    assert value("workers", state="retiring") == 0
    assert value("queue_length", listener="127.0.0.1:80") == 3
    assert value("worker_memory_bytes", slot="0") == 5
    assert value("worker_threads_waiting", slot="4") == 7
    assert value("reloads_total", result="failure") == 2
    assert value("worker_deaths_total", reason="SIGKILL") == 1
    assert value("cgi_running") == 2
    assert value("cgi_ended_total", site="", route="/cgi/") == 3
    assert value("cgi_cpu_seconds_total", site="", route="/cgi/") == 1.5
    assert value("cgi_peak_memory_bytes", site="", route="/cgi/") == 4096
    names = {name for name, _ in found}
    assert all(name.startswith("forkd_") for name in names)
    assert ("forkd_worker_memory_bytes", (("slot", "4"),)) not in found
    assert ("forkd_queue_length", (("listener", "unix:/run/s"),)) not in found


def test_open_metrics_is_given_to_who_asks_for_it(loop: SteppedLoop) -> None:
    accept = "Accept: application/openmetrics-text; version=1.0.0, text/plain;q=0.5"
    response = ask(loop, FakeMaster(FIGURES), accept).response
    assert fields(response)["Content-Type"].startswith("application/openmetrics-text")
    text = response.body.decode()
    assert text.endswith("# EOF\n")
    parser = need_module("prometheus_client.openmetrics.parser")
    families = {one.name: one for one in parser.text_string_to_metric_families(text)}
    assert families["forkd_requests"].type == "counter"
    assert families["forkd_request_duration_seconds"].type == "histogram"
    assert families["forkd_workers"].type == "gauge"
    assert sum(sample.value for sample in families["forkd_requests"].samples) == 18


@pytest.mark.parametrize("version", ["x", "1.x", "1.0.0.0.0.0.0a", '"1.0.0"', "", "9" * 5000])
@pytest.mark.parametrize("kind", ["application/openmetrics-text", "text/plain"])
def test_a_version_that_is_none_gets_the_text_that_everybody_reads(
    loop: SteppedLoop, kind: str, version: str
) -> None:
    client = ask(loop, FakeMaster(FIGURES), f"Accept: {kind};version={version}")
    assert client.calls == ["answer 200"]
    assert client.response.status == 200


def test_headers_of_the_route_are_changed(loop: SteppedLoop) -> None:
    client = ask(loop, FakeMaster(FIGURES), settings={"headers": {"set": {"X-One": "1"}}})
    assert fields(client.response)["X-One"] == "1"


def test_a_master_that_is_silent_is_waited_for_two_seconds(loop: SteppedLoop) -> None:
    master = FakeMaster(None)
    client = ask(loop, master)
    loop.pass_time(1.8)
    assert client.calls == []
    loop.pass_time(0.5)
    assert client.calls == ["answer 503"]
    assert client.response.body == b"The master does not answer within 2 s.\n"
    assert master.waiting == []


def test_an_answer_that_makes_no_sense_is_an_error_of_this_request(loop: SteppedLoop) -> None:
    assert ask(loop, FakeMaster({"version": "0.1.0"})).calls == ["fail 500"]


def test_without_prometheus_client_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in list(sys.modules):
        if name.startswith(("prometheus_client", "forkd.handlers.metrics")):
            monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] == "prometheus_client":
            raise ModuleNotFoundError(f"No module named {name!r}", name="prometheus_client")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(OperationError) as raised:
        load_metrics("sites.0.routes./metrics.metrics")
    assert str(raised.value) == (
        "sites.0.routes./metrics.metrics: metrics needs prometheus_client: "
        "pip install 'forkd[metrics]'"
    )
