"""Which route a host and a path lead to."""

from __future__ import annotations

import pytest

from forkd.handlers.clients import Clients
from forkd.handlers.routes import Router, SiteRoutes
from tests.unit.handlers.requests import route

SITE, ONE, TWO = Clients([], []), Clients([], []), Clients([], [])
PATTERNS = ["/", "/exact", "/a/", "/a/b/", "*.php", "*.tar.gz", "*.gz", "/cgi-bin/", "/a/x.php"]


@pytest.mark.parametrize(
    ("path", "pattern", "prefix", "rest", "segment_end"),
    [
        ("/", "/", "", "/", 0),
        ("/other", "/", "", "/other", 0),
        ("/exact", "/exact", "/exact", "", 0),
        ("/exact/", "/", "", "/exact/", 0),
        ("/exactly", "/", "", "/exactly", 0),
        ("/a/", "/a/", "/a", "/", 0),
        ("/a/c", "/a/", "/a", "/c", 0),
        ("/a/b/", "/a/b/", "/a/b", "/", 0),
        ("/a/b/c/d", "/a/b/", "/a/b", "/c/d", 0),
        ("/ab/c", "/", "", "/ab/c", 0),
        ("/x.php", "*.php", "", "/x.php", 6),
        ("/x/y.php/z", "*.php", "", "/x/y.php/z", 8),
        ("/a/b/y.php", "*.php", "", "/a/b/y.php", 10),
        ("/a/x.php", "/a/x.php", "/a/x.php", "", 0),
        ("/x.phpx", "/", "", "/x.phpx", 0),
        ("/x.phpx/y.php", "*.php", "", "/x.phpx/y.php", 13),
        ("/.php", "/", "", "/.php", 0),
        ("/d/.php/x", "/", "", "/d/.php/x", 0),
        ("/x.tar.gz", "*.tar.gz", "", "/x.tar.gz", 9),
        ("/x.gz", "*.gz", "", "/x.gz", 5),
        ("/cgi-bin/x", "/cgi-bin/", "/cgi-bin", "/x", 0),
    ],
)
def test_exact_wins_then_a_suffix_then_the_longest_prefix(
    path: str, pattern: str, prefix: str, rest: str, segment_end: int
) -> None:
    match = SiteRoutes((), [route(one) for one in PATTERNS]).find(path)
    assert match is not None
    found = (match.route.pattern, match.prefix, match.rest, match.segment_end)
    assert found == (pattern, prefix, rest, segment_end)


def test_the_order_in_the_file_does_not_matter() -> None:
    one = SiteRoutes((), [route(pattern) for pattern in PATTERNS])
    other = SiteRoutes((), [route(pattern) for pattern in reversed(PATTERNS)])
    for path in ("/", "/a/b/c", "/x.tar.gz", "/a/x.php", "/y.php"):
        first, second = one.find(path), other.find(path)
        assert first is not None
        assert second is not None
        assert first.route.pattern == second.route.pattern


def test_a_prefix_without_its_slash_is_not_taken_by_a_shorter_one() -> None:
    """It is redirected to the prefix."""
    site = SiteRoutes((), [route(pattern) for pattern in ("/", "/a/", "/a/b/", "/c/", "/c")])
    assert [site.find(path) for path in ("/a", "/a/b")] == [None] * 2
    match = site.find("/c")
    assert match is not None
    assert match.route.pattern == "/c"


def test_a_path_that_no_route_takes_is_not_found() -> None:
    site = SiteRoutes((), [route("/a/"), route("/b")])
    assert [site.find(path) for path in ("/", "/c", "/b/", "*")] == [None] * 4


@pytest.mark.parametrize(
    ("path", "wants"),
    [("/a", True), ("/a/b", True), ("/exact", False), ("/none", False), ("/a/", False)],
)
def test_a_missing_slash_is_noticed(path: str, wants: bool) -> None:
    site = SiteRoutes((), [route(one) for one in ("/a/", "/a/b/", "/exact", "/exact/")])
    assert site.wants_slash(path) is wants


@pytest.mark.parametrize(
    ("path", "welcome"),
    [("/open", ONE), ("/closed", TWO), ("/plain", None), ("/none", SITE), ("/", SITE), ("*", SITE)],
)
def test_where_no_route_takes_a_path_the_site_says_who_is_answered(
    path: str, welcome: Clients | None
) -> None:
    """But where the path is redirected to a route, that one says it."""
    routes = [route("/open/"), route("/closed/"), route("/plain/")]
    for one, clients in zip(routes, (ONE, TWO, None), strict=True):
        one.clients = clients
    assert SiteRoutes((), routes, SITE).clients_of(path) is welcome


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("example.org", "exact"),
        ("www.example.org", "exact www"),
        ("a.example.org", "wildcard"),
        ("a.b.example.org", "wildcard"),
        ("x.deep.example.org", "deep wildcard"),
        ("deep.example.org", "wildcard"),
        ("badexample.org", "default"),
        (".example.org", "default"),
        ("", "default"),
        ("127.0.0.1", "default"),
    ],
)
def test_the_site_is_exact_then_the_longest_wildcard_then_the_default(host: str, site: str) -> None:
    router = Router(
        SiteRoutes(hosts, [route(f"/{name}")])
        for name, hosts in (
            ("wildcard", ["*.example.org"]),
            ("default", []),
            ("deep wildcard", ["*.deep.example.org"]),
            ("exact", ["example.org"]),
            ("exact www", ["www.example.org"]),
        )
    )
    match = router.find(host, f"/{site}")
    assert match is not None
    assert match.route.pattern == f"/{site}"


def test_without_a_default_an_unknown_host_finds_nothing() -> None:
    router = Router([SiteRoutes(["example.org"], [route("/")])])
    assert router.find("other.org", "/") is None
    assert router.site("other.org") is None


def test_the_same_question_gets_the_same_match_and_memory_stays_bounded() -> None:
    router = Router([SiteRoutes([], [route("/")])])
    first = router.find("", "/x")
    assert router.find("", "/x") is first
    for number in range(10_000):
        assert router.find("", f"/{number}") is not None
    assert len(router._known) <= 4096
