"""For tests of programs that forkd serves: a daemon for as long as a block lasts.

with forkd.testing.serving({"/": {"wsgi": "myapp:application"}}) as server:
    response = urllib.request.urlopen(server.url + "/items")
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from forkd.embedding import Server


@contextmanager
def serving(
    routes: Mapping[str, object], directory: str | os.PathLike[str] = ".", **settings: object
) -> Iterator[Server]:
    """A daemon with these routes on a port of its own on 127.0.0.1.

    One worker, no access log, unless `settings` say otherwise; they are the other blocks of a
    configuration. Relative paths begin in `directory`. Raises OperationError where it cannot start.
    """
    configuration = {
        "listen": "127.0.0.1:0",
        "workers": {"count": 1},
        "log": {"access": "off"},
        "sites": [{"routes": dict(routes)}],
        **settings,
    }
    with Server(configuration, directory) as server:
        yield server
