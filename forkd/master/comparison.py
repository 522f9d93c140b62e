"""`forkd reload --diff`: what a reload would change, without one."""

from __future__ import annotations

from forkd.config.difference import differences
from forkd.config.plan import plan_reload
from forkd.config.settings import Settings
from forkd.errors import ForkdError, OperationError
from forkd.loop.loop import Loop
from forkd.master.control import Reply
from forkd.master.reading import AwaitedReading, Load


def compare(loop: Loop, load: Load, serving: Settings, reply: Reply) -> None:
    """Read the file as it is now and answer with what differs; with the reasons, not `ok`, where a
    reload would be refused."""

    def done(found: Settings | ForkdError) -> None:
        if isinstance(found, ForkdError):
            reply({"ok": False, "reasons": str(found).splitlines()})
        elif refused := plan_reload(serving, found).refused:
            reply({"ok": False, "reasons": list(refused)})
        else:
            reply({"ok": True, "changes": differences(serving, found)})

    try:
        AwaitedReading(loop, load, done)
    except OperationError as error:
        done(error)
