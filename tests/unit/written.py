"""Settings for the parts that are tested: what is left out has the default of a configuration."""

from __future__ import annotations

from typing import TypeVar

from forkd.config import cgi_route, model, route_options, routes
from forkd.config.fields import Block
from forkd.config.plain import plain_value

T = TypeVar("T")


def written(kind: type[T], **values: object) -> T:
    """A block of forkd.config.settings as it comes of a file that holds these values."""
    name = kind.__name__
    homes = (model, routes, route_options, cgi_route)
    block: type[Block] = next(vars(home)[name] for home in homes if name in vars(home))
    made = plain_value(block.model_validate(values))
    assert isinstance(made, kind)
    return made
