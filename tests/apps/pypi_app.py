"""pypiserver on the directory PYPI_PACKAGES; anybody may upload."""

from __future__ import annotations

import os
from pathlib import Path
from wsgiref.validate import validator

import pypiserver

application = validator(
    pypiserver.app(
        roots=[Path(os.environ["PYPI_PACKAGES"])],
        authenticate=[],
        password_file=".",
        disable_fallback=True,
    )
)
