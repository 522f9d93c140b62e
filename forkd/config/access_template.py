"""The templates of access logs: text with fields such as %{status}.

Apart from what reads the configuration, since workers take templates apart as well.
"""

from __future__ import annotations

import re
from typing import Final

FIELDS: Final = (
    *("time", "time_local", "id", "client", "user", "request", "method", "target", "protocol"),
    *("host", "status", "bytes", "duration_ms", "queue_ms", "route", "worker", "referer"),
    *("user_agent", "tls", "cgi_pid", "cgi_exit", "cgi_cpu", "cgi_memory"),
)
"""What %{...} may name. docs/CONFIGURATION.md says what each is."""

_SIGN = re.compile(r"%(?:\{([^}]*)\}|%)?")


class UnknownFieldError(ValueError):
    """A template names what is no field."""

    def __init__(self, name: str) -> None:
        super().__init__(f"unknown field %{{{name}}}")
        self.name = name


def split_template(text: str) -> list[tuple[str, str]]:
    """The pieces of a template, each a text and the field that follows it; empty for none.

    `%%` is a percent sign. Raises UnknownFieldError, and ValueError for any other mistake.
    """
    pieces: list[tuple[str, str]] = []
    before, at = "", 0
    for match in _SIGN.finditer(text):
        before, at = before + text[at : match.start()], match.end()
        name = match[1]
        if match[0] == "%%":
            before += "%"
        elif name is None:
            raise ValueError("a % begins a field, %{NAME}, or is written %%")
        elif name not in FIELDS:
            raise UnknownFieldError(name)
        else:
            pieces.append((before, name))
            before = ""
    pieces.append((before + text[at:], ""))
    return pieces
