"""A generation: one reading of the configuration and what is open for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

from forkd.channel import Channel
from forkd.child import Assignment, Kind, Pool, SpawnPolicy
from forkd.config.address import Address
from forkd.config.settings import CgiRoute, Settings
from forkd.logs.files import LogFiles
from forkd.scoreboard import Slot
from forkd.system import messages
from forkd.system.credentials import Identity, resolve

WORKERS = Pool(Kind.WORKER)
TEMPLATES = Pool(Kind.TEMPLATE)
_ORDER_BUFFER = 1 << 20
"""Orders are some kilobytes each: enough of them may wait while the spawners are busy."""
_MOST_SPAWNERS = 4


@dataclass(frozen=True, slots=True)
class Orders:
    """The socket pair on which workers order programs.

    It belongs to no process of theirs: whoever dies, the orders that wait are not lost.
    """

    workers_end: socket.socket
    spawners_end: socket.socket


@dataclass(slots=True)
class Generation:
    """The settings, and the sockets between the workers and the spawners of this generation."""

    number: int
    settings: Settings
    identity: Identity | None
    workers: int
    """How many there are to be; it changes where there are min and max."""
    orders: dict[SpawnPolicy, Orders] = field(default_factory=dict)

    @classmethod
    def open(cls, number: int, settings: Settings, workers: int | None) -> Generation:
        """workers: how many the generation before has; None where there is none.

        Raises OperationError where the user does not exist any more.
        """
        identity = None
        if settings.user is not None and os.geteuid() == 0:
            identity = resolve(settings.user, settings.group)
        policies = sorted(_policies(settings), key=lambda policy: policy.no_new_privileges)
        orders = {policy: Orders(*messages.message_pair(_ORDER_BUFFER)) for policy in policies}
        wanted = settings.workers
        first = wanted.number(len(os.sched_getaffinity(0)))
        if wanted.max is not None and workers is not None:
            first = min(max(workers, first), wanted.max)  # the load stays what it is
        return cls(number, settings, identity, first, orders)

    def full(self) -> dict[Pool, int]:
        """How many children of each pool this generation is to have."""
        cpus = len(os.sched_getaffinity(0))
        # Starting a program keeps a spawner busy until the kernel has it running: one for each CPU
        # keeps up with the workers.
        spawners = min(cpus, _MOST_SPAWNERS)
        counts = {Pool(Kind.SPAWNER, policy): spawners for policy in self.orders}
        if self.settings.workers.preload:
            counts[TEMPLATES] = 1
        counts[WORKERS] = self.workers
        return counts

    def assignment(
        self,
        pool: Pool,
        slot: Slot,
        channel: Channel,
        listeners: tuple[tuple[Address, socket.socket], ...],
        log_files: LogFiles,
    ) -> Assignment:
        """What a child of this generation is given. Spawners have no listeners."""
        if pool.policy is None:
            orders = {policy: pair.workers_end for policy, pair in self.orders.items()}
        else:
            orders = {pool.policy: self.orders[pool.policy].spawners_end}
            listeners = ()
        return Assignment(
            pool=pool,
            generation=self.number,
            slot=slot,
            settings=self.settings,
            master_pid=os.getpid(),
            channel=channel,
            listeners=listeners,
            log_files=log_files,
            identity=self.identity,
            orders=orders,
        )

    def retire(self) -> None:
        """Let go of the orders: when the last worker is gone too, the spawners see their end."""
        for orders in self.orders.values():
            orders.workers_end.close()
            orders.spawners_end.close()
        self.orders = {}


def _policies(settings: Settings) -> Iterable[SpawnPolicy]:
    routes = (route for site in settings.sites for route in site.routes.values())
    return {SpawnPolicy(route.no_new_privileges) for route in routes if isinstance(route, CgiRoute)}
