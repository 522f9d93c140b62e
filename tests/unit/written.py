"""Settings for the parts that are tested: what is left out has the default of a configuration."""

from __future__ import annotations

from typing import TypeVar

from forkd.config import model, routes
from forkd.config.fields import Block
from forkd.config.plain import plain_value

T = TypeVar("T")


def written(kind: type[T], **values: object) -> T:
    """A block of forkd.config.settings as it comes of a file that holds these values."""
    name = kind.__name__
    block: type[Block] = getattr(model, name, None) or getattr(routes, name)
    made = plain_value(block.model_validate(values))
    assert isinstance(made, kind)
    return made
