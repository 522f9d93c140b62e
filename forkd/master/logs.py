"""The master's part in logging: it opens the files, writes its own lines, and reopens them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from forkd.config.settings import Settings
from forkd.errors import OperationError
from forkd.logs.error import start_error_log
from forkd.logs.files import LogFiles

log = logging.getLogger("forkd.master")


class MasterLogs:
    """The open log files, handed to every child that is forked."""

    def __init__(self) -> None:
        self.files = LogFiles()

    def open(self, settings: Settings) -> None:
        """Open what the settings name and is not open yet. Raises OperationError."""
        for target in _targets(settings):
            self.files.open(target)

    def use(self, settings: Settings) -> None:
        """Write to the error log of these settings; close the files that they do not name."""
        error = settings.log.error
        start_error_log(self.files.open(error.file), error.level, "master")
        self.files.keep_only({str(target) for target in _targets(settings)})

    def reopen(self, hand_out: Callable[[Mapping[str, int]], None]) -> list[str]:
        """After a rotation: the files anew, for the children as well. Gives the reasons where that
        fails; then the old files are written on."""
        try:
            files = self.files.reopen()
        except OperationError as error:
            log.error("%s: the old file is written on", error)
            return [str(error)]
        hand_out(files)
        log.info("log files reopened")
        return []


def _targets(settings: Settings) -> list[str | Path]:
    access = settings.log.access
    return [settings.log.error.file, *([access.file] if access is not None else [])]


def warn_of_root(settings: Settings) -> None:
    """Say loudly what root without a `user` means, and that a `user` without root means nothing."""
    if os.geteuid() != 0:
        if settings.user is not None:
            log.warning("`user: %s` has no effect: forkd was not started as root", settings.user)
    elif settings.user is None:
        log.warning(
            "forkd runs as root and no `user` is set: workers and CGI programs run AS ROOT; "
            "set user: www-data (or another) in the configuration"
        )
