"""A daemon with code that takes too long; tests/apps/slow.py says how."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.system.applications import APPS
from tests.system.daemon import Daemon, started

PAGE = "import slow\n\n\ndef application():\n    slow.held()\n    return 'late'\n"


def slow_route(action: str = "wsgi", **more: str) -> str:
    """A route to tests/apps/slow.py."""
    target = {"wsgi": "slow:application", "handler": "slow:Handler", "pages": "pages"}[action]
    path = {} if action == "pages" else {"path": str(APPS)}
    return json.dumps({action: target} | path | more)


@contextmanager
def slow_site(
    directory: Path, routes: Mapping[str, str] | None = None, workers: str = "{count: 2}"
) -> Iterator[Daemon]:
    """Everything is let go of at the end."""
    pages = directory / "pages"
    pages.mkdir(exist_ok=True)
    (pages / "held.py").write_text(PAGE)
    if routes is None:
        routes = {"/": slow_route(), "/hello": '{respond: "hello\\n"}'}
    with started(directory, routes, workers=workers, env={"SLOW": str(directory)}) as daemon:
        try:
            yield daemon
        finally:
            release(directory)


def release(directory: Path) -> None:
    """Let what waits go on."""
    (directory / "release").touch()
    try:
        os.close(os.open(directory / "release-interpreter", os.O_WRONLY | os.O_NONBLOCK))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENXIO):
            raise  # these two: nobody waits there (fifo(7))
