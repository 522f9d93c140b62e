"""Where others find this master: its control socket, its PID file and its listeners.

They are made known when the first generation serves, and only then taken from the master before
this one, where there is one. At the end they are given up.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from forkd.loop.loop import Loop
from forkd.master import status
from forkd.master.control import ControlServer
from forkd.master.generation import WORKERS, Generation
from forkd.master.listeners import Listeners
from forkd.master.pidfile import remove_pid_file, write_pid_file
from forkd.master.upgrade import Predecessor

log = logging.getLogger("forkd.master")


class Presence:
    """Use: `announce` once, then `withdraw`, which is right without the first as well."""

    def __init__(
        self,
        loop: Loop,
        config: str,
        listeners: Listeners,
        control: ControlServer,
        predecessor: Predecessor | None,
        on_ready: Callable[[], None],
        on_main_process: Callable[[], None],
    ) -> None:
        """on_ready: whoever started forkd may go on.

        on_main_process: called when the predecessor has told the service manager of this master.
        """
        self._loop = loop
        self._config = config
        self._listeners = listeners
        self._control = control
        self._predecessor = predecessor
        self._on_ready = on_ready
        self._on_main_process = on_main_process

    def announce(self, generation: Generation) -> None:
        """The first generation serves: let everybody know. Raises OperationError."""
        settings = generation.settings
        # First what may fail: until then nothing of a master that is to be replaced is touched.
        if settings.pid_file is not None:
            write_pid_file(settings.pid_file, os.getpid())
        if self._predecessor is not None:
            self._control.take_over()
            self._listeners.keep(settings.listen)
        where = ", ".join(str(entry["address"]) for entry in status.listeners(self._listeners, {}))
        count = generation.full()[WORKERS]
        log.info("%s is served on %s by %d workers", self._config, where, count)
        self._on_ready()
        if self._predecessor is not None:
            self._predecessor.serve_instead(self._loop, self._on_main_process)
            self._predecessor = None

    def withdraw(self, pid_file: Path | None) -> None:
        """This master ends. What another one has taken over meanwhile stays."""
        self._control.close()
        self._listeners.close_all()
        if pid_file is not None:
            remove_pid_file(pid_file, os.getpid())
