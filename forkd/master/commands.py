"""What can be asked for on the control socket. Each command answers with `ok`, now or later."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, Protocol

from forkd.master.control import Command, Reply

log = logging.getLogger("forkd.master")

GRACE_S: Final = 10.0
"""From `forkd drain` to the moment when nothing more is accepted: so that load balancers, which ask
every few seconds, have asked twice."""
MOST_GRACE_S: Final = 86400


class Commanded(Protocol):
    """What the commands need of the master."""

    def status(self) -> dict[str, object]:
        """All figures."""

    def reload(self, replies: list[Reply]) -> None:
        """Bring in a new generation; those who wait are told of the outcome."""

    def compare(self, reply: Reply) -> None:
        """Say what a reload would change."""

    def stop(self, replies: list[Reply]) -> None:
        """Drain and leave; those who wait are told when nobody is left."""

    def reopen(self) -> list[str]:
        """Open the log files anew; the reasons why that failed."""

    def drain(self, grace_s: float, replies: list[Reply]) -> None:
        """Go out of service; those who wait are told when no connection is left."""

    def undrain(self) -> None:
        """Come back into service."""

    def stack(self, worker: object, reply: Reply) -> None:
        """Tell what the threads of the worker in a slot are doing."""

    def upgrade(self, replies: list[Reply]) -> None:
        """Start the installed program in this one's place."""

    def inquire(self, name: str, request: dict[str, object], reply: Reply) -> None:
        """Have a question answered by a process of its own."""

    def replay(self, request: dict[str, object], reply: Reply) -> None:
        """Run a recorded request again, for whoever asks."""


def commands(master: Commanded) -> Mapping[str, Command]:
    """The commands by name."""

    def status(_request: dict[str, object], reply: Reply) -> None:
        reply({"ok": True} | master.status())

    def reload(request: dict[str, object], reply: Reply) -> None:
        if request.get("diff"):
            master.compare(reply)
        elif request.get("wait"):
            master.reload([reply])
        else:
            reply({"ok": True})
            master.reload([])

    def stop(_request: dict[str, object], reply: Reply) -> None:
        log.info("stop: draining, then goodbye")
        master.stop([reply])

    def reopen(_request: dict[str, object], reply: Reply) -> None:
        reasons = master.reopen()
        reply({"ok": not reasons, "reasons": reasons})

    def drain(request: dict[str, object], reply: Reply) -> None:
        if request.get("undo"):
            master.undrain()
            reply({"ok": True})
            return
        grace = request.get("grace", GRACE_S)
        if not isinstance(grace, int | float) or not 0 <= grace <= MOST_GRACE_S:
            reasons = [f"grace is a number of seconds from 0 to {MOST_GRACE_S}"]
            reply({"ok": False, "reasons": reasons})
        elif request.get("wait"):
            master.drain(grace, [reply])
        else:
            master.drain(grace, [])
            reply({"ok": True})

    def stack(request: dict[str, object], reply: Reply) -> None:
        master.stack(request.get("worker"), reply)

    def upgrade(_request: dict[str, object], reply: Reply) -> None:
        master.upgrade([reply])

    def explain(request: dict[str, object], reply: Reply) -> None:
        master.inquire("explain", request, reply)

    def records(request: dict[str, object], reply: Reply) -> None:
        master.inquire("records", request, reply)

    def replay(request: dict[str, object], reply: Reply) -> None:
        master.replay(request, reply)

    return {
        "status": status,
        "reload": reload,
        "stop": stop,
        "reopen": reopen,
        "drain": drain,
        "stack": stack,
        "upgrade": upgrade,
        "explain": explain,
        "records": records,
        "replay": replay,
    }
