"""A master put together of its own parts and of stand-ins for the world outside.

It is for the tests of those parts that carry out what events lead to. Children are there without
processes: they say what a test has them say, and what they are told goes into one journal with what
the service manager hears and what those who have asked are answered. So a test can tell in which
order things happen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forkd.channel import Channel, Word
from forkd.child import Assignment, Pool
from forkd.config.load import load_text
from forkd.config.settings import Settings
from forkd.errors import ForkdError
from forkd.master.consequences import Consequences
from forkd.master.control import ControlServer, Reply
from forkd.master.course import Course, Mode
from forkd.master.ending import Ending
from forkd.master.failures import Failures
from forkd.master.figures import Figures
from forkd.master.lifecycle import State
from forkd.master.outage import Outage
from forkd.master.presence import Presence
from forkd.master.renewal import Renewal
from forkd.master.rounds import Rounds
from forkd.master.service import ServiceManager, Vitals
from forkd.master.status import open_connections
from forkd.master.steps import Steps
from forkd.master.succession import Succession
from forkd.scoreboard import Slot
from forkd.system.systemd import Given
from tests.unit.master.stand_ins import (
    Heirs,
    Journal,
    Logs,
    Manager,
    NotedLoop,
    Nursery,
    Queue,
    Readings,
)


class Assembled:
    """As Master puts it together. Two workers, unless `more` says otherwise."""

    # Named here, since those above them in `__init__` call them.
    consequences: Consequences
    ending: Ending
    renewal: Renewal

    def __init__(self, directory: Path, more: str = "") -> None:
        """more: lines of the configuration."""
        self.directory = directory
        self.journal: Journal = []
        self.loop = loop = NotedLoop(self.journal)
        self.settings = settings = self.configured(more)
        self.course = course = Course()
        self.failures = failures = Failures()
        self.succession = succession = Succession()
        self.listeners = listeners = Queue([])
        self.systemd = Manager(self.journal)
        given = Given(self.systemd)
        self.manager = ServiceManager(loop, given, self._vitals, speaks=True)
        self.reloader = Readings(
            self.journal,
            loop,
            "forkd.yaml",
            self._not_read,
            succession,
            listeners,
            Logs(),
            failures,
            begun=self._soon,
            ended=lambda reason: self.renewal.reload_ended(reason),
        )
        self.supervisor = supervisor = Nursery(
            self.journal,
            loop,
            assign=self._assign,
            hang_timeout_s=lambda number: succession[number].settings.workers.hang_timeout,
            died=lambda death: self.consequences.died(death, loop.now),
            came_up=lambda child: self.consequences.came_up(child),
            source_changed=lambda child, path: self.renewal.source_changed(child, path),
            changed=self._soon,
            stranger_died=lambda _pid, _status: None,
            answer=lambda _topic: b"",
        )
        board = supervisor.scoreboard
        self.outage = Outage(loop, board, lambda: open_connections(supervisor))
        self.figures = Figures("forkd.yaml", supervisor, succession, listeners, self.outage)
        self.upgrades = Heirs(
            self.journal,
            loop,
            listeners,
            {},
            in_service=lambda: self.outage.in_service,
            replaced=lambda pid: self.ending.give_way(pid),
        )
        self.ending = Ending(
            loop,
            course,
            succession,
            supervisor,
            listeners,
            self.reloader,
            self.upgrades,
            self.manager,
            self._soon,
        )
        self.renewal = Renewal(
            loop,
            course,
            succession,
            self.reloader,
            self.upgrades,
            self.ending,
            self.manager,
            self.figures,
            self._soon,
        )
        self.consequences = Consequences(
            course, succession, supervisor, failures, self.figures, self.renewal
        )
        self.control = ControlServer(loop, settings.control, {}, lambda _pid: True)
        self.presence = Presence(
            loop,
            "forkd.yaml",
            listeners,
            self.control,
            None,
            lambda: self.journal.append("whoever started forkd: goes on"),
            lambda: None,
        )
        self.steps = Steps(
            loop,
            course,
            succession,
            supervisor,
            self.reloader,
            failures,
            self.consequences,
            self.ending,
            self.presence,
        )
        self.rounds = Rounds(
            loop,
            course,
            succession,
            supervisor,
            listeners,
            self.outage,
            self.manager,
            self.figures,
            self.steps.take,
        )
        self.reloader.open(settings, [])

    def configured(self, more: str = "") -> Settings:
        """What a reader finds in the file."""
        workers = "" if "workers:" in more else "workers: {count: 2}\n"
        text = (
            f"control: {self.directory}/control\n"
            f"listen: ['unix:{self.directory}/listen']\n"
            "sites: [{routes: {/: {respond: x}}}]\n"
        )
        return load_text(text + workers + more, str(self.directory / "forkd.yaml"), {})

    def begin(self) -> None:
        """Take the first step: the canary is forked."""
        self.steps.take()
        self.loop.settle()

    def serve(self) -> None:
        """Begin, and let all come up. What has happened so far is forgotten."""
        self.begin()
        self.all_come_up()
        self.journal.clear()

    def all_come_up(self) -> None:
        """Every child that starts is ready, and those that are forked for that too."""
        while starting := self.of_state(State.STARTING):
            self.supervisor.say(starting[0], Word.READY)

    def mode(self) -> Mode:
        """Which part of its life it is in."""
        return self.course.mode

    def of_state(self, state: State) -> list[int]:
        """Slots of the children in this state."""
        return [slot for slot, child in self.supervisor.children.items() if child.state is state]

    def of_generation(self, number: int) -> list[int]:
        """Slots of its children."""
        children = self.supervisor.children
        return [slot for slot, child in children.items() if child.generation == number]

    def reload(self, *askers: str) -> None:
        """Somebody asks for a reload."""
        self.renewal.reload([self.reply(asker) for asker in askers])
        self.loop.settle()

    def read(self, found: Settings | ForkdError | None = None) -> None:
        """The reader is done with it; None: nothing has changed in the file."""
        self.reloader.found(self.settings if found is None else found)
        self.loop.settle()

    def stop(self, *askers: str) -> None:
        """Somebody asks for a stop."""
        self.ending.begin([self.reply(asker) for asker in askers])
        self.loop.settle()

    def reply(self, asker: str) -> Reply:
        """Notes what the asker is answered."""

        def note(answer: dict[str, object]) -> None:
            reasons = answer.get("reasons")
            said = "ok" if answer["ok"] else "; ".join(map(str, _listed(reasons)))
            self.journal.append(f"{asker}: {said}")

        return note

    def noted(self, *beginnings: str) -> Journal:
        """What the journal has of these, in its order; then it is empty."""
        found = [line for line in self.journal if line.startswith(beginnings or "")]
        self.journal.clear()
        return found

    def close(self) -> None:
        """Let go of all that is open."""
        self.course.enter(Mode.STOPPING)
        self.succession.retire_all()
        self.supervisor.close()
        self.presence.withdraw(self.settings.pid_file)
        self.loop.close()

    def _soon(self) -> None:
        self.loop.call_soon(self.steps.take)

    def _assign(self, number: int, pool: Pool, slot: Slot, channel: Channel) -> Assignment:
        generation = self.succession[number]
        return generation.assignment(pool, slot, channel, (), Logs().files)

    def _vitals(self) -> Vitals:
        return Vitals(wanted=False, last_tick=0.0, patience_s=1.0)

    @staticmethod
    def _not_read() -> Settings:
        raise AssertionError("no process reads here")


@contextmanager
def assembled(directory: Path, more: str = "") -> Iterator[Assembled]:
    """A master that has not taken its first step; more: lines of the configuration."""
    made = Assembled(directory, more)
    try:
        yield made
    finally:
        made.close()


def _listed(reasons: object) -> list[object]:
    return reasons if isinstance(reasons, list) else [reasons]
