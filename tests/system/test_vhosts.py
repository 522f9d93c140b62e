"""Which site answers for which host."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.daemon import Daemon, started, write_config
from tests.system.wire import exchange, fetch

SITES = """\
  - host: example.org
    routes: {/: {respond: exact}}
  - host: ["*.example.org", WWW.Example.NET]
    routes: {/: {respond: wildcard}}
  - host: "*.deep.example.org"
    routes: {/: {respond: longer}}
  - host: ["192.0.2.1", "[2001:db8::1]"]
    routes: {/: {respond: address}}
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("vhosts")
    config = write_config(directory, {"/": "{respond: default}"}, workers="{count: 1}")
    config.write_text(config.read_text() + SITES)
    with started(directory) as running:
        yield running


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("example.org", "exact"),
        ("EXAMPLE.Org", "exact"),
        ("example.org.", "exact"),
        ("example.org:8080", "exact"),
        ("Example.ORG.:80", "exact"),
        ("a.example.org", "wildcard"),
        ("a.b.example.org:81", "wildcard"),
        ("www.example.net", "wildcard"),
        ("x.deep.example.org", "longer"),
        ("deep.example.org", "wildcard"),
        ("192.0.2.1:80", "address"),
        ("[2001:DB8::1]:80", "address"),
        ("example.net", "default"),
        ("notexample.org", "default"),
        ("example.org.evil.test", "default"),
        ("127.0.0.1", "default"),
    ],
)
def test_the_host_chooses_the_site(daemon: Daemon, host: str, site: str) -> None:
    assert fetch(daemon.port, "/", f"Host: {host}").text == site


def test_an_absolute_target_outdoes_the_host_header(daemon: Daemon) -> None:
    answer = fetch(daemon.port, "http://example.org:1/", "Host: elsewhere.test")
    assert answer.text == "exact"


def test_http_1_0_without_a_host_gets_the_default_site(daemon: Daemon) -> None:
    assert exchange(daemon.port, b"GET / HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\ndefault")
