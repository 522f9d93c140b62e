"""Two configurations -> what a person would say has changed between them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

from forkd.config.plan import plan_reload
from forkd.config.settings import Settings

_NOT_SET: tuple[object, ...] = (None, (), {}, "")


def differences(old: Settings, new: Settings) -> list[str]:
    """A line for each value that differs, `key.path: old -> new`, and for each listener that a
    reload would open or close."""
    plan = plan_reload(old, new)
    lines = [f"listen: {address} would be opened" for address in plan.open]
    lines += [f"listen: {address} would be closed" for address in plan.close]
    kept = {str(address) for address in plan.keep}
    lines += [
        line
        for line in _differences("", old, new)
        if not line.startswith("listen.") or _names_one_of(line, kept)
    ]
    return lines


def _names_one_of(line: str, names: set[str]) -> bool:
    return any(line.startswith(f"listen.{name}.") for name in names)


def _differences(path: str, old: object, new: object) -> Iterator[str]:
    if old == new:
        return
    before, after = _parts(old), _parts(new)
    if before is None or after is None or type(old) is not type(new):
        yield f"{path}: {_text(old)} -> {_text(new)}"
        return
    for key in dict.fromkeys((*before, *after)):
        inner = f"{path}.{key}" if path else key
        if key not in after:
            yield f"{inner}: removed"
        elif key not in before:
            yield f"{inner}: added"
        else:
            yield from _differences(inner, before[key], after[key])


def _parts(value: object) -> Mapping[str, object] | None:
    """What a value consists of, by name; None for one that is said as a whole."""
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value)]
        parts = {name: getattr(value, name) for name in names}
        # An address is one word for people.
        return parts if type(value).__module__ == Settings.__module__ else None
    if isinstance(value, Mapping):
        return {str(key): one for key, one in value.items()}
    if isinstance(value, tuple) and any(_parts(one) is not None for one in value):
        return {_name(number, one): one for number, one in enumerate(value)}
    return None


def _name(number: int, item: object) -> str:
    """What an item of a list is told from the others by."""
    address = getattr(item, "address", None)
    if address is not None:
        return str(address)
    host = getattr(item, "host", None)
    return ",".join(host) if host else str(number)


def _text(value: object) -> str:
    if value in _NOT_SET:
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if type(value).__module__ == Settings.__module__:
        return type(value).__name__.removesuffix("Route").lower()  # a route is named by its action
    return str(value)
