"""The numbers and names of routes."""

from __future__ import annotations

import os
from pathlib import Path

from forkd.config.load import load_text
from forkd.config.settings import Settings
from forkd.figures.kinds import NO_ROUTE, OTHER_ROUTE, RouteName, route_names, route_numbers

TWO_SITES = """\
sites:
  - host: ["*.example.org", example.org]
    routes:
      /: {respond: a}
      /b: {respond: b}
  - routes:
      /: {respond: c}
"""


def settings(text: str, directory: Path) -> Settings:
    return load_text(text, str(directory / "forkd.yaml"), os.environ)


def test_routes_are_numbered_in_the_order_of_the_file(tmp_path: Path) -> None:
    numbers = route_numbers(settings(TWO_SITES, tmp_path))
    assert numbers == {(0, "/"): 1, (0, "/b"): 2, (1, "/"): 3}


def test_a_route_is_named_by_its_pattern_and_the_first_host_of_its_site(tmp_path: Path) -> None:
    assert route_names(settings(TWO_SITES, tmp_path)) == {
        NO_ROUTE: RouteName("", ""),
        1: RouteName("*.example.org", "/"),
        2: RouteName("*.example.org", "/b"),
        3: RouteName("", "/"),
        OTHER_ROUTE: RouteName("", "other"),
    }
