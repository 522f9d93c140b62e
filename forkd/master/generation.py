"""A generation: one reading of the configuration and what is open for it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from forkd.channel import Channel
from forkd.child import Assignment, Kind, Pool
from forkd.config.address import Address
from forkd.config.exposed import exposed_programs
from forkd.config.policy import RouteKey, SpawnPolicy, cgi_routes, policies
from forkd.config.settings import Settings
from forkd.errors import OperationError
from forkd.logs.files import LogFiles
from forkd.master import counting
from forkd.scoreboard import Slot
from forkd.system import cgroups, messages
from forkd.system.credentials import Identity, current_user, resolve

log = logging.getLogger("forkd.master")

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
    policies: Mapping[RouteKey, SpawnPolicy] = field(default_factory=dict)
    identities: Mapping[SpawnPolicy, Identity | None] = field(default_factory=dict)
    """Whom the spawners of each policy become; None: stay who the master is."""
    orders: dict[SpawnPolicy, Orders] = field(default_factory=dict)

    @classmethod
    def open(cls, number: int, settings: Settings, workers: int | None) -> Generation:
        """workers: how many the generation before has; None where there is none.

        Raises OperationError where a user does not exist any more, or cannot be become.
        """
        for line in exposed_programs(settings):
            log.warning("%s", line)
        identity = None
        if settings.user is not None and os.geteuid() == 0:
            identity = resolve(settings.user, settings.group)
        of_routes = policies(settings)
        identities = _identities(settings, of_routes, identity)
        counting.prepare(cgroups.delegated(), settings, of_routes, identities)
        orders = {policy: Orders(*messages.message_pair(_ORDER_BUFFER)) for policy in identities}
        wanted = settings.workers
        first = wanted.number(len(os.sched_getaffinity(0)))
        if wanted.max is not None and workers is not None:
            first = min(max(workers, first), wanted.max)  # the load stays what it is
        return cls(number, settings, identity, first, of_routes, identities, orders)

    def full(self) -> dict[Pool, int]:
        """How many children of each pool this generation is to have."""
        cpus = len(os.sched_getaffinity(0))
        # Starting a program keeps a spawner busy until the kernel has it running: one for each CPU
        # keeps up with the workers.
        spawners = min(cpus, _MOST_SPAWNERS)
        counts = {
            # One alone can count.
            Pool(Kind.SPAWNER, policy): spawners if policy.max_concurrent is None else 1
            for policy in self.orders
        }
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
        identity = self.identity
        if pool.policy is None:
            orders = {policy: pair.workers_end for policy, pair in self.orders.items()}
        else:
            orders = {pool.policy: self.orders[pool.policy].spawners_end}
            listeners = ()
            identity = self.identities[pool.policy]
        return Assignment(
            pool=pool,
            generation=self.number,
            slot=slot,
            settings=self.settings,
            master_pid=os.getpid(),
            channel=channel,
            listeners=listeners,
            log_files=log_files,
            identity=identity,
            orders=orders,
            policies=self.policies,
        )

    def retire(self) -> None:
        """Let go of the orders: when the last worker is gone too, the spawners see their end."""
        for orders in self.orders.values():
            orders.workers_end.close()
            orders.spawners_end.close()
        self.orders = {}


def _identities(
    settings: Settings, of_routes: Mapping[RouteKey, SpawnPolicy], workers: Identity | None
) -> dict[SpawnPolicy, Identity | None]:
    """Whom the spawners of each policy become, in the order of the file."""
    identities: dict[SpawnPolicy, Identity | None] = {}
    for number, pattern, _ in cgi_routes(settings):
        policy = of_routes[number, pattern]
        if policy.user is None:
            identities[policy] = workers
        elif policy not in identities:
            identities[policy] = _program_user(policy, f"sites.{number}.routes.{pattern}")
    return identities


def _program_user(policy: SpawnPolicy, key: str) -> Identity | None:
    assert policy.user is not None
    identity = resolve(policy.user, policy.group)
    if os.geteuid() == 0:
        return identity
    if identity.uid == os.geteuid() and identity.gid == os.getegid():
        return None
    raise OperationError(
        f"{key}.user: programs can run as {policy.user} only where forkd is started as root, "
        f"and it was started by {current_user()} (leave the key out, or start it as root)"
    )
