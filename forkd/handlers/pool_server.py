"""What request handler classes find as `self.server`, as far as it is alike for all."""

from __future__ import annotations

from typing import NoReturn


class PoolServer:
    """Stands for the server of a class. Attributes that are set on it stay while the worker does.

    The listener is the pool's: what would run a server or end it raises RuntimeError.
    """

    timeout: float | None = None
    allow_reuse_address = True

    def serve_forever(self, poll_interval: float = 0.5) -> NoReturn:  # noqa: ARG002 as in socketserver
        _unavailable("serve_forever")

    def handle_request(self) -> NoReturn:
        _unavailable("handle_request")

    def shutdown(self) -> NoReturn:
        _unavailable("shutdown")

    def server_close(self) -> NoReturn:
        _unavailable("server_close")

    def fileno(self) -> NoReturn:
        _unavailable("fileno")


def _unavailable(name: str) -> NoReturn:
    raise RuntimeError(
        f"server.{name}() is not available: the listener belongs to forkd and its workers "
        "(forkd stop ends it)"
    )
