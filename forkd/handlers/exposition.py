"""The metrics that the master's figures come to (master/metrics.py), by name and label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.utils import floatToGoString

from forkd.figures.histogram import BOUNDS_S

_BOUNDS = (*map(floatToGoString, BOUNDS_S), "+Inf")


class Collector:
    """Gives each metric once. Slots, not pids, tell workers apart: there are only so many."""

    def __init__(self, figures: Mapping[str, Any]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        yield from self._daemon()
        yield from self._requests()
        yield from self._connections()
        yield from self._workers()

    def _daemon(self) -> Iterator[Metric]:
        figures = self._figures
        yield InfoMetricFamily("forkd", "The program.", {"version": figures["version"]})
        yield _gauge("start_time_seconds", "When the master was started.", figures["started"])
        yield _gauge(
            "generation", "Number of the configuration that serves.", figures["generation"]
        )
        yield _counters("reloads", "Reloads by result.", "result", figures["reloads"].items())

    def _requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "forkd_requests",
            "Requests answered, by the route that answered; status 499: the client left first.",
            labels=("site", "route", "method", "status"),
        )
        for *labels, number in self._figures["requests"]:
            requests.add_metric(labels, number)
        yield requests
        durations = HistogramMetricFamily(
            "forkd_request_duration_seconds",
            "From the first byte of a request's head until the whole answer is with the kernel.",
            labels=("site", "route"),
        )
        for site, route, counts, seconds in self._figures["durations"]:
            durations.add_metric((site, route), _buckets(counts), seconds)
        yield durations
        yield from self._programs()
        yield CounterMetricFamily(
            "forkd_sent_bytes", "Bytes of bodies sent.", self._figures["bytes_sent"]
        )

    def _programs(self) -> Iterator[Metric]:
        yield _gauge("cgi_running", "CGI programs that run.", self._figures["programs"])
        labels = ("site", "route")
        ended = CounterMetricFamily(
            "forkd_cgi_ended", "CGI programs that have ended.", None, labels
        )
        used = CounterMetricFamily(
            "forkd_cgi_cpu_seconds", "CPU time that CGI programs have used.", None, labels
        )
        most = GaugeMetricFamily(
            "forkd_cgi_peak_memory_bytes", "What the largest of them has taken.", None, labels
        )
        for site, route, number, cpu_s, peak_memory in self._figures["programs_by_route"]:
            ended.add_metric((site, route), number)
            used.add_metric((site, route), cpu_s)
            most.add_metric((site, route), peak_memory)
        yield from (ended, used, most)

    def _connections(self) -> Iterator[Metric]:
        figures = self._figures
        yield _gauge(
            "connections",
            "Connections that are open.",
            sum(worker["connections"] for worker in figures["workers"]),
        )
        yield CounterMetricFamily(
            "forkd_connections_accepted", "Connections accepted.", figures["accepted"]
        )
        yield _gauges(
            "queue_length",
            "Connections that wait to be accepted.",
            "listener",
            ((one["address"], one["queue"]) for one in figures["listeners"]),
        )
        counts, seconds = figures["queue"]
        waits = HistogramMetricFamily(
            "forkd_queue_time_seconds",
            "How long connections had waited to be accepted, of a sample of them.",
        )
        waits.add_metric((), _buckets(counts), seconds)
        yield waits

    def _workers(self) -> Iterator[Metric]:
        figures = self._figures
        states = figures["states"].items()
        yield _gauges("workers", "Workers by what they are at.", "state", states)
        for name, key, text in (
            ("worker_memory_bytes", "memory_pss", "Proportional set size of the worker in a slot."),
            ("worker_connections", "connections", "Connections that it has open."),
            ("worker_threads_busy", "threads_busy", "Its calls of application code under way."),
            ("worker_threads_waiting", "threads_waiting", "Its calls that wait for a thread."),
        ):
            rows = ((str(worker["slot"]), worker[key]) for worker in figures["workers"])
            yield _gauges(name, text, "slot", rows)
        deaths = figures["deaths"].items()
        yield _counters("worker_deaths", "Workers that died unasked, by cause.", "reason", deaths)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"forkd_{name}", text, value)


def _gauges(name: str, text: str, label: str, rows: Iterable[tuple[str, float | None]]) -> Metric:
    """rows: the label and the value; None: there is none."""
    family = GaugeMetricFamily(f"forkd_{name}", text, labels=(label,))
    for word, value in rows:
        if value is not None:
            family.add_metric((word,), value)
    return family


def _counters(name: str, text: str, label: str, rows: Iterable[tuple[str, float]]) -> Metric:
    family = CounterMetricFamily(f"forkd_{name}", text, labels=(label,))
    for word, value in rows:
        family.add_metric((word,), value)
    return family


def _buckets(counts: Sequence[int]) -> list[tuple[str, float]]:
    """As Prometheus has them: each with all that took no longer than its bound."""
    return list(zip(_BOUNDS, map(float, accumulate(counts)), strict=True))
