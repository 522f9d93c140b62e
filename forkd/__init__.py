"""forkd: a pre-fork, multi-worker server daemon for Linux."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forkd.embedding import Server

__all__ = ["Server", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Server is imported when it is first asked for: the daemon itself has no use for it."""
    if name == "Server":
        from forkd.embedding import Server

        return Server
    raise AttributeError(f"module 'forkd' has no attribute {name!r}")
