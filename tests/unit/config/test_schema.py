"""The JSON Schema: what editors accept is what the program accepts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from forkd.config.load import load_text, schema
from tests.unit.config.schema_checker import accepts

CORPUS = Path(__file__).parents[2] / "corpus" / "config"
SITES: dict[str, Any] = {"sites": [{"routes": {"/": {"respond": "x"}}}]}


def route(**keys: object) -> dict[str, object]:
    return {"sites": [{"routes": {"/": keys}}]}


@pytest.mark.parametrize("path", sorted(CORPUS.glob("ok-*.yaml")), ids=lambda path: path.stem)
def test_the_schema_accepts_every_file_that_loads(path: Path) -> None:
    assert accepts(schema(), yaml.safe_load(path.read_text("utf-8")), schema())


@pytest.mark.parametrize(
    "part",
    [
        {"listen": 8080},
        {"listen": "127.0.0.1:8080"},
        {"listen": ["[::1]:80", 80, {"address": "unix:/s", "mode": 660}]},
        {"limits": {"body_timeout": "500ms", "max_body": "10M", "max_headers": "${N:-5}"}},
        {"listen": {"address": 80, "protocol": "udp", "handler": "m:C", "path": "html"}},
        {"limits": {"body_timeout": 30, "max_body": 4096}},
        {"workers": None, "user": 33, "log": {"access": False}},
        {"log": {"access": "off", "error": None}},
        {"workers": {"count": "auto", "preload": False}},
        {"workers": {"count": 4, "threads": 1}},
        route(respond=42, methods="GET"),
        route(static="html", listing="yes", index="a.html"),
        route(redirect="/", status=301),
        route(wsgi="pkg.myapp:create_app()", path="html", env={"MODE": "test", "N": 1}),
        route(wsgi="${APP:-myapp:application}", path=["html", "cgi-bin"]),
        route(handler="mymodule:Outer.Inner", path=["html"], strip_prefix="yes"),
        route(pages="html", methods=["GET"]),
    ],
)
def test_the_schema_accepts_what_users_may_write(part: dict[str, Any]) -> None:
    assert accepts(schema(), SITES | part, schema())
    load_text(json.dumps(SITES | part), CORPUS / "x.yaml", {"RUNTIME_DIRECTORY": "/run/forkd"})


@pytest.mark.parametrize(
    "part",
    [
        {"usr": "root"},
        {"listen": []},
        {"listen": {"address": 80, "protocol": "ftp"}},
        {"listen": {"address": 80, "protocol": "tcp", "handler": "clock"}},
        {"sites": []},
        {"limits": {"body_timeout": "5 minutes"}},
        {"limits": {"max_body": "10MB"}},
        {"workers": {"count": "many"}},
        {"workers": {"count": 0}},
        {"workers": {"threads": 0}},
        {"workers": {"threads": 1025}},
        {"workers": {"preload": "once"}},
        {"log": {"error": {"level": "warn"}}},
        route(),
        route(static="html", cgi="cgi-bin"),
        route(static="html", timeout="5s"),
        route(redirect="/", status=200),
        route(wsgi="myapp.py"),
        route(wsgi=8080),
        route(wsgi="m:app", path=[]),
        route(wsgi="m:app", handler="m:H"),
        route(wsgi="m:app", timeout="soon"),
        route(wsgi="m:app", strip_prefix=True),
        route(handler="mymodule"),
        route(pages=["html"]),
        route(pages="html", path="html"),
    ],
)
def test_the_schema_refuses_what_the_program_refuses(part: dict[str, Any]) -> None:
    assert not accepts(schema(), SITES | part, schema())


def test_the_schema_says_its_dialect_and_describes_every_key() -> None:
    whole: Any = schema()
    assert whole["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert whole["title"] == "forkd configuration"
    for block in (whole, *whole["$defs"].values()):
        for name, field in block["properties"].items():
            assert field["description"].endswith("."), name


def test_defaults_stand_in_the_schema_as_users_write_them() -> None:
    limits: Any = schema()["$defs"]
    fields = limits["Limits"]["properties"]
    assert fields["header_timeout"]["default"] == "10s"
    assert fields["max_body"]["default"] == "100M"
    assert limits["Listen"]["properties"]["mode"]["default"] == "0660"
