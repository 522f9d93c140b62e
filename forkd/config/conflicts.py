"""Mistakes that concern several values at once. Pure.

They are looked for in the plain data, before the models, because a model checks a whole only when
all its parts are right, and a person wants to hear of every mistake in one go. Values that are
wrong in themselves are passed over here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from forkd.config.address import Address, of_protocol, parse_address
from forkd.config.names import parse_host, parse_variable
from forkd.config.nodes import Data, Keys, Place, Tree
from forkd.config.routes import APPLICATION_ACTIONS
from forkd.config.words import parse_switch, text_of

Conflict = tuple[Keys, str]
Places = Mapping[Keys, Place]


def conflicts(data: Mapping[str, Data], tree: Tree, root: str) -> Iterator[Conflict]:
    """The values that cannot stand together, each at the later of the two."""
    yield from _count_or_range(data.get("workers"))
    yield from _same_address(data.get("listen"), tree.places, root)
    yield from _same_host(data.get("sites"), tree.places)
    yield from _other_value(data.get("sites"), tree)
    yield from _programs(data.get("sites"))
    if data.get("group") is not None and data.get("user") is None:
        yield ("group",), "a group needs a user (write user as well)"


def _count_or_range(workers: Data) -> Iterator[Conflict]:
    """A pool has either a number of workers, or a least and a most."""
    if not isinstance(workers, dict) or not {"min", "max"} & workers.keys():
        return
    if "count" in workers:
        yield ("workers", "count"), "count is a fixed number: give either count, or min and max"
    for written, missing in (("min", "max"), ("max", "min")):
        if missing not in workers:
            yield ("workers", written), f"min and max go together (write {missing} as well)"
    low, high = (_whole(workers.get(key)) for key in ("min", "max"))
    if low is not None and high is not None and high < low:
        yield ("workers", "max"), f"max is {high}, fewer than min, which is {low}"


def _whole(value: Data) -> int | None:
    text = text_of(value)
    return int(text) if text is not None and text.isascii() and text.isdecimal() else None


def _same_address(listen: Data, places: Places, root: str) -> Iterator[Conflict]:
    seen: dict[Address, Keys] = {}
    for keys, entry in _entries(("listen",), listen):
        protocol = None
        if isinstance(entry, dict):
            protocol = entry.get("protocol")
            keys, entry = (*keys, "address"), entry.get("address")
        text = text_of(entry)
        try:
            parsed = parse_address(text, root) if text is not None else None
        except ValueError:
            continue
        address = of_protocol(parsed, protocol) if parsed is not None else None
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


def _other_value(sites: Data, tree: Tree) -> Iterator[Conflict]:
    """Variables to which two applications give different values.

    The values are not shown, since they may be secrets.
    """
    seen: dict[str, tuple[Keys, str]] = {}
    for keys, name, value in _variables(sites):
        if tree.is_spoilt(keys):
            continue
        first, known = seen.setdefault(name, (keys, value))
        if value != known:
            yield (
                keys,
                f"{name} has another value on line {_line(tree.places, first)} "
                f"({'.'.join(map(str, first))}): applications share one environment "
                "(give both the same value)",
            )


def _variables(sites: Data) -> Iterator[tuple[Keys, str, str]]:
    """The variables that applications are given, in the order of the file."""
    for keys, env in _environments(sites):
        for name, entry in env.items():
            value = text_of(entry)
            try:
                parse_variable(name)
            except ValueError:
                continue
            if value is not None:
                yield (*keys, name), name, value


def _programs(sites: Data) -> Iterator[Conflict]:
    """What cannot be imposed on the programs of one route."""
    for keys, route in _routes(sites):
        if "cgi" not in route:
            continue
        if route.get("group") is not None and route.get("user") is None:
            yield (*keys, "group"), "a group needs a user (write user as well)"
        wants_sandbox = "sandbox" in route and not _is_off(route["sandbox"])
        if wants_sandbox and _is_off(route.get("no_new_privileges")):
            yield (
                (*keys, "sandbox"),
                "a sandbox cannot hold a program that may gain privileges "
                "(leave no_new_privileges: false or the sandbox out)",
            )
        if "max_queued" in route and "max_concurrent" not in route:
            yield (*keys, "max_queued"), "max_queued is for routes with max_concurrent"


def _is_off(value: Data) -> bool:
    """Whether a switch is off, in any of the spellings that a switch may have."""
    try:
        return not parse_switch(value)
    except ValueError:
        return False


def _environments(sites: Data) -> Iterator[tuple[Keys, dict[str, Data]]]:
    """The env of each route that is an application."""
    for keys, route in _routes(sites):
        env = route.get("env") if route.keys() & APPLICATION_ACTIONS else None
        if isinstance(env, dict):
            yield (*keys, "env"), env


def _routes(sites: Data) -> Iterator[tuple[Keys, dict[str, Data]]]:
    for site_keys, site in _entries(("sites",), sites):
        routes = site.get("routes") if isinstance(site, dict) else None
        for pattern, route in routes.items() if isinstance(routes, dict) else ():
            if isinstance(route, dict):
                yield (*site_keys, "routes", pattern), route


def _entries(keys: Keys, value: Data) -> list[tuple[Keys, Data]]:
    """The entries of a list, or the one that is written in place of a list."""
    if isinstance(value, list):
        return [((*keys, index), entry) for index, entry in enumerate(value)]
    return [(keys, value)]


def _line(places: Places, keys: Keys) -> int:
    return places[keys].value[0]
