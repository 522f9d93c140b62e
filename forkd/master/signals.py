"""What a signal to the master means (docs/SIGNALS.md)."""

from __future__ import annotations

import logging
import signal
from typing import Protocol

from forkd.master.control import Reply
from forkd.system.process import has_terminal

log = logging.getLogger("forkd.master")

HANDLED = (
    *(signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH),
)


class Signalled(Protocol):
    """What signals need of the master. Nobody waits for an answer: the lists are empty."""

    @property
    def stopping(self) -> bool: ...

    def reap(self) -> None: ...

    def reload(self, replies: list[Reply]) -> None: ...

    def stop(self, replies: list[Reply]) -> None: ...

    def stop_at_once(self) -> None: ...

    def reopen(self) -> list[str]: ...

    def adjust(self, more: int) -> int: ...

    def upgrade(self, replies: list[Reply]) -> None: ...

    def dismiss(self) -> None: ...


def obey(master: Signalled, number: signal.Signals) -> None:
    """Do what the signal asks for."""
    match number:
        case signal.SIGCHLD:
            master.reap()
        case signal.SIGHUP:
            log.info("SIGHUP: reloading")
            master.reload([])
        case signal.SIGINT if master.stopping:
            log.warning("SIGINT again: stopping at once")
            master.stop_at_once()
        case signal.SIGINT | signal.SIGTERM:
            log.info("%s: draining, then goodbye", number.name)
            master.stop([])
        case signal.SIGQUIT:
            log.info("SIGQUIT: stopping at once")
            master.stop_at_once()
        case signal.SIGUSR1:
            master.reopen()
        case signal.SIGTTIN | signal.SIGTTOU:
            count = master.adjust(1 if number is signal.SIGTTIN else -1)
            log.info("%s: %d workers until the next reload", number.name, count)
        case signal.SIGUSR2:
            log.info("SIGUSR2: upgrading")
            master.upgrade([])
        case signal.SIGWINCH if has_terminal():
            log.debug("SIGWINCH: the terminal has changed its size, that is all")
        case signal.SIGWINCH:
            log.info("SIGWINCH: all workers drain; a reload (SIGHUP) brings them back")
            master.dismiss()
