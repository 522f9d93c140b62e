"""Small pure helpers for values and for what is said about them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

LATER = "not supported by this version of forkd"
"""Said of what the interface knows and this version does not serve yet."""

_LONGEST_QUOTE = 60
_INTEGER = re.compile(r"[-+]?[0-9]{1,19}|0o[0-7]{1,19}|0x[0-9a-fA-F]{1,15}")
_SWITCH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def describe(value: object) -> str:
    """Name a value in a message: quoted text, or what kind of thing it is."""
    match value:
        case None:
            return "nothing"
        case str():
            short = value if len(value) <= _LONGEST_QUOTE else value[: _LONGEST_QUOTE - 3] + "..."
            return repr(short)
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            return repr(str(value))


def text_of(value: object) -> str | None:
    """The text of a scalar, or None where the value is a list, a mapping or nothing."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case _:
            return None


def parse_text(value: object) -> str:
    """Text. Numbers and booleans are taken as they are written."""
    text = text_of(value)
    if text is None:
        advice = ' (write "" for an empty text)' if value is None else ""
        raise ValueError(f"expected text, not {describe(value)}{advice}")
    return text


def parse_integer(value: object, low: int, high: int, noun: str) -> int:
    """A whole number from low to high, in decimal, 0o octal or 0x hexadecimal digits."""
    text = text_of(value)
    if text is not None and _INTEGER.fullmatch(text):
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        number = int(text, base)
        if low <= number <= high:
            return number
    raise ValueError(f"expected {noun}, not {describe(value)}")


def parse_switch(value: object) -> bool:
    """true or false; yes, no, on and off are understood as well."""
    text = text_of(value)
    switch = _SWITCH.get(text.lower()) if text is not None else None
    if switch is None:
        raise ValueError(f"expected true or false, not {describe(value)}")
    return switch


def parse_choice(value: object, choices: Sequence[str], later: Iterable[str] = ()) -> str:
    """One of `choices`; those of `later` are known but not served yet."""
    text = text_of(value)
    if text is not None and text in choices:
        return text
    if text is not None and text in later:
        raise ValueError(f"{text} is {LATER} (use {one_of(choices)})")
    found = hint(text, choices) if text is not None else ""
    raise ValueError(f"expected {one_of(choices)}, not {describe(value)}{found}")


def one_of(words: Sequence[str]) -> str:
    """`a, b or c`."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return near[0] if near else None


def hint(word: str, known: Iterable[str]) -> str:
    """` (did you mean ...?)` where a known word is near, else nothing."""
    near = nearest(word, known)
    return f" (did you mean {near}?)" if near else ""
