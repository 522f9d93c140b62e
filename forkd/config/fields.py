"""The kinds of fields: how each is read from text, and what a JSON Schema says of it.

A kind is put on a field as an annotation. Its reader raises ValueError with the words for the
user; pydantic collects them with their places.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from forkd.config import machine, units, words

Schema = Mapping[str, object]

_NUMBER_TEXT: Final[Schema] = {"type": "string", "pattern": r"^[-+0-9a-fA-Fxo]+$|\$\{"}
_REFERENCE: Final[Schema] = {"type": "string", "pattern": r"\$\{"}
_PATH: Final[Schema] = {"type": ["string", "number"], "minLength": 1}
_SCALAR: Final[Schema] = {"type": ["string", "number", "boolean"]}


class Block(BaseModel):
    """A mapping of the file. `later` names keys that this version does not serve yet."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    later: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _blank_means_defaults(cls, data: object) -> object:
        """A key whose lines are all commented out holds nothing."""
        return {} if data is None else data


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A kind of scalar: its reader, and the forms in which it may be written.

    Compared by identity, since typing wants annotations that can be hashed and schemas cannot be.
    """

    read: Callable[[object], object]
    schema: Schema

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, __: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return dict(self.schema)


@dataclass(frozen=True, slots=True, eq=False)
class PlacedKind:
    """A kind whose reader needs the context: the root, the file system, the environment."""

    read: Callable[[object, machine.Context], object]
    schema: Schema

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: object, info: ValidationInfo) -> object:
            return self.read(value, context_of(info))

        return core_schema.with_info_plain_validator_function(read)

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, __: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return dict(self.schema)


@dataclass(frozen=True, slots=True, eq=False)
class AlsoWritten:
    """Tells the JSON Schema of further forms, which a validator turns into the usual one."""

    forms: tuple[Schema, ...]

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [handler(core), *map(dict, self.forms)]}


@dataclass(frozen=True, slots=True)
class OneOrMany:
    """A list that may be written as its one entry."""

    noun: str
    or_none: bool = False
    """Whether an empty list says something."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def as_list(value: object) -> object:
            if value is None or (value in ([], ()) and not self.or_none):
                raise ValueError(f"expected {self.noun}, or a list of at least one")
            return value if isinstance(value, list | tuple) else [value]

        return core_schema.no_info_before_validator_function(as_list, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        many = handler(core)
        return {"anyOf": [many["items"], {**many, "minItems": 0 if self.or_none else 1}]}


@dataclass(frozen=True, slots=True)
class Switched:
    """A block that is there at all only where it is written; `true`, or nothing, has its defaults
    and `false` is the same as to leave it out."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def as_block(value: object) -> object:
            text = words.text_of(value)
            if text is None:
                return {} if value is None else value
            return {} if words.parse_switch(text) else None

        return core_schema.no_info_before_validator_function(as_block, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [handler(core), dict(SWITCH.schema)]}


@dataclass(frozen=True, slots=True)
class NotEmpty:
    """A list or mapping with at least one entry.

    pydantic's own min_length counts the entries that are right, so it would speak up where they
    are all there and wrong.
    """

    noun: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def check(value: object) -> object:
            if value in (None, [], (), {}):
                raise ValueError(f"expected at least one {self.noun}")
            return value

        return core_schema.no_info_before_validator_function(check, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        inner = handler(core)
        return {**inner, "minItems" if inner["type"] == "array" else "minProperties": 1}


def context_of(info: ValidationInfo) -> machine.Context:
    """The context of a validation; without one, paths are relative to the current directory."""
    if isinstance(info.context, machine.Context):
        return info.context
    return machine.Context(os.getcwd(), os.getcwd())


def default(written: object, description: str) -> Any:
    """A field with its default in the form in which users write it."""
    return Field(default=written, validate_default=True, description=description)


def required(description: str) -> Any:
    """A field that must be written."""
    return Field(description=description)


def whole(low: int, high: int, noun: str = "") -> Kind:
    """A whole number from low to high."""
    noun = noun or f"a whole number from {low} to {high}"
    number = {"type": "integer", "minimum": low, "maximum": high}
    read = partial(words.parse_integer, low=low, high=high, noun=noun)
    return Kind(read, {"anyOf": [number, _NUMBER_TEXT]})


def whole_or_auto(low: int, high: int, noun: str) -> Kind:
    """A whole number from low to high, or the word auto."""
    number = whole(low, high, noun)

    def read(value: object) -> object:
        return value if value == "auto" else number.read(value)

    return Kind(read, {"anyOf": [{"const": "auto"}, number.schema]})


def choice(*choices: str, later: Iterable[str] = ()) -> Kind:
    """One of a few words."""
    read = partial(words.parse_choice, choices=choices, later=tuple(later))
    return Kind(read, {"anyOf": [{"enum": list(choices)}, _REFERENCE]})


def named(read: Callable[[object], object], **schema: object) -> Kind:
    """A text with rules of its own; numbers and booleans are taken as their text."""
    return Kind(read, {**_SCALAR, **schema})


def duration(low: float = 0.001) -> Kind:
    """Seconds, by default more than none."""
    read = partial(units.parse_duration, low=low)
    text = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h)?$|\$\{"}
    return Kind(read, {"anyOf": [text, {"type": "number", "minimum": low}]})


def size(low: int = 0, high: int = units.MAX_SIZE) -> Kind:
    """Bytes."""
    read = partial(units.parse_size, low=low, high=high)
    text = {"type": "string", "pattern": r"^[0-9]+[KMGkmg]?$|\$\{"}
    return Kind(read, {"anyOf": [text, {"type": "integer", "minimum": low, "maximum": high}]})


def only_false() -> Kind:
    """A switch that this version cannot turn on."""

    def read(value: object) -> bool:
        if value not in (False, None) and (not isinstance(value, str) or words.parse_switch(value)):
            raise ValueError(f"{words.LATER} (only false)")
        return False

    return Kind(read, {"enum": [False, "off", "no"]})


def only_true() -> Kind:
    """A key that says all by being there."""

    def read(value: object) -> bool:
        text = words.text_of(value)
        if text is None or text.lower() not in ("true", "yes", "on"):
            off = text is not None and text.lower() in ("false", "no", "off")
            advice = " (leave the route out where it is not wanted)" if off else ""
            raise ValueError(f"expected true, not {words.describe(value)}{advice}")
        return True

    return Kind(read, {"enum": [True, "true", "yes", "on"]})


TEXT: Final = named(words.parse_text)
SWITCH: Final = Kind(
    words.parse_switch,
    {
        "anyOf": [
            {"type": "boolean"},
            {"enum": ["true", "false", "yes", "no", "on", "off"]},
            _REFERENCE,
        ]
    },
)
USER: Final = Kind(machine.user_name, {"type": ["string", "integer"]})
GROUP: Final = Kind(machine.group_name, {"type": ["string", "integer"]})
PATH: Final = PlacedKind(machine.absolute, _PATH)
EXISTING: Final = PlacedKind(machine.existing, _PATH)
DIRECTORY: Final = PlacedKind(machine.existing_directory, _PATH)
PROGRAM: Final = PlacedKind(machine.program, _PATH)
LOG_FILE: Final = PlacedKind(machine.log_file, _PATH)
SWITCHED: Final = Switched()
MAY_BE_BLANK: Final = AlsoWritten(({"type": "null"},))
