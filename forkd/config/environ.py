"""`${NAME}` and `${NAME:-default}` in the strings of a configuration. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

# In this order: the escape first, then a whole reference, then one that is not well formed.
_REFERENCE = re.compile(
    r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\$\{"
)


def expand(text: str, environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """The text with its references replaced, and a message for each that could not be.

    A variable that is set but empty counts as set, unless a default is given, as in a shell.
    `$${` stands for `${`. What a variable holds is not looked at for further references.
    """
    if "${" not in text:
        return text, []
    faults: list[str] = []

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        name, default = match["name"], match["default"]
        if name is None:
            faults.append("expected ${NAME} or ${NAME:-default} (write $${ for a plain ${)")
            return ""
        value = environ.get(name)
        if default is not None:
            return value or default
        if value is None:
            faults.append(
                f"${{{name}}} is not set in the environment "
                f"(write ${{{name}:-default}} to give a default)"
            )
            return ""
        return value

    return _REFERENCE.sub(replace, text), faults
