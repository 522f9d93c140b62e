"""What a page of HTML holds: its links, its identifiers, and what is wrong with it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source"}
    | {"track", "wbr"}
)
_OPTIONAL_END = frozenset({"li", "dt", "dd", "p", "td", "th", "tr", "tbody", "thead", "option"})
_LINKS = {"href", "src", "action", "formaction", "poster", "data", "srcset"}
_CSS_URL = re.compile(r"(?:url\(\s*|@import\s+)['\"]?([^'\")\s;]+)")


class Page(HTMLParser):
    """A parsed page. `faults` has a line for each thing that a browser would have to forgive."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        """(tag, target) of all that a browser fetches, sends to or leads to; the tag of a form that
        posts is "form post"."""
        self.ids: set[str] = set()
        self.faults: list[str] = []
        self.title = ""
        self._open: list[str] = []
        if not text.lower().startswith("<!doctype html>"):
            self.faults.append("no doctype")
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> is never closed" for tag in self._open]
        if not self.title.strip():
            self.faults.append("no title")
        for tag, target in self.links:
            if target.startswith("#") and target[1:] and target[1:] not in self.ids:
                self.faults.append(f"<{tag}> leads to {target}, which is not there")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if len(values) != len(attrs):
            self.faults.append(f"<{tag}> has an attribute twice")
        if (name := values.get("id")) is not None:
            if name in self.ids:
                self.faults.append(f"id {name} is there twice")
            self.ids.add(name)
        if tag == "html" and "lang" not in values:
            self.faults.append("no language")
        if tag == "img" and "alt" not in values:
            self.faults.append("<img> without alt")
        kind = "form post" if tag == "form" and values.get("method", "").lower() == "post" else tag
        self.links += [(kind, values[name]) for name in _LINKS & values.keys()]
        self.links += [("style", target) for target in css_links(values.get("style", ""))]
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open[-1] != tag and self._open[-1] in _OPTIONAL_END:
            self._open.pop()
        if self._open and self._open[-1] == tag:
            self._open.pop()
        else:
            self.faults.append(f"</{tag}> closes nothing, line {self.getpos()[0]}")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "title":
            self.title += data
        elif self._open and self._open[-1] == "style":
            self.links += [("style", target) for target in css_links(data)]


def css_links(text: str) -> list[str]:
    """What a style sheet fetches."""
    return _CSS_URL.findall(text)


def is_external(target: str) -> bool:
    return re.match(r"(?:[a-z][a-z0-9+.-]*:)?//", target, re.IGNORECASE) is not None
