"""A headless Chromium that opens one page: its document, its picture, and what it complains of."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.system.tools import need

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--no-proxy-server", "--disable-dev-shm-usage", "--enable-logging=stderr", "--v=0"),
)

TIMEOUT_S = 60.0
"""A cold start on a busy machine. Otherwise it takes 1 to 2 seconds."""

_CONSOLE = re.compile(r"CONSOLE[:(]\d+\)?\] (.*)")


@dataclass(frozen=True, slots=True)
class Visit:
    """The document after scripts, as HTML, and the lines of the console."""

    document: str
    console: list[str]


def _run(profile: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
    result = subprocess.run(
        [need("chromium"), *FLAGS, f"--user-data-dir={profile}", *arguments],
        # Its own files go nowhere but below the profile.
        env=kept | {"HOME": str(profile), "XDG_RUNTIME_DIR": str(profile)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert result.returncode == 0, result.stderr
    return result


def visit(url: str, profile: Path) -> Visit:
    result = _run(profile, "--dump-dom", url)
    return Visit(result.stdout, _CONSOLE.findall(result.stderr))


def screenshot(url: str, profile: Path, path: Path) -> bytes:
    """A PNG of 1000 by 800 pixels, also left in `path`."""
    _run(profile, f"--screenshot={path}", "--window-size=1000,800", url)
    return path.read_bytes()
