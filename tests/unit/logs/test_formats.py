"""Lines of JSON and of templates."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from forkd.config.access_template import FIELDS
from forkd.logs.access import combined, common, style_of
from forkd.logs.formats import Answer, Json, Run, Template
from forkd.proto.http1.head import Head, parse_head
from forkd.proto.http1.limits import HeadLimits

RUN = Run(4711, 3, 12.3, 4096)
CONTRACT = [
    *("time", "id", "client", "user", "method", "target", "protocol", "host", "status", "bytes"),
    *("duration_ms", "queue_ms", "route", "worker", "referer", "user_agent", "tls"),
]


def head(*headers: str, target: str = "/x?y=1") -> Head:
    lines = [f"GET {target} HTTP/1.1", "Host: Example.org:81", *headers]
    return parse_head(("\r\n".join(lines) + "\r\n\r\n").encode(), HeadLimits())


def answer(asked: Head | None, route: str | None = "/x") -> Answer:
    log_time = b"20/Nov/2026:14:05:31 +0100"
    return Answer(
        1_700_000_000.25, log_time, "192.0.2.9", asked, "ab12", route, 200, 5, 1.23456, 12.0
    )


def told(asked: Head | None, run: Run | None = None) -> dict[str, object]:
    line = Json(3).line(answer(asked), run)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    found: dict[str, object] = json.loads(line)
    return found


def test_the_keys_of_json_are_those_that_were_promised() -> None:
    found = told(head("Referer: http://a/", "User-Agent: curl/8"))
    assert list(found) == CONTRACT
    moment = datetime.fromisoformat(str(found.pop("time")))
    assert moment.timestamp() == 1_700_000_000.25
    assert moment.tzinfo is not None
    assert found == {
        "id": "ab12",
        "client": "192.0.2.9",
        "user": None,
        "method": "GET",
        "target": "/x?y=1",
        "protocol": "HTTP/1.1",
        "host": "example.org",
        "status": 200,
        "bytes": 5,
        "duration_ms": 1.235,
        "queue_ms": 12.0,
        "route": "/x",
        "worker": 3,
        "referer": "http://a/",
        "user_agent": "curl/8",
        "tls": None,
    }


def test_where_a_program_was_run_json_has_its_figures() -> None:
    found = told(head(), RUN)
    assert list(found) == [*CONTRACT, "cgi_pid", "cgi_exit", "cgi_cpu_ms"]
    assert [found[name] for name in ("cgi_pid", "cgi_exit", "cgi_cpu_ms")] == [4711, 3, 12.3]
    killed = told(head(), Run(4711, "SIGKILL", None, None))
    assert (killed["cgi_exit"], killed["cgi_cpu_ms"]) == ("SIGKILL", None)


def test_what_was_no_request_has_a_line_too() -> None:
    found = told(None)
    assert list(found) == CONTRACT
    assert (found["method"], found["target"], found["status"]) == (None, None, 200)
    assert Template("%{request} %{method} %{host}", 0).line(answer(None), None) == b"- - -\n"


def test_a_client_cannot_break_a_line_of_json() -> None:
    agent = 'a" \\ \x1b ü'
    found = told(head(f"User-Agent: {agent}".replace("\x1b", "\t")))
    assert found["user_agent"] == agent.replace("\x1b", "\t")


@pytest.mark.parametrize(
    ("template", "run", "line"),
    [
        ("%{client} %{status} %{bytes}", None, "192.0.2.9 200 5"),
        ('"%{request}" %{duration_ms}ms', None, '"GET /x?y=1 HTTP/1.1" 1.235ms'),
        ("%{method} %{target} %{protocol} %{host}", None, "GET /x?y=1 HTTP/1.1 example.org"),
        (
            "[%{time_local}] %{id} %{route} w%{worker}",
            None,
            "[20/Nov/2026:14:05:31 +0100] ab12 /x w3",
        ),
        ("%{user} %{tls} %{queue_ms} %{referer}", None, "- - 12.0 -"),
        ("100%% %%{status} %{status}", None, "100% %{status} 200"),
        ("ü %{status}", None, "ü 200"),
        ("%{cgi_pid} %{cgi_exit} %{cgi_cpu} %{cgi_memory}", None, "- - - -"),
        ("%{cgi_pid} %{cgi_exit} %{cgi_cpu} %{cgi_memory}", RUN, "4711 3 12.3 4096"),
        ("%{cgi_pid}|%{cgi_exit}", Run(4711, None, None, None), "4711|-"),
    ],
)
def test_a_template_is_filled(template: str, run: Run | None, line: str) -> None:
    assert Template(template, 3).line(answer(head()), run) == line.encode() + b"\n"


def test_every_field_of_a_template_is_known() -> None:
    line = Template("|".join(f"%{{{name}}}" for name in FIELDS), 3).line(answer(head()), RUN)
    assert line.count(b"|") == len(FIELDS) - 1


def test_what_a_client_sends_cannot_forge_a_line_of_a_template() -> None:
    line = Template('"%{user_agent}" %{target}', 0).line(
        answer(head('User-Agent: a" 200 \\ ü', target='/"%0a')), None
    )
    assert line == b'"a\\x22 200 \\x5C \\xC3\\xBC" /\\x22%0a\n'


@pytest.mark.parametrize(
    ("template", "tells"),
    [("%{cgi_pid} %{status}", False), ("%{cgi_exit}", True), ("a %{cgi_cpu}", True)],
)
def test_only_a_template_with_figures_of_an_end_is_worth_a_wait(template: str, tells: bool) -> None:
    assert Template(template, 0).tells_end is tells


@pytest.mark.parametrize(("template", "tells"), [("%{cgi_pid}", False), ("a %{queue_ms}", True)])
def test_only_a_template_with_the_time_in_the_queue_is_worth_a_look_at_it(
    template: str, tells: bool
) -> None:
    assert Template(template, 0).tells_queue is tells


def test_a_format_of_the_configuration_has_its_style() -> None:
    assert (style_of("common", 0), style_of("combined", 0)) == (common, combined)
    assert isinstance(style_of("json", 0), Json)
    assert isinstance(style_of("%{status}", 0), Template)
