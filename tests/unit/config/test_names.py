"""Hosts, patterns and header fields."""

from __future__ import annotations

import pytest

from forkd.config.names import parse_host, parse_pattern


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Example.ORG.", "example.org"),
        ("*.Example.org", "*.example.org"),
        ("localhost", "localhost"),
        ("my_service", "my_service"),
        ("192.0.2.1", "192.0.2.1"),
        ("::1", "[::1]"),
        ("[0::1]", "[::1]"),
    ],
)
def test_a_host_is_written_as_requests_are_compared(text: str, host: str) -> None:
    assert parse_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "*",
        "*.",
        "a..b",
        "-a.org",
        "a-.org",
        "a.org:80",
        "a/b",
        "*.*.org",
        "a.*",
        "x" * 64,
        "a." * 127 + "aa",
        "ü.org",
        "[::1]:80",
    ],
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a host"):
        parse_host(text)


@pytest.mark.parametrize("text", ["/", "/a", "/a/", "/a b/ü", "*.php", "*.tar.gz", "/...", "/a.b/"])
def test_a_pattern_is_kept_as_it_is(text: str) -> None:
    assert parse_pattern(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "*",
        "*.",
        "*php",
        "*.a/b",
        "*.*",
        "//",
        "/a//b",
        "/.",
        "/a/..",
        "/a/./b",
        "/a?",
        "/#",
        "/%20",
        "/a\n",
        "*.\t",
        "*.a?",
    ],
)
def test_a_pattern_that_no_path_could_match_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"pattern|expected"):
        parse_pattern(text)
