"""A configuration file -> Settings, or every problem in it at once.

The order: text to nodes (a syntax error ends here), references to the environment, conflicts
between values, then the models. All that was found is raised together; where nothing was, what the
models hold becomes plain data.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from forkd.config import model
from forkd.config.conflicts import conflicts
from forkd.config.machine import Context, control_path, find_root
from forkd.config.nodes import Data, Keys, SyntaxFault, Tree, read
from forkd.config.plain import plain
from forkd.config.problems import problem, problems
from forkd.config.settings import Settings
from forkd.config.words import describe
from forkd.errors import ConfigError, Problem

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def load(file: str | os.PathLike[str], environ: Mapping[str, str]) -> Settings:
    """The settings of a file. Raises ConfigError, which names the file as it is given here."""
    return load_text(_text(os.fspath(file)), file, environ)


def find_control(file: str | os.PathLike[str], environ: Mapping[str, str]) -> Path:
    """Where the control socket of a file's forkd is, whatever else is wrong in the file.

    Whoever has broken the configuration still wants to see and to stop what runs. Raises
    ConfigError only where the file cannot be read or is no YAML.
    """
    name = os.fspath(file)
    try:
        tree = read(_text(name), environ)
    except SyntaxFault as fault:
        raise ConfigError([problem(name, (), fault.mark, fault.message)]) from None
    data = tree.data if isinstance(tree.data, dict) else {}
    directory = os.path.dirname(os.path.abspath(name))
    context = Context(directory, _root(data, tree, directory) or directory, environ)
    try:
        return control_path(data.get("control"), context)
    except ValueError as error:
        place = tree.places.get(("control",), tree.places[()])
        raise ConfigError([problem(name, ("control",), place.value, str(error))]) from None


def _text(name: str) -> str:
    """What the file holds. Raises ConfigError."""
    try:
        content = Path(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError([Problem(name, 0, 0, "", f"cannot be read: {reason}")]) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line_start = before.rfind(b"\n") + 1
        column = len(before[line_start:].decode(errors="replace")) + 1
        mark = before.count(b"\n") + 1, column
        raise ConfigError([problem(name, (), mark, "expected a text in UTF-8")]) from None


def load_text(text: str, file: str | os.PathLike[str], environ: Mapping[str, str]) -> Settings:
    """The settings of a text that stands in `file`, which need not exist; its directory counts."""
    name = os.fspath(file)
    try:
        tree = read(text, environ)
    except SyntaxFault as fault:
        raise ConfigError([problem(name, (), fault.mark, fault.message)]) from None
    found = [problem(name, fault.keys, fault.mark, fault.message) for fault in tree.faults]
    data = tree.data if tree.data is not None else {}
    if not isinstance(data, dict):
        mark = tree.places[()].value
        message = f"expected a mapping of keys and values, not {describe(data)}"
        raise ConfigError([*found, problem(name, (), mark, message)])
    directory = os.path.dirname(os.path.abspath(name))
    context = Context(directory, _root(data, tree, directory), environ)
    for keys, message in conflicts(data, tree, context.root or "/"):
        found.append(problem(name, keys, tree.places[keys].value, message))
    try:
        checked = model.Settings.model_validate(data, context=context)
    except ValidationError as error:
        found.extend(problems(error, tree, name))
        raise ConfigError(found) from None
    if found:
        raise ConfigError(found)
    return plain(checked)


def schema() -> dict[str, object]:
    """The JSON Schema of what can be written, for editors."""
    parts = model.Settings.model_json_schema(mode="validation").items()
    written = {key: _without_blank_defaults(value) for key, value in parts}
    return {"$schema": DIALECT, **written, "title": "forkd configuration"}


def _without_blank_defaults(part: object) -> object:
    """A default that stands for `left out` is not a value that anybody writes."""
    if isinstance(part, dict):
        return {
            key: _without_blank_defaults(value)
            for key, value in part.items()
            if key != "default" or value not in (None, [])
        }
    return [_without_blank_defaults(item) for item in part] if isinstance(part, list) else part


def _root(data: Mapping[str, Data], tree: Tree, directory: str) -> str | None:
    """The root of relative paths, or None where the file gives one that is wrong."""
    keys: Keys = ("root",)
    if any(fault.spoils and fault.keys == keys for fault in tree.faults):
        return None
    try:
        return str(find_root(data.get("root"), directory))
    except ValueError:
        return None
