"""Figures and foreign text as people read them, for `forkd status` and `forkd top`."""

from __future__ import annotations


def age(seconds: float) -> str:
    """A duration in two units at most: 4.2s, 3m07s, 5h12m, 12d3h."""
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if hours == 0:
        return f"{minutes}m{int(seconds % 60):02d}s"
    return f"{hours}h{minutes % 60:02d}m" if hours < 48 else f"{hours // 24}d{hours % 24}h"


def size(count: float) -> str:
    """A number of bytes."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def rate(per_second: float | None) -> str:
    """How often in a second; None where there is nothing yet to compare with."""
    if per_second is None:
        return "-"
    return f"{per_second:.1f}" if 0 < per_second < 100 else count(round(per_second))


def count(number: int) -> str:
    """A number in six characters at most: 99999, 100k, 12.3M."""
    if number < 100_000:
        return str(number)
    shown, unit = (number / 1e3, "k") if number < 999_500 else (number / 1e6, "M")
    if shown >= 999.5:
        shown, unit = number / 1e9, "G"
    return f"{shown:.1f}{unit}" if shown < 99.95 else f"{shown:.0f}{unit}"


def printable(text: str) -> str:
    """text with escapes in the place of what a terminal would obey: control characters, and those
    that turn the direction of writing (CVE-2021-42574). A client chooses what its request says."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def cut(text: str, width: int) -> str:
    """The beginning of text, where it is longer than width."""
    return text if len(text) <= width else text[: width - 1] + "…"
