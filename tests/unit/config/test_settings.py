"""The models say what can be written, the settings what processes are given: the same fields."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path
from types import UnionType
from typing import Union, get_args, get_origin, get_type_hints

import pytest

from forkd.config import model, routes, settings
from forkd.config.fields import Block
from forkd.config.load import load_text


def blocks(base: type[Block] = Block) -> list[type[Block]]:
    """All models but those of tests."""
    own = [one for one in base.__subclasses__() if one.__module__.startswith("forkd.")]
    return [found for one in own for found in (one, *blocks(one))]


def twin(block: type[Block]) -> type[object]:
    found = getattr(settings, block.__name__, None)
    home = Path(str(settings.__file__)).name
    assert isinstance(found, type), f"{block.__name__} is no class of {home}: write it there too"
    return found


def as_given(hint: object) -> object:
    """A type of a model in the terms of the settings."""
    if isinstance(hint, type) and issubclass(hint, Block):
        return twin(hint)
    parts = tuple(as_given(part) for part in get_args(hint))
    if get_origin(hint) in (Union, UnionType):
        return Union[parts]  # noqa: UP007 the parts are known when this runs
    origin = get_origin(hint)
    return origin[parts] if origin in (tuple, dict) else hint


@pytest.mark.parametrize("block", blocks(), ids=lambda block: str(block.__name__))
def test_a_block_has_the_same_fields_as_model_and_as_settings(block: type[Block]) -> None:
    given = {field.name: field for field in dataclasses.fields(twin(block))}  # type: ignore[arg-type] # twins are dataclasses
    name, written = block.__name__, set(block.model_fields)
    missing, alone = sorted(written - set(given)), sorted(set(given) - written)
    assert not missing, f"add to {name} in forkd/config/settings.py: {', '.join(missing)}"
    assert not alone, f"add to {name} in {block.__module__}: {', '.join(alone)}"
    hints, wanted = get_type_hints(twin(block)), get_type_hints(block)
    for field in written:
        wrong = f"{name}.{field} is {hints[field]} in settings.py and {wanted[field]} in the model"
        assert hints[field] == as_given(wanted[field]), wrong


def test_all_that_the_settings_have_can_be_written() -> None:
    names = {block.__name__ for block in blocks()}
    for name, kind in vars(settings).items():
        if dataclasses.is_dataclass(kind) and getattr(kind, "__module__", "") == settings.__name__:
            assert name in names, f"{name} is in settings.py, and there is no model of it"


def test_routes_are_the_same_actions_in_both() -> None:
    wanted = {as_given(get_args(one)[0]) for one in get_args(routes.Route)}
    assert set(get_args(settings.Route)) == wanted


EVERYTHING = """
listen:
  - 127.0.0.1:0
  - {protocol: tcp, address: "unix:s", handler: "mod:Class", path: .}
workers: {count: 3}
log: {access: off}
sites:
  - host: [a.example, "*.example"]
    routes:
      /: {static: ., headers: {set: {X-One: "1"}, remove: Server}}
      /c/: {cgi: ., env: {A: "1"}}
      /w/: {wsgi: "mod:make()"}
      /h/: {handler: "mod:Class"}
      /p/: {pages: .}
      /r/: {redirect: /elsewhere}
      /t: {respond: hello}
      /status: {status: true, allow: [127.0.0.1, "::1"], deny: all}
      /healthz: {health: true}
      /metrics: {metrics: true}
"""


def test_settings_go_through_a_pipe_unchanged(tmp_path: Path) -> None:
    read = load_text(EVERYTHING, tmp_path / "forkd.yaml", {})
    assert type(read) is settings.Settings
    assert {type(route) for route in read.sites[0].routes.values()} == set(get_args(settings.Route))
    assert pickle.loads(pickle.dumps(read)) == read  # noqa: S301 made here


def test_settings_are_had_without_what_reads_them() -> None:
    """In a process of its own: this one has imported everything."""
    program = (
        "import sys, forkd.config.settings, forkd.config.plan;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} & {'pydantic', 'yaml'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_models_are_checked_by_type() -> None:
    assert as_given(model.Log) is settings.Log
    assert as_given(tuple[model.Listen, ...]) == tuple[settings.Listen, ...]
    assert as_given(model.AccessLog | None) == settings.AccessLog | None
