"""Import targets: what is read from them, and what is said where they are not what was meant."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from forkd.config.targets import PATTERN, Target, parse_callable, parse_class

CALLABLES = [
    ("myapp:application", Target("myapp", "application", factory=False)),
    ("pkg.module:name", Target("pkg.module", "name", factory=False)),
    ("module:outer.inner", Target("module", "outer.inner", factory=False)),
    ("module:create_app()", Target("module", "create_app", factory=True)),
    ("pkg.module:Site.create()", Target("pkg.module", "Site.create", factory=True)),
    ("my-app:app", Target("my-app", "app", factory=False)),
    ("2048.web:app", Target("2048.web", "app", factory=False)),
    ("größe:anwendung", Target("größe", "anwendung", factory=False)),
]
CLASSES = [
    ("mymodule:MyHandler", Target("mymodule", "MyHandler", factory=False)),
    ("pkg.mymodule:MyHandler", Target("pkg.mymodule", "MyHandler", factory=False)),
    ("mymodule:Outer.Inner", Target("mymodule", "Outer.Inner", factory=False)),
]


@pytest.mark.parametrize(("text", "target"), CALLABLES)
def test_an_application_is_named_by_its_module_and_what_leads_to_it(
    text: str, target: Target
) -> None:
    assert parse_callable(text) == target


@pytest.mark.parametrize(("text", "target"), CLASSES)
def test_a_handler_is_named_by_its_module_and_class(text: str, target: Target) -> None:
    assert parse_class(text) == target


@pytest.mark.parametrize(("text", "target"), CALLABLES + CLASSES)
def test_a_target_is_shown_as_it_was_written(text: str, target: Target) -> None:
    assert str(target) == text


@pytest.mark.parametrize(("text", "_"), CALLABLES + CLASSES)
def test_the_pattern_for_editors_lets_every_target_pass(text: str, _: Target) -> None:
    assert re.search(PATTERN, text)


@pytest.mark.parametrize("text", ["${APP}", "${MODULE:-my app}:app"])
def test_the_pattern_for_editors_lets_references_pass(text: str) -> None:
    assert re.search(PATTERN, text)


@pytest.mark.parametrize("text", ["", "myapp", "myapp.py", "apps/myapp.py", "a:b:c", "a: b", ":a"])
def test_the_pattern_for_editors_stops_what_is_no_target(text: str) -> None:
    assert not re.search(PATTERN, text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("myapp.py", "myapp:application"),
        ("pkg.myapp.py", "pkg.myapp:application"),
        ("myapp.py:app", "myapp:app"),
        ("myapp", "myapp:application"),
        ("myapp:", "myapp:application"),
        ("myapp.application", "myapp:application"),
        ("pkg.myapp.app", "pkg.myapp:app"),
        ("mysite.wsgi", "mysite.wsgi:application"),
        ("pkg.module.Site.app", "pkg.module:Site.app"),
        ("pkg.create_app()", "pkg:create_app()"),
        ("myapp:create_app(debug=True)", "myapp:create_app()"),
        ("myapp:create_app( )", "myapp:create_app()"),
        ("myapp:create_app(", "myapp:create_app()"),
        (" myapp: application\n", "myapp:application"),
    ],
)
def test_a_likely_application_is_suggested(text: str, meant: str) -> None:
    assert _refusal(parse_callable, text) == (
        f'expected module:callable such as "myapp:application", not {text!r} '
        f'(did you mean "{meant}"?)'
    )
    assert str(parse_callable(meant)) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("mymodule.py", "mymodule:MyHandler"),
        ("mymodule", "mymodule:MyHandler"),
        ("pkg.mymodule.TimeHandler", "pkg.mymodule:TimeHandler"),
        ("mymodule.Outer.Inner", "mymodule:Outer.Inner"),
        ("mymodule:MyHandler()", "mymodule:MyHandler"),
        ("mymodule.MyHandler()", "mymodule:MyHandler"),
    ],
)
def test_a_likely_handler_is_suggested(text: str, meant: str) -> None:
    assert _refusal(parse_class, text) == (
        f'expected module:Class such as "mymodule:MyHandler", not {text!r} '
        f'(did you mean "{meant}"?)'
    )
    assert str(parse_class(meant)) == meant


@pytest.mark.parametrize("text", ["apps/myapp.py", "./myapp:app", "/srv/app/wsgi.py:application"])
def test_a_file_with_a_directory_is_answered_with_what_path_is_for(text: str) -> None:
    assert _refusal(parse_callable, text).endswith(
        f"not {text!r} (write the name of the module, and its directory as path)"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", "''"),
        (":", "':'"),
        (":application", "':application'"),
        ("a:b:c", "'a:b:c'"),
        ("a::b", "'a::b'"),
        ("a..b:c", "'a..b:c'"),
        (".a:b", "'.a:b'"),
        ("a:b.", "'a:b.'"),
        ("a:1b", "'a:1b'"),
        ("a:create-app", "'a:create-app'"),
        ("create_app()", "'create_app()'"),
        ("127.0.0.1:9000", "'127.0.0.1:9000'"),
        (8080, "'8080'"),
        (None, "nothing"),
        (["a:b"], "a list"),
        ({"a": "b"}, "a mapping"),
    ],
)
def test_nothing_is_suggested_where_nothing_is_likely(value: object, shown: str) -> None:
    assert _refusal(parse_callable, value) == (
        f'expected module:callable such as "myapp:application", not {shown}'
    )


def _refusal(parse: Callable[[object], Target], value: object) -> str:
    with pytest.raises(ValueError, match="expected module:") as caught:
        parse(value)
    return str(caught.value)
