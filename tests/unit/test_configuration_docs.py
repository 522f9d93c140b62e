"""docs/CONFIGURATION.md says what the model says: the same keys, defaults and meanings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from forkd.config import load

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "CONFIGURATION.md"


def blocks() -> dict[str, dict[str, Any]]:
    schema: dict[str, Any] = load.schema()
    return {"Settings": schema, **schema["$defs"]}


def row(key: str, field: dict[str, Any]) -> str:
    default = field.get("default", "")
    if isinstance(default, bool):
        default = str(default).lower()
    elif isinstance(default, dict | list):
        default = json.dumps(default) if default else ""
    shown = f"`{default}`" if default != "" else ""
    return f"| `{key}` | {shown} | {field.get('description', '')} |"


@pytest.mark.parametrize("block", sorted(blocks()))
def test_every_key_of_the_model_has_its_row(block: str) -> None:
    text = DOCUMENT.read_text()
    missing = [
        row(key, field)
        for key, field in blocks()[block].get("properties", {}).items()
        if row(key, field) not in text
    ]
    assert not missing, "\n".join(missing)


def test_no_row_names_a_key_that_is_not_there() -> None:
    known = {
        row(key, field)
        for block in blocks().values()
        for key, field in block.get("properties", {}).items()
    }
    written = {line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")}
    assert written <= known
