"""http.server.CGIHTTPRequestHandler for interpreters without it (it left Python 3.15).

Standard library only, and nothing else of forkd: the class works under any http.server.
"""

from __future__ import annotations

from forkd.compat.handler import CGIHTTPRequestHandler, executable
from forkd.compat.program import nobody_uid

__all__ = ["CGIHTTPRequestHandler", "executable", "nobody_uid"]
