"""From the models that check a configuration to the plain data that processes are given."""

from __future__ import annotations

from typing import cast

from forkd.config import settings
from forkd.config.fields import Block
from forkd.config.model import Settings


def plain(model: Settings) -> settings.Settings:
    """The same values, without pydantic."""
    return cast(settings.Settings, plain_value(model))


def plain_value(value: object) -> object:
    """A value of a model. A block becomes what has its name in settings.py, field by field."""
    match value:
        case Block():
            kind = getattr(settings, type(value).__name__)
            return kind(**{name: plain_value(part) for name, part in value})
        case tuple():
            return tuple(map(plain_value, value))
        case dict():
            return {key: plain_value(part) for key, part in value.items()}
        case _:
            return value
