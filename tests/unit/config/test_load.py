"""From text to settings: defaults, directories, the shapes that may be written."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from forkd.config.address import TcpAddress
from forkd.config.load import find_control, load, load_text
from forkd.config.settings import (
    CgiRoute,
    HandlerRoute,
    PagesRoute,
    RespondRoute,
    Settings,
    StaticRoute,
    WsgiRoute,
)
from forkd.config.targets import Target
from forkd.errors import ConfigError

SITES = "sites: [{routes: {/: {respond: x}}}]\n"
ENVIRON = {"RUNTIME_DIRECTORY": "/run/forkd"}


def settings_of(text: str, directory: Path) -> Settings:
    return load_text(text, directory / "forkd.yaml", ENVIRON)


def lines_of(text: str, directory: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, directory / "forkd.yaml", ENVIRON)
    return [f"{one.line}:{one.column}: {one.path}: {one.message}" for one in caught.value.problems]


def test_the_defaults_are_those_of_the_contract(tmp_path: Path) -> None:
    settings = settings_of(SITES, tmp_path)
    assert settings.root == tmp_path
    assert (settings.user, settings.group, settings.pid_file) == (None, None, None)
    assert [one.address for one in settings.listen] == [TcpAddress("127.0.0.1", 8080)]
    workers = settings.workers
    assert (workers.count, workers.threads, workers.preload) == ("auto", 8, False)
    assert (workers.boot_timeout, workers.hang_timeout, workers.shutdown_timeout) == (30, 15, 30)
    assert dataclasses.asdict(settings.limits) == {
        "header_timeout": 10.0,
        "body_timeout": 30.0,
        "write_timeout": 60.0,
        "keepalive_timeout": 60.0,
        "keepalive_requests": 0,
        "max_request_line": 8192,
        "max_header_size": 32768,
        "max_headers": 100,
        "max_body": 100 << 20,
        "max_connections": 10_000,
    }
    assert settings.log.access is not None
    assert (settings.log.access.file, settings.log.access.format) == ("stdout", "combined")
    assert (settings.log.error.file, settings.log.error.level) == ("stderr", "info")


@pytest.mark.parametrize(
    ("count", "cpus", "number"), [("auto", 4, 4), ("auto", 0, 1), ("auto", 900, 512), ("3", 8, 3)]
)
def test_auto_is_one_worker_for_each_cpu(
    count: str, cpus: int, number: int, tmp_path: Path
) -> None:
    settings = settings_of(f"workers: {{count: {count}}}\n{SITES}", tmp_path)
    assert settings.workers.number(cpus) == number


def test_paths_are_relative_to_root_and_root_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "html").mkdir()
    text = (
        "root: ..\npid_file: run/pid\nlisten: unix:s\nlog: {error: {file: logs/e}}\n"
        "sites: [{routes: {/: {static: html}}}]\n"
    )
    settings = settings_of(text, tmp_path / "conf")
    assert settings.root == tmp_path
    assert settings.pid_file == tmp_path / "run/pid"
    assert str(settings.listen[0].address) == f"unix:{tmp_path}/s"
    assert settings.log.error.file == tmp_path / "logs/e"
    route = settings.sites[0].routes["/"]
    assert isinstance(route, StaticRoute)
    assert route.static == tmp_path / "html"


@pytest.mark.parametrize(
    ("environ", "control"),
    [
        ({"RUNTIME_DIRECTORY": "/run/forkd"}, "/run/forkd/control.sock"),
        ({"RUNTIME_DIRECTORY": "/run/a:/run/b"}, "/run/a/control.sock"),
        ({"RUNTIME_DIRECTORY": ""}, "/run/control.sock"),
        ({}, "/run/control.sock"),
    ],
)
def test_the_control_socket_is_in_the_runtime_directory_or_below_root(
    environ: dict[str, str], control: str
) -> None:
    assert load_text("root: /\n" + SITES, "/forkd.yaml", environ).control == Path(control)


@pytest.mark.parametrize("mode", ["0660", '"0660"', "0o660", "660", '"${MODE}"'])
def test_a_mode_is_octal_however_it_is_written(mode: str, tmp_path: Path) -> None:
    text = f"listen: {{address: unix:s, mode: {mode}}}\n{SITES}"
    settings = load_text(text, tmp_path / "f", {**ENVIRON, "MODE": "0660"})
    assert settings.listen[0].mode == 0o660


@pytest.mark.parametrize("word", ["off", "false", "no", "OFF"])
def test_the_access_log_can_be_off(word: str, tmp_path: Path) -> None:
    assert settings_of(f"log: {{access: {word}}}\n{SITES}", tmp_path).log.access is None


def test_numbers_and_booleans_are_text_where_text_is_expected(tmp_path: Path) -> None:
    text = (
        "sites: [{routes: {/a: {respond: 42},"
        " /b: {cgi: forkd.sh, env: {V: 1.10, D: true}, pass_env: HOME}}}]\n"
    )
    (tmp_path / "forkd.sh").touch()
    routes = settings_of(text, tmp_path).sites[0].routes
    answer, program = routes["/a"], routes["/b"]
    assert isinstance(answer, RespondRoute)
    assert isinstance(program, CgiRoute)
    assert answer.respond == "42"
    assert (program.env, program.pass_env) == ({"V": "1.10", "D": "true"}, ("HOME",))


def test_applications_are_named_by_what_is_imported_and_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "apps").mkdir()
    text = (
        "sites: [{routes: {"
        '/a/: {wsgi: "myapp:create_app()", path: [apps, .], env: {MODE: 1.10}},'
        "/h/: {handler: mymodule:Outer.Inner, path: apps, strip_prefix: on},"
        "/p/: {pages: apps},"
        "/b/: {wsgi: m:a}}}]\n"
    )
    routes = settings_of(text, tmp_path).sites[0].routes
    application, handler, pages, least = (routes[key] for key in ("/a/", "/h/", "/p/", "/b/"))
    assert isinstance(application, WsgiRoute)
    assert application.wsgi == Target("myapp", "create_app", factory=True)
    assert application.path == (tmp_path / "apps", tmp_path)
    assert application.env == {"MODE": "1.10"}
    assert isinstance(handler, HandlerRoute)
    assert handler.handler == Target("mymodule", "Outer.Inner", factory=False)
    assert (handler.path, handler.strip_prefix) == ((tmp_path / "apps",), True)
    assert isinstance(pages, PagesRoute)
    assert pages.pages == tmp_path / "apps"
    assert isinstance(least, WsgiRoute)
    assert (least.path, least.env) == ((), {})


@pytest.mark.parametrize("second", ["static: .", "wsgi: m:b", "wsgi: m:b, env: {B: x}"])
def test_routes_that_say_nothing_else_of_a_variable_stand_together(
    second: str, tmp_path: Path
) -> None:
    text = f"sites: [{{routes: {{/a/: {{wsgi: m:a, env: {{A: x}}}}, /b/: {{{second}}}}}}}]\n"
    assert len(settings_of(text, tmp_path).sites[0].routes) == 2


def test_the_values_of_variables_that_differ_are_not_shown(tmp_path: Path) -> None:
    text = (
        "sites: [{routes: {\n"
        "/a/: {wsgi: m:a, env: {KEY: secret}},\n"
        "/b/: {handler: m:H, env: {KEY: hidden}}}}]\n"
    )
    assert lines_of(text, tmp_path) == [
        "3:32: sites.0.routes./b/.env.KEY: KEY has another value on line 2 "
        "(sites.0.routes./a/.env.KEY): applications share one environment "
        "(give both the same value)"
    ]


def test_one_environment_may_be_shared_by_an_alias(tmp_path: Path) -> None:
    text = (
        "sites: [{routes: {"
        "/a/: {wsgi: m:a, env: &env {A: x}}, /b/: {handler: m:H, env: {<<: *env, B: y}}}}]\n"
    )
    assert len(settings_of(text, tmp_path).sites[0].routes) == 2


def test_routes_keep_the_order_of_the_file(tmp_path: Path) -> None:
    text = "sites: [{routes: {/b: {respond: x}, /a: {respond: x}, /c/: {respond: x}}}]"
    assert list(settings_of(text, tmp_path).sites[0].routes) == ["/b", "/a", "/c/"]


def test_the_nearest_max_body_counts(tmp_path: Path) -> None:
    text = (
        "limits: {max_body: 1K}\nsites:\n"
        "  - {host: a, max_body: 2K, routes: {/: {respond: x, max_body: 0}, /b: {respond: x}}}\n"
        "  - {host: c, routes: {/: {respond: x}}}\n"
    )
    settings = settings_of(text, tmp_path)
    found = [
        settings.max_body(site, site.routes[key]) for site in settings.sites for key in site.routes
    ]
    assert found == [0, 2048, 1024]


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = settings_of(SITES, tmp_path)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.user = "root"  # type: ignore[misc]  # that is what is tested


def test_users_and_groups_are_names_even_where_a_number_is_written(tmp_path: Path) -> None:
    settings = settings_of("user: 0\ngroup: 0\n" + SITES, tmp_path)
    assert (settings.user, settings.group) == ("root", "root")


def test_a_file_that_is_missing_is_named_as_it_was_given() -> None:
    with pytest.raises(ConfigError) as caught:
        load("conf/no-such-file.yaml", ENVIRON)
    line = "conf/no-such-file.yaml: cannot be read: No such file or directory"
    assert str(caught.value) == line


@pytest.mark.parametrize("name", [".", "a\0b"])
def test_what_is_no_file_is_one_problem(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        load(name, ENVIRON)
    assert len(caught.value.problems) == 1


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "forkd.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + SITES.encode())
    assert load(file, ENVIRON).root == tmp_path


def test_a_wrong_root_is_the_only_thing_said_of_relative_paths(tmp_path: Path) -> None:
    text = (
        "root: nowhere\nsites: [{routes: {/: {static: html}, /p/: {pages: html},"
        ' /w/: {wsgi: "m:a", path: html}}}]\n'
    )
    assert lines_of(text, tmp_path) == [f"1:7: root: no such directory: {tmp_path}/nowhere"]


def test_a_value_that_depends_on_a_missing_variable_is_not_judged(tmp_path: Path) -> None:
    lines = lines_of("workers: {count: '${COUNT}'}\n" + SITES, tmp_path)
    assert len(lines) == 1
    assert lines[0].startswith("1:18: workers.count: ${COUNT} is not set")


def test_a_mistake_behind_an_alias_is_placed_where_it_is_written(tmp_path: Path) -> None:
    text = "limits: {body_timeout: &t long}\nworkers: {boot_timeout: *t}\n" + SITES
    expected = "expected a duration such as 500ms, 30s, 5m or 1h, not 'long'"
    assert lines_of(text, tmp_path) == [
        f"1:24: limits.body_timeout: {expected}",
        f"1:24: workers.boot_timeout: {expected}",
    ]


def test_problems_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    lines = lines_of("workers: {a: 1}\nlisten: x\nlisten: y\n" + SITES + "b: ${B}\n", tmp_path)
    assert [line.split(": ")[0] for line in lines] == ["1:11", "2:9", "3:1", "5:1", "5:4"]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("workers: {coutn: 3}\ncontrol: here.sock\n", "here.sock"),
        ("root: sub\nlisten: nonsense\n", "sub/run/control.sock"),
        ("root: missing\n", "run/control.sock"),
        ("- a list\n", "run/control.sock"),
    ],
)
def test_the_control_socket_is_found_whatever_else_is_wrong(
    tmp_path: Path, text: str, path: str
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "forkd.yaml").write_text(text)
    assert find_control(tmp_path / "forkd.yaml", {}) == tmp_path / path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [\n", "the file ends here"),
        (f"control: {'x' * 120}\n", "at most 107 bytes"),
    ],
)
def test_the_control_socket_is_not_guessed(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "forkd.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        find_control(tmp_path / "forkd.yaml", {})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("workers", "first", "most"),
    [("count: 3", 3, 3), ("count: auto", 2, 2), ("min: 1, max: 4", 1, 4)],
)
def test_how_many_workers_there_are_and_may_be(workers: str, first: int, most: int) -> None:
    text = f"workers: {{{workers}}}\nsites: [{{routes: {{/: {{respond: x}}}}}}]"
    found = load_text(text, "/forkd.yaml", {}).workers
    assert (found.number(2), found.most(2)) == (first, most)
