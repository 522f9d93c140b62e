"""What the master knows of itself and its children, for those who ask."""

from __future__ import annotations

import time
from collections.abc import Mapping

from forkd.child import Kind
from forkd.config.address import Address
from forkd.master import metrics, status
from forkd.master.death import Death
from forkd.master.history import History
from forkd.master.lifecycle import Key
from forkd.master.listeners import Listeners
from forkd.master.outage import Outage
from forkd.master.route_figures import RouteTotals
from forkd.master.service import Vitals, vitals
from forkd.master.status import LastReload
from forkd.master.succession import Succession
from forkd.master.supervisor import Supervisor
from forkd.scoreboard import Service


class Figures:
    """Puts together what the scoreboard, the table of children and the kernel say, and remembers
    what those have done who are gone."""

    def __init__(
        self,
        config: str,
        supervisor: Supervisor,
        succession: Succession,
        listeners: Listeners,
        outage: Outage,
    ) -> None:
        self._config = config
        self._supervisor = supervisor
        self._succession = succession
        self._listeners = listeners
        self._outage = outage
        self._started_at = time.time()
        self._gone = status.Totals()
        self._routes = RouteTotals(supervisor, lambda number: succession[number].settings)
        self.history = History()

    def bury(self, death: Death) -> None:
        """A child is gone; its slot still holds its figures."""
        if not death.was_asked:
            self.history.note_death(death, time.monotonic())
        if death.child.pool.kind is Kind.WORKER:
            self._gone.add(self._supervisor.slot(death.child).read())
            self._routes.bury(death.child)

    def status(self, state: str, last_reload: LastReload | None) -> dict[str, object]:
        """What `forkd status` is told."""
        return (
            {"state": state, "generation": self._generation()}
            | status.about(self._config, self._started_at, last_reload)
            | status.figures(
                self._supervisor, self._gone, self._listeners, self._protocols(), time.monotonic()
            )
            | self._routes.now().for_status()
            | self.history.figures()
        )

    def metrics(self) -> dict[str, object]:
        """What a worker is told that makes metrics of it."""
        return metrics.about(self._started_at, self._generation()) | metrics.figures(
            self._supervisor,
            self._gone,
            self._routes.now(),
            self.history,
            self._listeners,
            self._protocols(),
            time.monotonic(),
        )

    def summary(self) -> str:
        """One line for the service manager."""
        out = "" if self._outage.service is Service.IN else "Out of service: "
        return out + status.summary(self._supervisor, self._gone)

    def vitals(self, wanted: Mapping[Key, int]) -> Vitals:
        """Whether the workers get on; wanted: how many there should be."""
        supervisor = self._supervisor
        return vitals(
            supervisor.children.values(),
            lambda child: supervisor.slot(child).read().tick,
            wanted,
            self._succession.settings.workers,
        )

    def _generation(self) -> int:
        return self._succession.live.number if self._succession.live is not None else 0

    def _protocols(self) -> dict[Address, str]:
        """What is spoken on each listener."""
        listens = self._succession.settings.listen
        return {listen.address: listen.protocol for listen in listens}
