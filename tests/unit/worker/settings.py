"""Settings of workers for tests."""

from __future__ import annotations

import json

from forkd.config.load import load_text
from forkd.config.settings import Workers


def workers(**written: object) -> Workers:
    """The `workers` block as it is written."""
    text = {"workers": written, "sites": [{"routes": {"/": {"respond": "x"}}}]}
    return load_text(json.dumps(text), "/forkd.yaml", {}).workers
