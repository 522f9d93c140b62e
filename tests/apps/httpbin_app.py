"""httpbin. Not validated: its 401 has no Content-Type, and its 204 has one."""

from __future__ import annotations

from httpbin import app as application

__all__ = ["application"]
