"""What requests are told apart by when they are counted: route, method and status.

Each has a number in shared memory and a word for people. All three are bounded, whatever clients
send and applications answer: what is not known here is counted as "other".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from forkd.config.settings import Settings

OTHER: Final = "other"

METHODS: Final = (
    *("", "GET", "HEAD", "POST", "PUT", "DELETE"),
    *("CONNECT", "OPTIONS", "TRACE", "PATCH", OTHER),
)
"""By number. The first is for what was no request: bytes that are not HTTP, or came too slowly."""
OTHER_METHOD: Final = METHODS.index(OTHER)
_METHOD_NUMBERS: Final = {method: number for number, method in enumerate(METHODS)}

OTHER_STATUS: Final = 0

NO_ROUTE: Final = 0
"""The number for what no route has answered."""
OTHER_ROUTE: Final = 0xFFFF


class Kind(NamedTuple):
    """Requests that are counted together, by numbers."""

    route: int
    method: int
    status: int


OTHER_KIND: Final = Kind(OTHER_ROUTE, OTHER_METHOD, OTHER_STATUS)


@dataclass(frozen=True, slots=True, order=True)
class RouteName:
    """A route, in whatever generation: what is counted of it goes on through reloads."""

    site: str
    """The first host of its site; empty for the one without hosts, and where there is no route."""
    pattern: str
    """Empty for what no route has answered."""


def method_number(method: str) -> int:
    return _METHOD_NUMBERS.get(method, OTHER_METHOD)


def status_number(status: int) -> int:
    """The status itself, where it is one that HTTP has room for (RFC 9110 section 15)."""
    return status if 100 <= status <= 599 else OTHER_STATUS


def status_word(number: int) -> str:
    return str(number) if number != OTHER_STATUS else OTHER


def route_numbers(settings: Settings) -> dict[tuple[int, str], int]:
    """The number of each route of a generation, by number of the site and pattern."""
    keys = [
        (number, pattern) for number, site in enumerate(settings.sites) for pattern in site.routes
    ]
    return {key: min(number, OTHER_ROUTE) for number, key in enumerate(keys, NO_ROUTE + 1)}


def route_names(settings: Settings) -> dict[int, RouteName]:
    """The names by these numbers, and by those that are no route's."""
    names = {
        number: RouteName(next(iter(settings.sites[site].host), ""), pattern)
        for (site, pattern), number in route_numbers(settings).items()
    }
    return {**names, NO_ROUTE: RouteName("", ""), OTHER_ROUTE: RouteName("", OTHER)}
