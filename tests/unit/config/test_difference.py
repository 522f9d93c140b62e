"""What `forkd reload --diff` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from forkd.config.difference import differences
from forkd.config.load import load_text
from forkd.config.settings import Settings

BASE = """\
listen: [127.0.0.1:1, 127.0.0.1:2]
workers: {count: 2}
sites:
  - routes:
      /: {respond: hello}
      /old/: {redirect: /new/}
  - host: example.org
    routes: {/: {respond: there, headers: {set: {X-A: "1"}}}}
"""


def settings(text: str) -> Settings:
    return load_text(text, Path("/forkd.yaml"), {})


@pytest.mark.parametrize(
    ("change", "to", "lines"),
    [
        ("x", "x", []),
        ("count: 2", "count: 3", ["workers.count: 2 -> 3"]),
        ("count: 2", "count: auto", ["workers.count: 2 -> auto"]),
        ("127.0.0.1:2]", "127.0.0.1:3]",
         ["listen: 127.0.0.1:3 would be opened", "listen: 127.0.0.1:2 would be closed"]),
        ("127.0.0.1:2]", "127.0.0.1:2]\npid_file: /run/x.pid", ["pid_file: not set -> /run/x.pid"]),
        ("respond: hello", "respond: bye", ["sites.0.routes./.respond: hello -> bye"]),
        ("      /old/: {redirect: /new/}\n", "", ["sites.0.routes./old/: removed"]),
        ("/old/: {redirect", "/other/: {redirect",
         ["sites.0.routes./old/: removed", "sites.0.routes./other/: added"]),
        ('X-A: "1"', 'X-A: "2"', ["sites.example.org.routes./.headers.set.X-A: 1 -> 2"]),
        ("example.org", "example.net", ["sites.example.org: removed", "sites.example.net: added"]),
    ],
)  # fmt: skip
def test_each_value_that_differs_has_a_line(change: str, to: str, lines: list[str]) -> None:
    assert differences(settings(BASE), settings(BASE.replace(change, to))) == lines


def test_another_action_is_told_as_one_change() -> None:
    changed = settings(BASE.replace("{respond: hello}", "{redirect: /x}"))
    assert differences(settings(BASE), changed) == ["sites.0.routes./: respond -> redirect"]
