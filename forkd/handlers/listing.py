"""The page that lists a directory, and the same as JSON."""

from __future__ import annotations

import html
import json
import os
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from urllib.parse import parse_qs

from forkd.handlers.quoting import quote_path

_STYLE = """
:root{color-scheme:light dark;--ink:#1d2430;--soft:#667085;--line:#e4e7ec;--back:#fff;
--hover:#f5f7fa;--link:#1652c4}
@media(prefers-color-scheme:dark){:root{--ink:#e7eaf0;--soft:#98a2b3;--line:#2b3240;--back:#141820;
--hover:#1d2330;--link:#8ab4ff}}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:60rem;margin:0 auto;padding:2rem 1rem}
h1{font-size:1.25rem;font-weight:600;overflow-wrap:anywhere}
table{width:100%;border-collapse:collapse}
th{text-align:left;font-weight:500;color:var(--soft);font-size:.85rem}
th,td{padding:.4rem .6rem;border-bottom:1px solid var(--line)}
td:first-child{overflow-wrap:anywhere}
tbody tr:hover{background:var(--hover)}
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums;color:var(--soft)}
a{color:var(--link);text-decoration:none}
th a{color:inherit}
a:hover{text-decoration:underline}
""".strip().replace("\n", "")


class Key(Enum):
    """What a listing may be sorted by, as `?sort=` names it."""

    NAME = "name"
    SIZE = "size"
    TIME = "time"


class Form(Enum):
    """What a listing may be written as."""

    PAGE = "page"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Order:
    """How a listing is sorted. Directories are first in any case."""

    key: Key = Key.NAME
    descending: bool = False


BY_NAME = Order()
_COLUMNS = ((Key.NAME, "Name", ""), (Key.SIZE, "Size", "n"), (Key.TIME, "Changed (UTC)", "n"))
_MOST_FIELDS = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing. mtime is in seconds since the epoch."""

    name: str
    is_directory: bool
    size: int
    mtime: float


def read_entries(path: bytes) -> list[Entry]:
    """What a directory holds, by name. Hidden and special files are left out. Raises OSError."""
    entries = []
    with os.scandir(path) as found:
        for item in found:
            if item.name.startswith(b"."):
                continue
            try:
                status = item.stat()
            except OSError:
                continue  # a link to nowhere, or gone meanwhile
            is_directory = stat.S_ISDIR(status.st_mode)
            if is_directory or stat.S_ISREG(status.st_mode):
                name = item.name.decode("utf-8", "surrogateescape")
                entries.append(Entry(name, is_directory, status.st_size, status.st_mtime))
    return arrange(entries, BY_NAME)


def parse_query(query: bytes) -> tuple[Form, Order]:
    """What `?json`, `?sort=name|size|time` and `?order=asc|desc` ask for; the rest is ignored."""
    try:
        fields = parse_qs(
            query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        return Form.PAGE, BY_NAME
    named = fields.get("sort", [""])[-1]
    key = Key(named) if named in [key.value for key in Key] else Key.NAME
    descending = fields.get("order", [""])[-1] == "desc"
    return Form.JSON if "json" in fields else Form.PAGE, Order(key, descending)


def arrange(entries: Iterable[Entry], order: Order) -> list[Entry]:
    """Directories first, each group in the order asked for, equal ones by name."""
    result = sorted(entries, key=lambda entry: (entry.name.casefold(), entry.name))
    match order.key:
        case Key.NAME:
            if order.descending:
                result.reverse()
        case Key.SIZE:
            # That of a directory says nothing of what is in it, and is not shown.
            result.sort(
                key=lambda entry: 0 if entry.is_directory else entry.size, reverse=order.descending
            )
        case Key.TIME:
            result.sort(key=lambda entry: entry.mtime, reverse=order.descending)
    result.sort(key=lambda entry: not entry.is_directory)
    return result


def render_json(entries: Iterable[Entry], order: Order = BY_NAME) -> bytes:
    """The entries as JSON: `name`, `type` (file or directory), `size` in bytes (null for a
    directory), `mtime` in seconds since the epoch. What is no UTF-8 in a name is replaced."""
    listed = [
        {
            "name": _shown(entry.name),
            "type": "directory" if entry.is_directory else "file",
            "size": None if entry.is_directory else entry.size,
            "mtime": int(entry.mtime),
        }
        for entry in arrange(entries, order)
    ]
    return json.dumps(listed, ensure_ascii=False).encode() + b"\n"


def render(path: str, entries: Iterable[Entry], order: Order = BY_NAME) -> bytes:
    """The page for a path of the site (decoded, with its slash at the end)."""
    rows = [] if path == "/" else ['<tr><td><a href="../">../</a></td><td></td><td></td></tr>']
    rows += [_row(entry) for entry in arrange(entries, order)]
    columns = "".join(_column(key, label, kind, order) for key, label, kind in _COLUMNS)
    title = html.escape(_shown(path))
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Index of {title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>Index of {title}</h1>\n<table>\n"
        f"<thead><tr>{columns}</tr></thead>\n<tbody>\n{chr(10).join(rows)}\n</tbody>\n"
        "</table>\n</main>\n</body>\n</html>\n"
    )
    return page.encode()


def _column(key: Key, label: str, kind: str, order: Order) -> str:
    """The head of a column: a link that sorts by it, or the other way round."""
    attributes = f' class="{kind}"' if kind else ""
    arrow, turned = "", "asc"
    if key is order.key and order.descending:
        attributes, arrow = attributes + ' aria-sort="descending"', " \u2193"
    elif key is order.key:
        attributes, arrow, turned = attributes + ' aria-sort="ascending"', " \u2191", "desc"
    link = f"?sort={key.value}&amp;order={turned}"
    return f'<th scope="col"{attributes}><a href="{link}">{label}{arrow}</a></th>'


def _row(entry: Entry) -> str:
    slash = "/" if entry.is_directory else ""
    # ./ before it: a name such as "a:b" must not be read as a scheme.
    link = "./" + quote_path(entry.name).decode() + slash
    changed = time.strftime("%Y-%m-%d %H:%M", time.gmtime(entry.mtime))
    size = "" if entry.is_directory else human_size(entry.size)
    return (
        f'<tr><td><a href="{html.escape(link)}">{html.escape(_shown(entry.name))}{slash}</a></td>'
        f'<td class="n">{size}</td><td class="n">{changed}</td></tr>'
    )


def _shown(name: str) -> str:
    """A name as a page can show it: what is no UTF-8 becomes the replacement character."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def human_size(size: int) -> str:
    """`512 B`, `1.5 KiB`, `20 MiB`."""
    if size < 1024:
        return f"{size} B"
    number = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        number /= 1024
        if number < 1024 or unit == "TiB":
            break
    return f"{number:.1f} {unit}" if number < 10 else f"{number:.0f} {unit}"
