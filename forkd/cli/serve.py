"""`forkd serve`: the options as a configuration, so that there is one way to be configured."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

_CGI_DIRECTORIES = ("cgi-bin", "htbin", "ht-bin")
"""Those that `python -m http.server --cgi` runs scripts in, and one that others use."""


def configuration(
    directory: Path,
    *,
    bind: str,
    port: int,
    cgi: bool = False,
    listing: bool = True,
    wsgi: str | None = None,
    dev: bool = False,
) -> str:
    """A configuration as text. JSON is YAML, and needs no thought about quoting.

    wsgi: an application, MODULE:CALLABLE, in the place of the directory's files.
    """
    if wsgi is not None:
        front: dict[str, object] = {"wsgi": wsgi, "path": str(directory)}
    else:
        front = {
            "static": str(directory),
            "index": ["index.html", "index.htm"],
            "listing": listing,
        }
    routes: dict[str, object] = {"/": front}
    if cgi:
        for name in _CGI_DIRECTORIES:
            if (directory / name).is_dir():
                routes[f"/{name}/"] = {"cgi": str(directory / name)}
    host = f"[{bind}]" if ":" in bind else bind
    return json.dumps(
        {
            "root": str(directory),
            "control": control_path(),
            "listen": f"{host}:{port}",
            "workers": {"dev": dev},
            "log": {"error": {"level": "info"}},
            "sites": [{"routes": routes}],
        }
    )


def control_path() -> str:
    """A place of its own for each `forkd serve`: several may run, and DIR may be read-only."""
    directory = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return os.path.join(directory, f"forkd-serve-{os.getuid()}-{os.getpid()}.sock")
