"""`log.access.format`: one of a few words, or a template such as "%{client} %{status}"."""

from __future__ import annotations

from typing import Final

from forkd.config.access_template import FIELDS, UnknownFieldError, split_template
from forkd.config.words import describe, hint, parse_text

WORDS: Final = ("common", "combined", "json")
SCHEMA: Final = {
    "anyOf": [{"enum": list(WORDS)}, {"type": "string", "pattern": r"%\{|\$\{"}],
}


def parse_format(value: object) -> str:
    """A format as it is written. Raises ValueError."""
    text = parse_text(value)
    if text in WORDS:
        return text
    if "%{" not in text:
        raise ValueError(
            f"expected {', '.join(WORDS)} or a template such as "
            f"'%{{client}} %{{status}} %{{target}}', not {describe(value)}{hint(text, WORDS)}"
        )
    if not text.isprintable():
        raise ValueError("expected a template without line ends and control characters")
    try:
        split_template(text)
    except UnknownFieldError as error:
        near = hint(error.name, FIELDS) or f" (there are {', '.join(FIELDS)})"
        raise ValueError(f"{error}{near}") from None
    return text
