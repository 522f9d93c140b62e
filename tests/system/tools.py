"""Programs that tests need and a machine may lack."""

from __future__ import annotations

import importlib
import os
import shutil
from typing import Any

import pytest


def need(tool: str) -> str:
    """The path of a program. Without it the test is skipped, and in CI fails: CI must have it."""
    path = shutil.which(tool)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{tool} is missing; CI must have it")
        pytest.skip(f"{tool} is not installed")
    return path


def need_module(name: str) -> Any:
    """A package of the extra `test` that a machine may lack, by the rule of need()."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        if os.environ.get("CI"):
            pytest.fail(f"the package {name} is missing; CI must have it")
        pytest.skip(f"the package {name} is not installed")
