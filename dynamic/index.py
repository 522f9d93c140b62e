"""The pages beside this file, as a list. It answers for the directory, in the form of WSGI."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Pages</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 1.1em/1.5 sans-serif; max-width: 36em; margin: 3em auto; padding: 0 1em }}
</style>
<h1>Pages</h1>
<ul>
{items}
</ul>
</html>
"""


def application(
    _environ: dict[str, Any], start_response: Callable[..., object]
) -> Iterable[str | bytes]:
    files = sorted(Path(__file__).parent.glob("*.py"))
    names = [file.name for file in files if not file.name.startswith(".")]
    items = "\n".join(f'<li><a href="{quote(name)}">{escape(name)}</a></li>' for name in names)
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [PAGE.format(items=items)]
