"""Two configurations -> what a reload does to the listeners, and what it refuses. Pure.

Workers are not here: a reload replaces all of them, whatever has changed.
"""

from __future__ import annotations

from dataclasses import dataclass

from forkd.config.address import Address, FdAddress
from forkd.config.settings import Settings


@dataclass(frozen=True, slots=True)
class ReloadPlan:
    """What changes between two configurations.

    A listener is kept where its address is the same, even when its options differ. `refused` says
    what cannot change while forkd runs; where it is not empty nothing may be done.
    """

    open: tuple[Address, ...]
    keep: tuple[Address, ...]
    close: tuple[Address, ...]
    refused: tuple[str, ...]


def plan_reload(old: Settings, new: Settings) -> ReloadPlan:
    """The plan that leads from `old` to `new`, in the order of the files."""
    before = [listen.address for listen in old.listen]
    after = [listen.address for listen in new.listen]
    return ReloadPlan(
        open=tuple(address for address in after if address not in before),
        keep=tuple(address for address in after if address in before),
        close=tuple(address for address in before if address not in after),
        refused=tuple(_refused(old, new)),
    )


def _refused(old: Settings, new: Settings) -> list[str]:
    kinds = {listen.address: listen.protocol == "udp" for listen in old.listen}
    changed = [
        f"listen cannot change between datagrams and connections at {listen.address} by a reload "
        f"(take another {'name' if isinstance(listen.address, FdAddress) else 'path'}, "
        "or stop forkd and start it again)"
        for listen in new.listen
        if kinds.get(listen.address, listen.protocol == "udp") != (listen.protocol == "udp")
    ]
    pairs = (("control", old.control, new.control), ("pid_file", old.pid_file, new.pid_file))
    return changed + [
        f"{name} cannot change by a reload: it is {before or 'not set'} "
        f"(keep it, or stop forkd and start it again with {after or 'none'})"
        for name, before, after in pairs
        if before != after
    ]
