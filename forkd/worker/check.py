"""What a worker would find out at its start, without serving."""

from __future__ import annotations

import os

from forkd.child import reason_of
from forkd.config.settings import Settings
from forkd.figures.counting import Figures
from forkd.handlers.applications import import_applications
from forkd.handlers.asking import Listener
from forkd.handlers.factory import Services, build_router
from forkd.handlers.open_files import OpenFiles
from forkd.handlers.programs import Program, Running, Watcher
from forkd.loop.crew import Crew
from forkd.loop.loop import Loop
from forkd.system.credentials import Identity, assume
from forkd.worker.template import import_for_sharing


class _NoLauncher:
    """Handlers need one to be built; nothing is asked of it."""

    def launch(
        self,
        program: Program,  # noqa: ARG002 what every launcher is given
        descriptors: tuple[int, int, int],  # noqa: ARG002
        watcher: Watcher,  # noqa: ARG002
    ) -> Running:
        raise AssertionError("a check starts no programs")


class _NoMaster:
    """The same."""

    def ask(self, listener: Listener) -> None:  # noqa: ARG002
        raise AssertionError("a check asks nothing")

    def forget(self, listener: Listener) -> None: ...


def _silent(_text: str) -> None:
    """Whoever waits for the check sees what it waits for."""


def check_as_worker(settings: Settings, identity: Identity | None) -> list[str]:
    """Build all handlers as the workers' user; the reasons why that fails, none where it works."""
    try:
        if identity is not None:
            assume(identity)
        loop = Loop()
        files, crew = OpenFiles(loop.timers), Crew(loop, settings.workers.threads)
        services = Services(
            lambda _route: _NoLauncher(),
            os.environ,
            files,
            crew,
            master=_NoMaster(),
            meter=_NoMaster(),
            figures=Figures(),
            is_leaving=lambda: False,
        )
        share = settings.workers.preload
        applications = (import_for_sharing if share else import_applications)(settings, _silent)
        build_router(settings, applications, services)
    except Exception as error:
        return [reason_of(error)]
    return []
