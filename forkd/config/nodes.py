"""YAML text -> plain data, with a place for every key and every value.

Every scalar stays the text that was written (or None where nothing was): the field that takes it
decides what it means. So `off` can be a switch and a host, 0660 a mode, 1.10 a version, and
`${PORT}` a number. Merge keys are resolved here, and references to the environment are replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from forkd.config.environ import expand
from forkd.config.syntax import Mark, explain, explain_character

Keys = tuple[str | int, ...]
"""The keys and list indices that lead to a value."""

Data = dict[str, "Data"] | list["Data"] | str | None

MAX_DEPTH = 32
"""Nothing that can be configured is deeper; the composer calls itself for each level."""

MAX_VALUES = 100_000
"""Bounds what aliases of aliases can grow to."""

_STANDARD = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "seq", "map", "int", "float", "bool", "null")
)
_NOTHING = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value is, and the key that holds it where there is one."""

    value: Mark
    key: Mark | None = None

    @property
    def head(self) -> Mark:
        """The first place of the two."""
        return self.key or self.value


@dataclass(frozen=True, slots=True)
class Fault:
    """A mistake that was found before anything is known of what the values mean."""

    keys: Keys
    mark: Mark
    message: str
    spoils: bool
    """The value at `keys` is not what was meant, so nothing else is said about it."""


@dataclass(slots=True)
class Tree:
    """A file as data, its places, and what is wrong with it so far."""

    data: Data = None
    places: dict[Keys, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def is_spoilt(self, keys: Keys) -> bool:
        """Whether the value at `keys`, or what holds it, is not what was meant."""
        return any(fault.spoils and keys[: len(fault.keys)] == fault.keys for fault in self.faults)


class SyntaxFault(Exception):
    """The text is not YAML. One fault, since nothing after it can be trusted."""

    def __init__(self, mark: Mark, message: str) -> None:
        self.mark = mark
        self.message = message
        super().__init__(message)


class _Loader(yaml.BaseLoader):
    """Composes nodes without guessing types, to a bounded depth."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # stub lacks it
            raise yaml.composer.ComposerError(None, None, "this is nested too deeply", mark)
        node = super().compose_node(parent, index)  # type: ignore[arg-type]  # stub wants int
        self._depth -= 1
        return node


def read(text: str, environ: Mapping[str, str]) -> Tree:
    """The tree of a YAML text. Raises SyntaxFault where it is not YAML; other faults are kept."""
    node = _compose(text)
    builder = _Builder(environ)
    if node is not None:
        builder.tree.data = builder.build(node, (), None)
    return builder.tree


def _compose(text: str) -> yaml.Node | None:
    """The node at the top, None where the text holds nothing. Raises SyntaxFault."""
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        raise SyntaxFault(*explain_character(error, text)) from None
    try:
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise SyntaxFault(*explain(error, text)) from None
    except (ValueError, OverflowError):
        # PyYAML lets these through where an escape or a %YAML line holds too large a number.
        mark = loader.get_mark()
        raise SyntaxFault((mark.line + 1, mark.column + 1), "a number is too large here") from None
    finally:
        loader.dispose()


class _Builder:
    """Turns nodes into data and writes down places and faults on the way."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.tree = Tree()
        self._environ = environ
        self._open: set[int] = set()
        # By node, so that chains of merges cost no more than the file is long.
        self._known: dict[int, dict[str, tuple[yaml.Node, yaml.Node]]] = {}

    def build(self, node: yaml.Node, keys: Keys, key: Mark | None) -> Data:
        if len(self.tree.places) >= MAX_VALUES:
            message = f"aliases make more than {MAX_VALUES} values of this file"
            raise SyntaxFault(_mark(node), message)
        self.tree.places[keys] = Place(_mark(node), key)
        if node.tag not in _STANDARD:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            self._fault(keys, _mark(node), f"the tag {tag} is not supported (remove it)")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, keys)
        if id(node) in self._open:
            self._fault(keys, _mark(node), "an alias cannot be used inside what it stands for")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [
                    self.build(item, (*keys, index), None) for index, item in enumerate(node.value)
                ]
            return self._mapping(node, keys)
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: yaml.ScalarNode, keys: Keys) -> Data:
        if not node.style and node.value in _NOTHING:
            return None
        text, faults = expand(node.value, self._environ)
        fault = _unusable(text)
        for message in [*faults, fault] if fault else faults:
            self._fault(keys, _mark(node), message)
        return text

    def _mapping(self, node: yaml.Node, keys: Keys) -> Data:
        data: dict[str, Data] = {}
        for key, (key_node, value_node) in self._pairs(node, keys).items():
            data[key] = self.build(value_node, (*keys, key), _mark(key_node))
        return data

    def _pairs(self, node: yaml.Node, keys: Keys) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """The pairs of a mapping. Its own keys win over those that are merged in."""
        if id(node) in self._known:
            return self._known[id(node)]
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merge: yaml.Node | None = None
        for key_node, value_node in node.value:
            key = self._key(key_node, keys)
            if key is None:
                continue
            is_merge = key == "<<" and not key_node.style
            first = merge if is_merge else own.get(key, (None,))[0]
            if first is not None:
                message = f"duplicate key: the first is on line {_mark(first)[0]}"
                self._fault((*keys, key), _mark(key_node), message, spoils=False)
            elif is_merge:
                merge = key_node
                merged = self._merged(value_node, keys)
            else:
                own[key] = (key_node, value_node)
        self._known[id(node)] = merged | own
        return self._known[id(node)]

    def _merged(self, node: yaml.Node, keys: Keys) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not all(isinstance(source, yaml.MappingNode) for source in sources):
            self._fault((*keys, "<<"), _mark(node), "expected a mapping or a list of mappings")
            return {}
        pairs: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for source in sources:
            if id(source) in self._open:
                message = "an alias cannot be used inside what it stands for"
                self._fault((*keys, "<<"), _mark(node), message)
                continue
            self._open.add(id(source))
            # The first of several sources wins, as the merge key's definition says.
            pairs = self._pairs(source, keys) | pairs
            self._open.discard(id(source))
        return pairs

    def _key(self, node: yaml.Node, keys: Keys) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            message = "a key is a text, not a list or a mapping"
            self._fault(keys, _mark(node), message, spoils=False)
            return None
        if fault := _unusable(node.value):
            self._fault(keys, _mark(node), fault, spoils=False)
            return None
        return str(node.value)

    def _fault(self, keys: Keys, mark: Mark, message: str, *, spoils: bool = True) -> None:
        self.tree.faults.append(Fault(keys, mark, message, spoils))


def _mark(node: yaml.Node) -> Mark:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _unusable(text: str) -> str | None:
    """Why no setting can hold this text: no system call takes a NUL, no encoding a surrogate."""
    if "\0" in text:
        return "a NUL character cannot be used"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "expected text that can be written as UTF-8"
    return None
