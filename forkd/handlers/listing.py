"""The page that lists a directory."""

from __future__ import annotations

import html
import os
import stat
import time
from dataclasses import dataclass

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
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
""".strip().replace("\n", "")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing. mtime is in seconds since the epoch."""

    name: str
    is_directory: bool
    size: int
    mtime: float


def read_entries(path: bytes) -> list[Entry]:
    """What a directory holds: directories first, then by name. Hidden and special files are left
    out. Raises OSError."""
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
    entries.sort(key=lambda entry: (not entry.is_directory, entry.name.casefold(), entry.name))
    return entries


def render(path: str, entries: list[Entry]) -> bytes:
    """The page for a path of the site (decoded, with its slash at the end)."""
    rows = [] if path == "/" else ['<tr><td><a href="../">../</a></td><td></td><td></td></tr>']
    rows += [_row(entry) for entry in entries]
    title = html.escape(_shown(path))
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Index of {title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>Index of {title}</h1>\n<table>\n"
        '<thead><tr><th>Name</th><th class="n">Size</th><th class="n">Changed (UTC)</th></tr>'
        f"</thead>\n<tbody>\n{chr(10).join(rows)}\n</tbody>\n</table>\n</main>\n</body>\n</html>\n"
    )
    return page.encode()


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
