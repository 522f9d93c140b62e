"""Bringing generations in: the start and every reload are the same transaction.

Open what is new, send a canary, fill up, commit; or undo everything at the first failure. See
CONTRACT.md, Reload.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from forkd.config.plan import plan_reload
from forkd.config.settings import Settings
from forkd.errors import ForkdError, OperationError
from forkd.loop.loop import Loop
from forkd.master.control import Reply
from forkd.master.failures import Failures
from forkd.master.generation import Generation
from forkd.master.listeners import Listeners
from forkd.master.logs import MasterLogs
from forkd.master.reading import AwaitedReading, Load
from forkd.master.status import LastReload
from forkd.master.succession import Incoming, Succession

log = logging.getLogger("forkd.master")

_HANDOVER_S = 1.0


@dataclass(frozen=True, slots=True)
class Started:
    """A reload whose file is being read."""

    live: Generation
    reading: AwaitedReading
    replies: list[Reply]


@dataclass(frozen=True, slots=True)
class Handover:
    """A generation that serves while the one before it may still accept connections."""

    replies: list[Reply]
    deadline: float
    """A worker that hangs does not hold up those who wait for the reload."""


class Reloader:
    """One transaction at a time. Those who ask for a reload meanwhile are served by one more."""

    def __init__(
        self,
        loop: Loop,
        config: str,
        load: Load,
        succession: Succession,
        listeners: Listeners,
        logs: MasterLogs,
        failures: Failures,
        begun: Callable[[], None],
        ended: Callable[[str], None],
    ) -> None:
        """`begun` is called when a generation is on its way in; `ended` when a transaction is over,
        with "" or the first reason it failed."""
        self._loop = loop
        self._config = config
        self._load = load
        self._succession = succession
        self._listeners = listeners
        self._logs = logs
        self._failures = failures
        self._begun = begun
        self._ended = ended
        self._started: Started | None = None
        self._handover: Handover | None = None
        self._again: list[Reply] | None = None
        self.last: LastReload | None = None

    @property
    def busy(self) -> bool:
        under_way = (self._started, self._succession.incoming, self._handover)
        return any(step is not None for step in under_way)

    @property
    def deadline(self) -> float | None:
        """When a handover is over whoever still accepts."""
        return self._handover.deadline if self._handover is not None else None

    def open(self, settings: Settings, replies: list[Reply]) -> None:
        """Open all that a new generation needs, and send its canary in.

        Raises OperationError, with nothing left open.
        """
        live = self._succession.live
        generation = Generation.open(
            self._succession.next_number(), settings, live.workers if live else None
        )
        try:
            opened = self._listeners.open(settings.listen, generation.identity)
        except OperationError:
            generation.retire()
            raise
        self._succession.bring_in(generation, opened, replies)

    def wait(self, replies: list[Reply]) -> None:
        """Reload when what is under way is over: the file is then read anew."""
        self._again = (self._again or []) + replies

    def take_waiting(self) -> list[Reply] | None:
        """Those who asked meanwhile; None where nobody did."""
        waiting, self._again = self._again, None
        return waiting

    def begin(self, live: Generation, replies: list[Reply]) -> None:
        """Read the file, in a process of its own, and then bring in what it says."""
        try:
            reading = AwaitedReading(self._loop, self._load, self._on_read)
        except OperationError as error:
            self._fail(live, [str(error)], replies)
        else:
            self._started = Started(live, reading, replies)

    def _on_read(self, found: Settings | ForkdError) -> None:
        assert self._started is not None
        live, replies = self._started.live, self._started.replies
        self._started = None
        if isinstance(found, ForkdError):
            self._fail(live, str(found).splitlines(), replies)
        else:
            self._bring_in(live, found, replies)

    def _bring_in(self, live: Generation, settings: Settings, replies: list[Reply]) -> None:
        try:
            if refused := plan_reload(live.settings, settings).refused:
                raise OperationError("\n".join(refused))
            self._logs.open(settings)
            self.open(settings, replies)
        except ForkdError as error:
            self._fail(live, str(error).splitlines(), replies)
        else:
            self._begun()

    def commit(self, now: float) -> tuple[Generation | None, Incoming]:
        """The new generation is complete: it serves, and the old one may go."""
        old, incoming = self._succession.succeed()
        if old is not None:
            self._failures.forget_generation(old.number)
            closed = plan_reload(old.settings, incoming.generation.settings).close
            self._listeners.close(closed)
            self._logs.use(incoming.generation.settings)
        self._handover = Handover(incoming.replies, now + _HANDOVER_S)
        return old, incoming

    def hand_over(self, first: bool) -> None:
        """The new generation serves alone: only now is it true that the reload is done."""
        live, handover = self._succession.live, self._handover
        assert live is not None
        assert handover is not None
        self._handover = None
        if not first:
            self.last = LastReload(time.time(), True)
            log.info("reloaded %s: generation %d serves", self._config, live.number)
        for reply in handover.replies:
            reply({"ok": True, "generation": live.number})
        self._ended("")

    def abandon(self, reasons: list[str]) -> bool:
        """The new generation has failed. True where an old one serves on as if nothing had been."""
        incoming = self._succession.give_up()
        self._failures.forget_generation(incoming.generation.number)
        live = self._succession.live
        if live is not None:
            # At the start they stay open until the master has left: where the service manager keeps
            # them, the next start may succeed.
            self._listeners.close(incoming.opened)
            self._fail(live, reasons, incoming.replies)
        return live is not None

    def refuse_all(self, reason: str) -> None:
        """Nobody who waits for a reload will see it."""
        if self._handover is not None and self._succession.live is not None:
            # That one is done, but for the last workers of the old generation.
            for reply in self._handover.replies:
                reply({"ok": True, "generation": self._succession.live.number})
        waiting = list(self._again or [])
        if self._succession.incoming is not None:
            waiting += self._succession.incoming.replies
        if self._started is not None:
            self._started.reading.give_up()
            waiting += self._started.replies
        self._started = self._handover = self._again = None
        for reply in waiting:
            reply({"ok": False, "reasons": [reason]})

    def _fail(self, live: Generation, reasons: list[str], replies: list[Reply]) -> None:
        self._logs.use(live.settings)
        self.last = LastReload(time.time(), False, tuple(reasons))
        for reason in reasons:
            log.error("reload failed: %s", reason)
        log.error("reload failed: generation %d goes on serving", live.number)
        for reply in replies:
            reply({"ok": False, "reasons": reasons})
        self._ended(reasons[0])
