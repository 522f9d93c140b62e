"""What applications are imported as: `module:callable` and `module:Class`. Pure.

Nothing is imported here, so whether a module exists is not known yet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from forkd.config.words import describe, text_of

PATTERN: Final = r"^[^:/\s]+:[^:/\s]+$|\$\{"
"""What a JSON Schema says of a target; the parsers are stricter."""

# Hyphens and leading digits are for import_module, which takes what an import statement does not.
_MODULE: Final = re.compile(r"[\w-]+(?:\.[\w-]+)*")
_USUAL: Final = frozenset({"app", "application"})


@dataclass(frozen=True, slots=True)
class Target:
    """An attribute of a module; dots in `attribute` lead through the objects that hold it."""

    module: str
    attribute: str
    factory: bool
    """The attribute is called without arguments, and what it returns is meant."""

    def __str__(self) -> str:
        """The target as it is written in a configuration."""
        return f"{self.module}:{self.attribute}{'()' if self.factory else ''}"


@dataclass(frozen=True, slots=True)
class _Form:
    """How the targets of one action are written."""

    shape: str
    example: Target
    may_be_factory: bool


_CALLABLE: Final = _Form("module:callable", Target("myapp", "application", factory=False), True)
_CLASS: Final = _Form("module:Class", Target("mymodule", "MyHandler", factory=False), False)


def parse_callable(value: object) -> Target:
    """A WSGI application: `module:name`, `module:outer.inner` or `module:factory()`."""
    return _parse(value, _CALLABLE)


def parse_class(value: object) -> Target:
    """A class: `module:Class` or `module:Outer.Inner`."""
    return _parse(value, _CLASS)


def _parse(value: object, form: _Form) -> Target:
    text = text_of(value)
    target = _read(text, form) if text is not None else None
    if target is None:
        advice = _advice(text, form) if text is not None else ""
        found = describe(value)
        raise ValueError(f'expected {form.shape} such as "{form.example}", not {found}{advice}')
    return target


def _read(text: str, form: _Form) -> Target | None:
    module, _, attribute = text.partition(":")
    name = attribute.removesuffix("()") if form.may_be_factory else attribute
    # A module named py inside a package is possible; the name of a file is what people mean.
    if not _MODULE.fullmatch(module) or module.endswith(".py"):
        return None
    if not all(part.isidentifier() for part in name.split(".")):
        return None
    return Target(module, name, factory=name != attribute)


def _advice(text: str, form: _Form) -> str:
    if "/" in text or "\\" in text:
        return " (write the name of the module, and its directory as path)"
    near = _guess(text, form)
    return f' (did you mean "{near}"?)' if near else ""


def _guess(text: str, form: _Form) -> Target | None:
    """The target that was probably meant by a file, a name without a colon, or arguments."""
    bare, bracket, _ = "".join(text.split()).partition("(")
    module, colon, attribute = bare.partition(":")
    if module.endswith(".py"):
        module = module.removesuffix(".py")
    elif not colon:
        parts = module.split(".")
        objects = (number for number in range(1, len(parts)) if _names_an_object(parts[number]))
        first = next(objects, len(parts) - bool(bracket))
        module, attribute = ".".join(parts[:first]), ".".join(parts[first:])
    if module[:1].isdigit():
        return None
    call = "()" if bracket and form.may_be_factory else ""
    return _read(f"{module}:{attribute or form.example.attribute}{call}", form)


def _names_an_object(word: str) -> bool:
    """Whether a word between dots is rather an application or a class than a module."""
    return word in _USUAL or word[:1].isupper()
