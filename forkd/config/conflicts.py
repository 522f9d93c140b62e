"""Mistakes that concern several values at once. Pure.

They are looked for in the plain data, before the models, because a model checks a whole only when
all its parts are right, and a person wants to hear of every mistake in one go. Values that are
wrong in themselves are passed over here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from forkd.config.address import Address, parse_address
from forkd.config.names import parse_host
from forkd.config.nodes import Data, Keys, Place
from forkd.config.words import text_of

Conflict = tuple[Keys, str]
Places = Mapping[Keys, Place]


def conflicts(data: Mapping[str, Data], places: Places, root: str) -> Iterator[Conflict]:
    """The values that cannot stand together, each at the later of the two."""
    yield from _same_address(data.get("listen"), places, root)
    yield from _same_host(data.get("sites"), places)
    if data.get("group") is not None and data.get("user") is None:
        yield ("group",), "a group needs a user (write user as well)"


def _same_address(listen: Data, places: Places, root: str) -> Iterator[Conflict]:
    seen: dict[Address, Keys] = {}
    for keys, entry in _entries(("listen",), listen):
        if isinstance(entry, dict):
            keys, entry = (*keys, "address"), entry.get("address")
        text = text_of(entry)
        try:
            address = parse_address(text, root) if text is not None else None
        except ValueError:
            continue
        if address in seen:
            yield (
                keys,
                f"{address} is listed twice: the first is on line {_line(places, seen[address])}",
            )
        elif address is not None:
            seen[address] = keys


def _same_host(sites: Data, places: Places) -> Iterator[Conflict]:
    seen: dict[str, Keys] = {}
    for keys, site in _entries(("sites",), sites):
        if not isinstance(site, dict | None):
            continue
        if site is None or "host" not in site:
            if "" in seen:
                first = _line(places, seen[""])
                yield keys, f"a second site without host: the first is on line {first}"
            seen.setdefault("", keys)
            continue
        for host_keys, entry in _entries((*keys, "host"), site["host"]):
            try:
                host = parse_host(entry)
            except ValueError:
                continue
            if host in seen:
                yield (
                    host_keys,
                    f"{host} is named twice: the first is on line {_line(places, seen[host])}",
                )
            seen.setdefault(host, host_keys)


def _entries(keys: Keys, value: Data) -> list[tuple[Keys, Data]]:
    """The entries of a list, or the one that is written in place of a list."""
    if isinstance(value, list):
        return [((*keys, index), entry) for index, entry in enumerate(value)]
    return [(keys, value)]


def _line(places: Places, keys: Keys) -> int:
    return places[keys].value[0]
