"""Programs in sandboxes, for tests: real ones, as every user that can be had here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from forkd.system import seccomp
from forkd.system.confinement import Confinement
from forkd.system.landlock import abi
from tests.unit.system.sandbox_launcher import NOBODY

# One that every user can reach, where there is one: that of the tests may be in a home directory.
PYTHON = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin") or sys.executable
INTERPRETER = () if PYTHON.startswith(("/usr/", "/bin/")) else (sys.prefix, sys.base_prefix)
"""What it is to be given beside the defaults."""

AS_NOBODY = [False, True] if os.geteuid() == 0 else [False]


def need_kernel(least_abi: int) -> None:
    """Without it the test is skipped, and in CI fails: CI must have it."""
    if abi() >= least_abi and seccomp.available():
        return
    reason = f"needs a kernel with Landlock ABI {least_abi}, and seccomp filters"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; CI must have it")
    pytest.skip(reason)


@dataclass(frozen=True)
class Place:
    """Two directories of the programs' user: what it may do where is for the sandbox to say."""

    given: Path
    other: Path
    nobody: bool

    def attempts(self, confinement: Confinement | None, *expressions: str) -> list[str]:
        """What becomes of expressions in a program (see sandbox_launcher.PROGRAM); without a
        confinement, in one that is in no sandbox."""
        outcomes: list[list[str]] = self.steps(confinement, [{"attempt": expressions}])
        return outcomes[0]

    def steps(self, confinement: Confinement | None, steps: list[dict[str, Any]]) -> Any:
        result = self.launch(confinement, steps)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def launch(
        self, confinement: Confinement | None, steps: list[dict[str, Any]]
    ) -> subprocess.CompletedProcess[str]:
        given = None
        if confinement is not None:
            given = asdict(confinement)
            given["read"] = (*confinement.read, *INTERPRETER)
        job = {
            "python": PYTHON,
            "confinement": given,
            "nobody": self.nobody,
            "steps": steps,
        }
        command = [sys.executable, "-m", "tests.unit.system.sandbox_launcher", json.dumps(job)]
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )


def make_place(nobody: bool) -> Iterator[Place]:
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    place = Place(root / "given", root / "other", nobody)
    for directory in (place.given, place.other):
        (directory / "inner").mkdir(parents=True)
        (directory / "file").write_text("content")
        program = directory / "program"
        program.write_text("#!/bin/sh\nexit 0\n")
        program.chmod(0o755)
    if nobody:
        for path in (place.given, place.other, *root.glob("*/*")):
            os.chown(path, NOBODY, NOBODY)
    yield place
    shutil.rmtree(root)
