"""Programs that tests need and a machine may lack."""

from __future__ import annotations

import os
import shutil

import pytest


def need(tool: str) -> str:
    """The path of a program. Without it the test is skipped, and in CI fails: CI must have it."""
    path = shutil.which(tool)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{tool} is missing; CI must have it")
        pytest.skip(f"{tool} is not installed")
    return path
