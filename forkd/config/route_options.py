"""What every route may have beside its action."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from pydantic import Field

from forkd.config import fields, names
from forkd.config.fields import Block, OneOrMany, default
from forkd.config.networks import Network, parse_network

FieldName = Annotated[str, fields.named(names.parse_field_name)]
FieldValue = Annotated[str, fields.named(names.parse_field_value)]
Variable = Annotated[str, fields.named(names.parse_variable)]
Text = Annotated[str, fields.TEXT]
Switch = Annotated[bool, fields.SWITCH]
Networks = Annotated[
    tuple[Annotated[Network, fields.named(parse_network)], ...], OneOrMany("an address")
]

ROUTE_LATER: Final = frozenset({"auth", "forward_auth", "limit", "compress", "rewrite", "timeout"})


class HeaderChanges(Block):
    """What is done to the headers of a response: remove first, then set, then add."""

    add: dict[FieldName, FieldValue] = default({}, "Headers that are added.")
    set: dict[FieldName, FieldValue] = default({}, "Headers that replace those of their name.")
    remove: Annotated[tuple[FieldName, ...], OneOrMany("the name of a header")] = Field(
        default=(), description="Names of headers that are taken away."
    )


class RouteOptions(Block):
    """What every route may have beside its action."""

    action: ClassVar[str]
    later: ClassVar[frozenset[str]] = ROUTE_LATER

    max_body: Annotated[int, fields.size()] | None = Field(
        default=None,
        description="Largest request body in bytes; left out, that of the site, else of limits.",
    )
    methods: Annotated[
        tuple[Annotated[str, fields.named(names.parse_method)], ...], OneOrMany("a method")
    ] = Field(
        default=(), description="The only methods that are answered; left out, all of the action."
    )
    headers: Annotated[HeaderChanges, fields.MAY_BE_BLANK] = default(
        {}, "Changes to the headers of the response."
    )
    allow: Networks = Field(
        default=(),
        description="Clients that are answered; left out, those of the site, else all.",
    )
    deny: Networks = Field(
        default=(),
        description="Clients that are refused (403); left out, those of the site, else none.",
    )
