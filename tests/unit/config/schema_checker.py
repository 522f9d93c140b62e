"""As much of JSON Schema (draft 2020-12) as the schema of the configuration uses.

An unknown keyword is an error, so that a schema cannot pass by not being understood.
"""

from __future__ import annotations

import re
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_SILENT = {"title", "description", "default", "$defs", "$schema"}


def accepts(schema: Any, value: Any, root: Any) -> bool:
    """Whether `value` is valid under `schema`, a part of `root`."""
    if isinstance(schema, bool):
        return schema
    return all(
        _keyword(name, argument, schema, value, root)
        for name, argument in schema.items()
        if name not in _SILENT
    )


def _keyword(name: str, argument: Any, schema: Any, value: Any, root: Any) -> bool:
    match name:
        case "$ref":
            return accepts(root["$defs"][argument.removeprefix("#/$defs/")], value, root)
        case "anyOf":
            return any(accepts(one, value, root) for one in argument)
        case "oneOf":
            return sum(accepts(one, value, root) for one in argument) == 1
        case "type":
            names = argument if isinstance(argument, list) else [argument]
            return any(_is(value, one) for one in names)
        case "enum":
            return any(type(value) is type(one) and value == one for one in argument)
        case "const":
            return type(value) is type(argument) and bool(value == argument)
        case "pattern":
            return not isinstance(value, str) or re.search(argument, value) is not None
        case "minLength":
            return not isinstance(value, str) or len(value) >= argument
        case "minimum":
            return not _is(value, "number") or value >= argument
        case "maximum":
            return not _is(value, "number") or value <= argument
        case "minItems":
            return not isinstance(value, list) or len(value) >= argument
        case "minProperties":
            return not isinstance(value, dict) or len(value) >= argument
        case "items":
            entries = value if isinstance(value, list) else []
            return all(accepts(argument, entry, root) for entry in entries)
        case "required":
            return not isinstance(value, dict) or all(key in value for key in argument)
        case "properties":
            pairs = value.items() if isinstance(value, dict) else ()
            return all(accepts(argument[key], one, root) for key, one in pairs if key in argument)
        case "additionalProperties":
            known = schema.get("properties", {})
            pairs = value.items() if isinstance(value, dict) else ()
            return all(accepts(argument, one, root) for key, one in pairs if key not in known)
        case _:
            raise AssertionError(f"unknown keyword {name}")


def _is(value: object, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name])
