"""The time of this machine, as a page. Served by a route `/dynamic/: {pages: dynamic}`."""

from __future__ import annotations

import time

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>The time</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 1.1em/1.5 sans-serif; max-width: 36em; margin: 3em auto; padding: 0 1em }}
time {{ display: block; font-size: 3em; font-variant-numeric: tabular-nums }}
</style>
<h1>The time of this machine</h1>
<p><time datetime="{machine}">{clock}</time> {day}</p>
<p>Made by <code>application()</code> in <code>mytime.py</code>, which is imported again when it
changes. <a href=".">All pages</a></p>
</html>
"""


def application() -> str:
    now = time.localtime()
    return PAGE.format(
        machine=time.strftime("%Y-%m-%dT%H:%M:%S%z", now),
        clock=time.strftime("%H:%M:%S", now),
        day=time.strftime("%A, %d %B %Y", now),
    )
