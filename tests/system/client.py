"""The control socket without a Daemon and without the cost of a process."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from tests.system.daemon import DEADLINE_S


def ask_control(path: Path, **request: object) -> dict[str, Any]:
    """One request and its answer. Raises OSError where nobody listens."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(DEADLINE_S)
        sock.connect(str(path))
        sock.sendall(json.dumps(request).encode() + b"\n")
        with sock.makefile("rb") as stream:
            answer: dict[str, Any] = json.loads(stream.readline())
    return answer
