"""`forkd -t`: whether the workers could start, found out in a child that is thrown away."""

from __future__ import annotations

import os
from collections.abc import Callable

from forkd.config.settings import Settings
from forkd.system.credentials import Identity, resolve


def check_in_child(
    settings: Settings, check: Callable[[Settings, Identity | None], list[str]]
) -> list[str]:
    """Run check in a forked child, as the user that workers would be; the reasons it gives.

    In a child, so that nothing which a check imports or becomes stays here. Raises OperationError.
    """
    identity = None
    if settings.user is not None and os.geteuid() == 0:
        identity = resolve(settings.user, settings.group)
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read_end)
            text = "\n".join(check(settings, identity))
            with open(write_end, "wb") as pipe:
                pipe.write(text.encode("utf-8", "surrogateescape"))
        finally:
            os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as pipe:
        reasons = pipe.read().decode("utf-8", "surrogateescape").splitlines()
    _, status = os.waitpid(pid, 0)
    if status and not reasons:
        reasons = [f"the check ended with status {os.waitstatus_to_exitcode(status)}"]
    return reasons
