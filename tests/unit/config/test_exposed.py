"""Static routes that would send the source of programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkd.config.exposed import exposed_programs, taker
from forkd.config.load import load_text
from forkd.handlers.routes import SiteRoutes
from tests.unit.handlers.requests import route

PATTERNS = ["/", "/exact", "/a/", "/a/b/", "*.php", "*.tar.gz", "*.gz", "/a/x.php"]
NAMES = st.sampled_from(["a", "b", "x.php", ".php", "exact", "x.tar.gz", "x.gz", "x.phpx", ""])


@given(path=st.lists(NAMES, min_size=1, max_size=4).map(lambda names: "/" + "/".join(names)))
def test_the_taker_is_the_route_that_answers(path: str) -> None:
    routes = SiteRoutes([], [route(pattern) for pattern in PATTERNS])
    match = routes.find(path)
    assert taker(PATTERNS, path) == (match.route.pattern if match else None)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "html" / "programs").mkdir(parents=True)
    (tmp_path / "html" / ".hidden").mkdir()
    (tmp_path / "html" / "one.cgi").touch()
    (tmp_path / "html" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "one").touch()
    return tmp_path


def found(site: Path, *sites: dict[str, dict[str, str]]) -> list[str]:
    hosts = [{"host": f"host{number}", "routes": routes} for number, routes in enumerate(sites)]
    settings = load_text(json.dumps({"sites": hosts}), site / "forkd.yaml", {})
    return [line.partition(" (keep")[0] for line in exposed_programs(settings)]


def line(where: str, whose: str, target: str) -> str:
    return (
        f"sites.{where}.static: sends the source of the programs of sites.{whose}, as at {target}"
    )


@pytest.mark.parametrize(
    "routes",
    [
        {"/": {"static": "html"}, "/programs/": {"cgi": "html/programs"}},
        {"/": {"static": "html"}, "*.cgi": {"cgi": "html"}},
        {"/": {"static": "html"}, "/one.cgi": {"cgi": "html/one.cgi"}},
        {"/": {"static": "html"}, "/x/": {"cgi": "outside"}},
        {"/": {"static": "html"}, "/x/": {"cgi": "html/.hidden"}},
        {"/programs/": {"static": "html/programs"}, "/x/": {"cgi": "html"}},
        {"*.txt": {"static": "html"}, "/one": {"cgi": "html/one.cgi"}},
    ],
)
def test_what_no_static_route_takes_is_not_exposed(
    site: Path, routes: dict[str, dict[str, str]]
) -> None:
    assert found(site, routes) == []


@pytest.mark.parametrize(
    ("routes", "target", "whose"),
    [
        ({"/": {"static": "html"}, "/p/": {"cgi": "html/programs"}}, "/programs/x", "/p/"),
        ({"/": {"static": "html"}, "/one": {"cgi": "html/one.cgi"}}, "/one.cgi", "/one"),
        ({"/": {"static": "html/programs"}, "/p/": {"cgi": "html/programs"}}, "/x", "/p/"),
        ({"/": {"static": "outside"}, "/p/": {"cgi": "html/link"}}, "/x", "/p/"),
        ({"/": {"static": "html/one.cgi"}, "*.cgi": {"cgi": "html/one.cgi"}}, "/", "*.cgi"),
    ],
)
def test_what_a_static_route_takes_is_named_with_its_address(
    site: Path, routes: dict[str, dict[str, str]], target: str, whose: str
) -> None:
    assert found(site, routes) == [line("0.routes./", f"0.routes.{whose}", target)]


def test_a_route_that_shows_them_twice_is_named_for_the_other_one(site: Path) -> None:
    routes = {
        "/": {"static": "html"},
        "/files/": {"static": "html"},
        "/programs/": {"cgi": "html/programs"},
    }
    wanted = line("0.routes./files/", "0.routes./programs/", "/files/programs/x")
    assert found(site, routes) == [wanted]


def test_another_site_may_show_them(site: Path) -> None:
    programs = {"/programs/": {"cgi": "html/programs"}}
    wanted = line("1.routes./", "0.routes./programs/", "/programs/x")
    assert found(site, programs, {"/": {"static": "html"}}) == [wanted]
