"""Programs of the same user as the master: without a sandbox they may give it commands, and a
program in a sandbox may not, whatever it does with its processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.hostile import Fort, fort, need_sandbox

REFUSED = ["programs in a sandbox may not give commands"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fort]:
    need_sandbox()
    directory = tmp_path_factory.mktemp("askers")
    routes = {"/held/": "{MARK, sandbox: true}", "/free/": "{MARK}"}
    with fort(directory, routes, identity="") as made:
        yield made


@pytest.mark.parametrize("orphaned", [False, True])
@pytest.mark.parametrize(
    ("route", "answer"), [("/held", REFUSED), ("/free", "obeyed")], ids=["held", "free"]
)
def test_only_programs_without_a_sandbox_may_give_commands(
    site: Fort, route: str, answer: object, orphaned: bool
) -> None:
    path = str(site.daemon.control)
    assert site.ask(route, f"command({path!r}, 'status', {orphaned})") == [answer]
    site.check_nothing_left()


def test_what_was_refused_is_in_the_log_and_changes_nothing(site: Fort) -> None:
    path = str(site.daemon.control)
    assert site.ask("/held", f"command({path!r}, 'stop')") == [REFUSED]
    assert "of a program in a sandbox" in site.daemon.error_log
    assert site.daemon.status()["ok"]
    site.check_others()
