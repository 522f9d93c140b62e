"""What a worker would find out at its start, without serving."""

from __future__ import annotations

import os

from forkd.child import reason_of
from forkd.config.policy import cgi_routes
from forkd.config.settings import Settings
from forkd.figures.counting import Figures
from forkd.handlers.applications import import_applications
from forkd.handlers.asking import Listener
from forkd.handlers.factory import Services, build_router
from forkd.handlers.open_files import OpenFiles
from forkd.handlers.programs import NoLauncher
from forkd.loop.crew import Crew
from forkd.loop.loop import Loop
from forkd.spawner.imposing import confinement_of
from forkd.system import landlock
from forkd.system.confinement import refusal, shortcomings_here
from forkd.system.credentials import Identity, assume
from forkd.worker.template import import_for_sharing


class _NoMaster:
    """Handlers need one to be built; nothing is asked of it."""

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
            lambda _route: NoLauncher(),
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
        return _sandboxes_that_cannot_be(settings)
    except Exception as error:
        return [reason_of(error)]


def _sandboxes_that_cannot_be(settings: Settings) -> list[str]:
    """Spawners would refuse to start on this kernel."""
    reasons = []
    for number, pattern, route in cgi_routes(settings):
        if route.sandbox is None or route.sandbox.best_effort:
            continue
        if words := shortcomings_here(confinement_of(route.sandbox)):
            reason = refusal(words, landlock.abi(), os.uname().release)
            reasons.append(f"sites.{number}.routes.{pattern}.{reason}")
    return reasons
