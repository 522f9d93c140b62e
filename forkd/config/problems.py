"""What pydantic found, as problems with a place in the file and words for the user. Pure.

The words of values come from their readers; here are those of the shape: keys that are missing,
keys that are unknown, lists and mappings where something else was expected.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from forkd.config.fields import Block
from forkd.config.model import Settings
from forkd.config.nodes import Keys, Place, Tree
from forkd.config.syntax import Mark
from forkd.config.words import LATER, describe, hint
from forkd.errors import Problem

_SHAPES = {
    "model_type": "a mapping of keys and values",
    "model_attributes_type": "a mapping of keys and values",
    "dict_type": "a mapping of keys and values",
    "tuple_type": "a list",
}
_TOP = Place((1, 1))


def problem(file: str, keys: Keys, mark: Mark, message: str) -> Problem:
    """A problem at a mark. The path has dots between its keys, and indices count from 0."""
    return Problem(file, *mark, ".".join(map(str, keys)), message)


def problems(error: ValidationError, tree: Tree, file: str) -> Iterator[Problem]:
    """The problems of one validation, but for those of values that are known to be spoilt."""
    for detail in error.errors(include_url=False):
        keys, mark, message = _locate(detail, tree)
        # What is wrong with a key stays wrong whatever its value was meant to be.
        judged = keys[:-1] if detail["type"] in ("extra_forbidden", "later") else keys
        if not tree.is_spoilt(judged):
            yield problem(file, keys, mark, message)


def _locate(detail: Any, tree: Tree) -> tuple[Keys, Mark, str]:
    """The keys, the place and the words of one error of pydantic."""
    loc: Keys = detail["loc"]
    kind: str = detail["type"]
    written = _written(loc, tree)
    place = tree.places.get(written, _TOP)
    match kind:
        case "missing":
            holder = _written(loc[:-1], tree)
            return (*holder, loc[-1]), tree.places.get(holder, _TOP).head, "this key is missing"
        case "extra_forbidden":
            return written, place.head, _unknown(loc)
        case "later":
            keys = (*written, str(detail["ctx"]["key"]))
            return keys, tree.places.get(keys, place).head, LATER
        case "value_error":
            message = str(detail["ctx"]["error"])
        case _:
            expected = _SHAPES.get(kind)
            got = describe(detail["input"])
            message = f"expected {expected}, not {got}" if expected else f"{detail['msg']}: {got}"
    at_key = loc[-1:] == ("[key]",) and written[-1:] != ("[key]",)
    return written or loc, place.head if at_key else place.value, message


def _written(loc: Keys, tree: Tree) -> Keys:
    """The part of a location that is in the file.

    pydantic adds parts that nobody wrote: the tag of a union's member, `[key]`, the index of an
    entry that stands in place of its list, the field that a shorter form stands for.
    """
    keys: Keys = ()
    for part in loc:
        if (*keys, part) in tree.places:
            keys = (*keys, part)
    return keys


def _unknown(loc: Keys) -> str:
    """The words for a key that its block does not have."""
    kind: Any = Settings
    for part in loc[:-1]:
        kind = _step(kind, part)
    key = str(loc[-1])
    if isinstance(kind, type) and issubclass(kind, Block):
        if key in kind.later:
            return LATER
        return f"unknown key{hint(key, kind.model_fields)}"
    return "unknown key"


def _step(kind: Any, part: str | int) -> Any:
    """The annotation of what is found under one part of a location."""
    kind = _plain(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        return _plain(field.annotation) if field else None
    arguments = get_args(kind)
    origin = get_origin(kind)
    if origin is dict:
        return _plain(arguments[1])
    if origin is tuple:
        return _plain(arguments[0])
    if origin in (Union, UnionType):
        members = map(_plain, arguments)
        return next((one for one in members if f"<{getattr(one, 'action', '')}>" == part), None)
    return None


def _plain(kind: Any) -> Any:
    """An annotation without its metadata and without `| None`."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, UnionType):
        members = [member for member in get_args(kind) if member is not NoneType]
        if len(members) == 1:
            return _plain(members[0])
    return kind
