"""Pages behind a connection: which file answers, when it is imported, and how it is called.

The loop is stepped and the crew without threads, but where a test starts its own.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from forkd.config.settings import PagesRoute
from forkd.errors import OperationError
from forkd.handlers.files import Found, locate
from forkd.handlers.page_module import RETRY_AFTER_S, Broken, Form, PageModule, Ready, form_of
from forkd.handlers.pages import Pages, Place, places
from forkd.loop.crew import Call, Crew
from forkd.loop.loop import LoopLost
from tests.unit.server.scene import Reply, Scene
from tests.unit.stepped import SteppedLoop
from tests.unit.written import written

ECHO = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["SCRIPT_NAME"], " ", environ["PATH_INFO"]]
"""
COUNTING = """
import counted
counted.imports.append({number})
def application(): return "{number}"
"""


class CrewOfOne(Crew):
    """Has no second thread to pass the loop on to: it turns again when the call is over."""

    def pass_loop_on(self, call: Call) -> None:
        pass

    def _make(self, call: Call) -> None:
        try:
            super()._make(call)
        except LoopLost:
            pass


class Site:
    """A directory of pages, and a client."""

    def __init__(self, root: Path, scene: Scene) -> None:
        self.root = root
        self.scene = scene
        self._mtime_ns = 10**18

    def write(self, name: str, text: str) -> Path:
        """Each file that is written is newer than those before, whatever the clock says."""
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        self._mtime_ns += 10**9
        os.utime(path, ns=(self._mtime_ns, self._mtime_ns))
        return path

    def get(self, target: str, method: str = "GET") -> Reply:
        return self.scene.ask(target, method=method).reply(head_only=method == "HEAD")


@pytest.fixture
def site(tmp_path: Path, no_descriptor_leaks: None) -> Iterator[Site]:  # noqa: ARG001 a fixture
    (tmp_path / "pages").mkdir()
    loop = SteppedLoop()
    loop.accept_posts()
    modules = set(sys.modules)
    settings = written(PagesRoute, pages=tmp_path / "pages")
    scene = Scene(loop, {"/d/": Pages(settings, "test", CrewOfOne(loop, 4))}, max_body=1000)
    yield Site(tmp_path / "pages", scene)
    scene.close()
    loop.close()
    for name in set(sys.modules) - modules:
        if name.startswith("_page_"):
            del sys.modules[name]


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the bodies of COUNTING pages have put there."""
    counted = type(sys)("counted")
    done: list[int] = []
    vars(counted)["imports"] = done
    monkeypatch.setitem(sys.modules, "counted", counted)
    return done


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("/a.py", [Place("/a.py", "/a.py", "")]),
        ("/a.py/", [Place("/a.py", "/a.py", "/"), Place("/a.py/index.py", "/a.py", "/")]),
        ("/a.py/x/y", [Place("/a.py", "/a.py", "/x/y")]),
        ("/a.py/.x", [Place("/a.py", "/a.py", "/.x")]),
        ("/a.py/b.py", [Place("/a.py", "/a.py", "/b.py"), Place("/a.py/b.py", "/a.py/b.py", "")]),
        ("/d/a.py/x", [Place("/d/a.py", "/d/a.py", "/x")]),
        ("/a.pyc", []),
        ("/a.python/b", []),
        ("/a", []),
        ("/.py", []),
        ("/.a.py", []),
        ("/.git/a.py", []),
        ("/.git/", []),
        ("/__pycache__/a.py", []),
        ("/__pycache__/", []),
        ("/", [Place("/index.py", "", "/")]),
        ("/d/", [Place("/d/index.py", "/d", "/")]),
        ("", [Place("/index.py", "", "")]),
    ],
)
def test_a_path_names_files_and_divides_there(rest: str, expected: list[Place]) -> None:
    assert list(places(rest)) == expected


def no_arguments() -> str:
    return ""


def with_defaults(a: int = 1, *, b: int = 2) -> str:
    return f"{a}{b}"


def two(_environ: object, _start: object) -> list[bytes]:
    return []


def one(_environ: object) -> str:
    return ""


def three(_a: object, _b: object, _c: object) -> str:
    return ""


def any_number(*_args: object, **_options: object) -> list[bytes]:
    return []


class Instance:
    def __call__(self, _environ: object, _start: object) -> list[bytes]:
        return []


@pytest.mark.parametrize(
    ("application", "form"),
    [
        (no_arguments, Form.TEXT),
        (with_defaults, Form.TEXT),
        (two, Form.WSGI),
        (any_number, Form.WSGI),
        (Instance(), Form.WSGI),
        (one, None),
        (three, None),
    ],
)
def test_the_parameters_say_how_an_application_is_called(
    application: object, form: Form | None
) -> None:
    assert callable(application)
    if form is not None:
        assert form_of(application) is form
        return
    with pytest.raises(OperationError, match=r"expected application\(\) or application\(environ"):
        form_of(application)


@pytest.mark.parametrize(
    ("value", "body"),
    [("'Grüße'", "Grüße".encode()), ("b'\\xff'", b"\xff"), ("None", b""), ("''", b"")],
)
def test_what_it_returns_is_the_page(site: Site, value: str, body: bytes) -> None:
    site.write("a.py", f"def application(): return {value}")
    reply = site.get("/d/a.py")
    assert (reply.status, reply.body) == (200, body)
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert reply.headers["Content-Length"] == str(len(body))


def test_head_has_the_length_and_no_body_in_both_forms(site: Site) -> None:
    site.write("text.py", "def application(): return 'text'")
    start = "start('200 OK', [('Content-Type', 'text/plain')])"
    site.write("wsgi.py", f"def application(environ, start): {start}; return ['Grüße']")
    for target, length in (("/d/text.py", "4"), ("/d/wsgi.py", "7")):
        reply = site.get(target, method="HEAD")
        assert (reply.status, reply.body, reply.headers["Content-Length"]) == (200, b"", length)


def test_a_page_of_text_refuses_methods_that_mean_something_else(site: Site) -> None:
    site.write("a.py", "def application(): return 'text'")
    site.write("wsgi.py", ECHO)
    assert site.get("/d/a.py", method="POST").body == b"text"
    reply = site.get("/d/a.py", method="DELETE")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD, POST")
    assert site.get("/d/wsgi.py", method="DELETE").status == 200


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/d/a.py", b"/d/a.py "),
        ("/d/a.py/x/y?q", b"/d/a.py /x/y"),
        ("/d/", b"/d /"),
        ("/d/sub/", b"/d/sub /"),
        ("/d/sub/a.py/%C3%BC", b"/d/sub/a.py /\xc3\x83\xc2\xbc"),
    ],
)
def test_script_name_and_path_info_divide_at_the_page(site: Site, target: str, body: bytes) -> None:
    for name in ("a.py", "index.py", "sub/a.py", "sub/index.py"):
        site.write(name, ECHO)
    assert site.get(target).body == body


def test_a_directory_without_its_slash_is_led_there(site: Site) -> None:
    site.write("sub/index.py", ECHO)
    reply = site.get("/d/sub?a=b")
    assert (reply.status, reply.headers["Location"]) == (301, "/d/sub/?a=b")


def test_what_is_no_page_is_not_found(site: Site) -> None:
    outside = site.root.parent / "outside.py"
    outside.write_text("raise SystemExit('imported')")
    (site.root / "link.py").symlink_to(outside)
    site.write("data.txt", "data")
    for name in (".hidden.py", "__pycache__/a.py", ".git/a.py", "empty/x.txt"):
        site.write(name, "raise SystemExit('imported')")
    (site.root / "dir.py").mkdir()
    targets = "link.py missing.py missing.py/x data.txt data.txt/ .hidden.py __pycache__/a.py"
    targets += " .git/a.py empty/ %2e%2e/outside.py ../outside.py ..%2foutside.py dir.py/ nul%00.py"
    for target in targets.split():
        assert site.get("/d/" + target).status in (400, 404), target


def test_a_link_within_the_directory_is_followed(site: Site) -> None:
    site.write("a.py", "def application(): return 'a'")
    (site.root / "b.py").symlink_to("a.py")
    assert site.get("/d/b.py").body == b"a"


def test_a_page_is_imported_once_and_again_when_it_changes(site: Site, imports: list[int]) -> None:
    site.write("a.py", COUNTING.format(number=1))
    assert [site.get("/d/a.py").body for _ in range(3)] == [b"1"] * 3
    site.write("a.py", COUNTING.format(number=2))
    assert [site.get("/d/a.py").body for _ in range(3)] == [b"2"] * 3
    assert imports == [1, 2]
    assert len([name for name in sys.modules if name.startswith("_page_a_")]) == 1


def test_pages_of_one_name_are_two_modules(site: Site) -> None:
    site.write("a.py", "value = 1\ndef application(): return str(value)")
    site.write("sub/a.py", "value = 2\ndef application(): return str(value)")
    bodies = [site.get(target).body for target in ("/d/a.py", "/d/sub/a.py", "/d/a.py")]
    assert bodies == [b"1", b"2", b"1"]


def test_a_page_may_hold_what_looks_its_module_up(site: Site) -> None:
    site.write(
        "a.py",
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "import pickle\n"
        "@dataclass\nclass Point:\n    x: int\n"
        "def application(): return repr(pickle.loads(pickle.dumps(Point(1))))\n",
    )
    assert site.get("/d/a.py").body == b"Point(x=1)"


def test_our_own_future_imports_are_not_the_pages(site: Site) -> None:
    site.write("a.py", "def f(x: int): ...\ndef application(): return repr(f.__annotations__)")
    assert site.get("/d/a.py").body == b"{'x': <class 'int'>}"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("\nraise ValueError('no')", "importing it failed: ValueError: no ({file}, line 2)"),
        ("import json\n\njson.loads('')", "importing it failed: JSONDecodeError: Expecting value: "
         "line 1 column 1 (char 0) ({file}, line 3)"),
        ("def application(:", "importing it failed: SyntaxError: invalid syntax (a.py, line 1)"),
        ("import sys\nsys.exit()", "importing it failed: SystemExit: no reason given ({file}, "
         "line 2)"),
        ("", "it defines no application (write: def application(): ...)"),
        ("application = 5", "its application is int, which cannot be called"),
        ("def application(x): ...", "its application is application(x): expected application() or "
         "application(environ, start_response)"),
    ],
)  # fmt: skip
def test_a_broken_page_is_500_and_its_reason_is_logged_once(
    site: Site, caplog: pytest.LogCaptureFixture, source: str, reason: str
) -> None:
    path = site.write("a.py", source)
    assert [site.get("/d/a.py").status for _ in range(3)] == [500] * 3
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [f"{path}: {reason.format(file=path)}"]
    left = [name for name in sys.modules if name.startswith("_page_a_")]
    assert not left, "a module that failed is not to be found"
    site.write("a.py", "def application(): return 'repaired'")
    assert site.get("/d/a.py").body == b"repaired"


def test_a_broken_page_is_not_imported_for_every_request(site: Site, imports: list[int]) -> None:
    site.write("a.py", COUNTING.format(number=1) + "raise ValueError")
    for _ in range(3):
        assert site.get("/d/a.py").status == 500
    assert imports == [1]


def state_of(page: PageModule, root: Path, now: float = 0.0) -> Ready | Broken:
    found = locate(os.fsencode(root), b"/a.py")
    assert isinstance(found, Found)
    state = page.current(found, now, lambda: None)
    assert isinstance(state, Ready | Broken)
    return state


def test_a_page_that_lacked_something_is_tried_again_after_a_while_and_says_nothing_new(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.syspath_prepend(site.root)
    site.write("a.py", "import beside_the_page\ndef application(): return ''")
    page = PageModule(os.fsencode(site.root), b"/a.py", "test")
    first = state_of(page, site.root, 10.0)
    assert isinstance(first, Broken)
    second = state_of(page, site.root, 10.0 + RETRY_AFTER_S)
    assert isinstance(second, Broken)
    assert second.retry_at > first.retry_at
    assert len(caplog.records) == 1
    site.write("beside_the_page.py", "")
    assert state_of(page, site.root, 10.0 + RETRY_AFTER_S) is second
    assert isinstance(state_of(page, site.root, 10.0 + 2 * RETRY_AFTER_S), Ready)
    monkeypatch.delitem(sys.modules, "beside_the_page")


def test_two_threads_do_not_import_one_version_twice(site: Site, imports: list[int]) -> None:
    site.write("a.py", COUNTING.format(number=1))
    page = PageModule(os.fsencode(site.root), b"/a.py", "test")
    both_wait = threading.Barrier(2)
    found = locate(os.fsencode(site.root), b"/a.py")
    assert isinstance(found, Found)
    states: list[object] = []

    def ask() -> None:
        states.append(page.current(found, 0.0, lambda: (both_wait.wait(10), None)[1]))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(states) == 2
    assert states[0] is states[1]
    assert imports == [1]


def test_what_was_seen_before_a_change_does_not_bring_the_old_version_back(
    site: Site, imports: list[int]
) -> None:
    site.write("a.py", COUNTING.format(number=1))
    page = PageModule(os.fsencode(site.root), b"/a.py", "test")
    old = locate(os.fsencode(site.root), b"/a.py")
    assert isinstance(old, Found)
    site.write("a.py", COUNTING.format(number=2))
    new = state_of(page, site.root)
    assert page.current(old, 0.0, lambda: None) is new
    assert imports == [2]


def test_text_is_encoded_wherever_a_wsgi_page_puts_it(site: Site) -> None:
    start = "start_response('200 OK', [('Content-Type', 'text/plain; charset=utf-8')])"
    for name, lines in {
        "list.py": f"{start}; return ['ü', b'b']",
        "one.py": f"{start}; return 'ü' 'b'",
        "pieces.py": f"{start}; yield 'ü'; yield b'b'",
        "write.py": f"write = {start}; write('ü'); write(b'b'); return []",
    }.items():
        site.write(name, f"def application(environ, start_response):\n    {lines}\n")
        assert site.get(f"/d/{name}").body == "üb".encode(), name


def test_the_result_of_a_wsgi_page_is_closed(site: Site, imports: list[int]) -> None:
    site.write(
        "a.py",
        "import counted\n"
        "class Result:\n"
        "    def __iter__(self): return iter(['a'])\n"
        "    def close(self): counted.imports.append(7)\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return Result()\n",
    )
    assert site.get("/d/a.py").body == b"a"
    assert imports == [7]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("def application(): return 5", "application() returned int: expected str, bytes or None"),
        ("async def application(): ...", "application() returned coroutine: expected str, bytes "
         "or None"),
        ("def application(): raise KeyError('x')", "failed"),
        ("import sys\ndef application(): sys.exit()", "failed"),
        (
            "def application(e, s): s('200 OK', []); return [5]",
            "breaks a rule of PEP 3333: expected pieces of bytes, not int",
        ),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_page_that_fails_when_called_is_500_every_time(
    site: Site, caplog: pytest.LogCaptureFixture, source: str, line: str
) -> None:
    caplog.set_level(logging.ERROR)
    path = site.write("a.py", source)
    for _ in range(2):
        assert site.get("/d/a.py").status == 500
    for record in caplog.records:
        message = record.getMessage().rpartition(" id=")[0]
        assert message.startswith(str(path))
        assert message.endswith(line)
    assert len(caplog.records) == 2
