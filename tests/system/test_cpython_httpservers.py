"""CPython's own tests of http.server against classes that forkd hosts.

All tests that start a server are run. Those that fail are named below, with the reason and part of
what they say; one that says something else, or passes, fails here. Cases without a server are named
too, so that nothing new in a version of CPython goes unnoticed.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import pytest

from tests.system.cpython_http import Runner, cases, hosting, names_of
from tests.system.tools import need_module

MODULE = "test.test_httpservers"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a test fails, and a part of what it says then."""

    why: str
    says: str


NO_STATUS = Failure("999 is no status of HTTP (RFC 9110 section 15), and becomes 502", "502 != 999")
LOG = Failure(
    "it reads what a handler writes on stderr of this process, which is not the one that serves",
    "False is not true",
)
NOT_FINAL = (
    "no answer ends with 1xx (RFC 9110 section 15.2), and a class cannot change the protocol"
)
NO_SLASH = "a target must begin with a slash (RFC 9112 section 3.2.1), or be a URL"

FAILING = {
    "BaseHTTPServerTestCase.test_head_via_send_error": Failure(NOT_FINAL, "101> != 502"),
    "BaseHTTPServerTestCase.test_internal_key_error": NO_STATUS,
    "BaseHTTPServerTestCase.test_latin1_header": Failure(NO_STATUS.why, "None != 'Dängerous Mind'"),
    "BaseHTTPServerTestCase.test_request_line_trimming": Failure(
        "a line that ends with a bare LF is refused", "400 != <HTTPStatus.NOT_IMPLEMENTED: 501>"
    ),
    "BaseHTTPServerTestCase.test_return_custom_status": NO_STATUS,
    "BaseHTTPServerTestCase.test_return_explain_error": NO_STATUS,
    "BaseHTTPServerTestCase.test_send_error": Failure(NOT_FINAL, "102> != 502"),
    "BaseHTTPServerTestCase.test_version_none_get": Failure(
        "HTTP/0.9 is not spoken", "400 != <HTTPStatus.NOT_IMPLEMENTED: 501>"
    ),
    "RequestHandlerLoggingTestCase.test_err": LOG,
    "RequestHandlerLoggingTestCase.test_get": LOG,
    "SimpleHTTPServerTestCase.test_get_dir_redirect_location_domain_injection_bug": Failure(
        "a path that climbs above the root is refused", "404 != <HTTPStatus.MOVED_PERMANENTLY: 301>"
    ),
    "SimpleHTTPServerTestCase.test_path_without_leading_slash": Failure(
        NO_SLASH, "400 != <HTTPStatus.OK: 200>"
    ),
    "CGIHTTPServerTestCase.test_accept": Failure(
        "lines of one name are joined by a comma and a space (RFC 9110 section 5.3), and a header "
        "that was not sent is no variable (RFC 3875 section 4.1.18)",
        "HTTP_ACCEPT=text/html, text/plain",
    ),
    "CGIHTTPServerTestCase.test_no_leading_slash": Failure(NO_SLASH, "400)"),
}

WITHOUT_REQUEST = {
    "CGIHTTPServerTestCase.test_url_collapse_path": "it calls a function of http.server",
}

WITHOUT_SERVER = {
    "BaseHTTPRequestHandlerTestCase": "it calls a handler with streams in memory",
    "SimpleHTTPRequestHandlerTestCase": "it calls translate_path() of a handler without a socket",
    "MiscTestCase": "it compares names in http.server with its __all__",
    "ScriptTestCase": "it calls http.server.test(), which `python -m http.server` is, with a mock",
}


def cpython() -> ModuleType | None:
    """The module, where the interpreter has it: Debian has it in libpython3.11-testsuite."""
    try:
        return importlib.import_module(MODULE)
    except ModuleNotFoundError:
        return None


def with_server() -> list[str]:
    """The tests that start one. Without the module its name, so that `runner` skips or fails."""
    if (module := cpython()) is None:
        return [MODULE]
    return [
        f"{name}.{test}"
        for name, case in cases(module).items()
        if issubclass(case, module.BaseTestCase)
        for test in names_of(case)
    ]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with hosting(need_module(MODULE), tmp_path_factory.mktemp("cpython")) as running:
        yield running


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # they close no connection
@pytest.mark.parametrize("name", with_server())
def test_a_test_of_cpython_passes_or_is_named(runner: Runner, name: str) -> None:
    outcome = runner.run(name)
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    if expected := FAILING.get(name):
        assert outcome.problems, f"it passes, against: {expected.why}"
        assert expected.says in outcome.problems
    else:
        assert not outcome.problems, outcome.problems
    assert outcome.asked == (name not in WITHOUT_REQUEST), "whether it asked for a server"


def test_every_case_without_a_server_is_named() -> None:
    module = need_module(MODULE)
    others = {
        name for name, case in cases(module).items() if not issubclass(case, module.BaseTestCase)
    }
    assert not others - set(WITHOUT_SERVER), "neither run nor named"
