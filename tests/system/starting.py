"""Starts and commands that a test expects to fail."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.system.daemon import DEADLINE_S, FORKD, environment


def edit(site: Path, old: str, new: str) -> None:
    """Replace a part of forkd.yaml, which must be there."""
    config = site / "forkd.yaml"
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))


def refused(
    site: Path, *arguments: str, prefix: tuple[str, ...] = (), status: int = 1
) -> list[str]:
    """Start forkd, see it fail, give the lines of stderr."""
    result = subprocess.run(
        [*prefix, *FORKD, "-c", str(site / "forkd.yaml"), *arguments],
        env=environment(),
        cwd=site,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert (result.returncode, result.stdout) == (status, ""), result.stderr
    assert "Traceback" not in result.stderr
    # Warnings that come before are for another test; root without user is one.
    return result.stderr.splitlines()
