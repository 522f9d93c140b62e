"""Whatever is in a file, the answer is settings or problems with places."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from forkd.config.environ import expand
from forkd.config.load import load_text
from forkd.config.units import (
    MAX_DURATION_S,
    MAX_SIZE,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)
from forkd.errors import ConfigError, Problem

KEYS = st.sampled_from(
    [
        "root",
        "user",
        "group",
        "pid_file",
        "control",
        "listen",
        "address",
        "protocol",
        "mode",
        "workers",
        "count",
        "preload",
        "boot_timeout",
        "limits",
        "max_body",
        "max_headers",
        "log",
        "access",
        "error",
        "file",
        "format",
        "level",
        "sites",
        "host",
        "routes",
        "/",
        "/a/",
        "*.x",
        "static",
        "cgi",
        "redirect",
        "respond",
        "status",
        "headers",
        "add",
        "set",
        "env",
        "methods",
        "index",
        "pass_env",
        "warm",
        "tls",
        "wsgi",
        "[key]",
        "<static>",
        "<<",
        "0",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.text(max_size=8),
    st.sampled_from(["off", "auto", "8080", "127.0.0.1:80", "unix:s", "fd:x", "/x", "10M", "5s"]),
    st.sampled_from(["${A}", "${B:-c}", "$${", "root", "true", "[::1]:8", "a.org", "0660", "GET"]),
)
TREES = st.recursive(
    SCALARS,
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(KEYS, parts, max_size=5),
    max_leaves=12,
)
TOPS = st.dictionaries(KEYS, TREES, max_size=6)


def problems_of(text: str) -> tuple[Problem, ...]:
    try:
        load_text(text, "/etc/forkd.yaml", {"A": "a"})
    except ConfigError as error:
        return error.problems
    return ()


def check(text: str) -> None:
    for problem in problems_of(text):
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.message
        assert "Input should" not in problem.message


def written(value: object) -> str:
    """Flow-style YAML with every text in double quotes."""
    match value:
        case dict():
            pairs = (f"{quoted(str(key))}: {written(one)}" for key, one in value.items())
            return "{" + ", ".join(pairs) + "}"
        case list():
            return "[" + ", ".join(map(written, value)) + "]"
        case None:
            return "null"
        case _:
            return quoted(str(value))


def quoted(text: str) -> str:
    if text == "<<":
        return text
    return '"' + "".join(f"\\U{ord(character):08x}" for character in text) + '"'


@given(st.text(max_size=200))
def test_any_text_gives_settings_or_problems(text: str) -> None:
    check(text)


@given(st.text(alphabet="ab:-[]{}&*!|>'\"%@#?,\n\t $0\\.", max_size=60))
def test_any_punctuation_gives_settings_or_problems(text: str) -> None:
    check(text)


@given(TOPS)
@settings(deadline=None)
def test_any_shape_of_known_keys_gives_settings_or_problems(top: dict[str, object]) -> None:
    check(written(top))


@given(st.dictionaries(KEYS, TREES, max_size=4), st.dictionaries(KEYS, TREES, max_size=4))
@settings(deadline=None)
def test_any_site_and_route_gives_settings_or_problems(
    route: dict[str, object], site: dict[str, object]
) -> None:
    check(written({"sites": [{**site, "routes": {"/x": route}}], "listen": [route, site]}))


@given(st.integers(0, int(MAX_DURATION_S) * 1000))
def test_a_duration_survives_writing_and_reading(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.integers(0, MAX_SIZE))
def test_a_size_survives_writing_and_reading(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.text(), st.dictionaries(st.sampled_from("ABC"), st.text()))
def test_an_escaped_text_expands_to_itself(text: str, environ: dict[str, str]) -> None:
    escaped = text.replace("${", "$${")
    assert expand(escaped, environ)[1] == []
    if "$${" not in text:
        assert expand(escaped, environ)[0] == text
