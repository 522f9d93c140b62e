"""A worker: builds the handlers, accepts, answers, drains, leaves."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import socket

from forkd.channel import Word
from forkd.child import Assignment, SpawnPolicy, adopt_log_files, enter, reason_of, refuse_to_start
from forkd.handlers.base import Peer
from forkd.handlers.factory import Services, build_router
from forkd.handlers.open_files import OpenFiles
from forkd.handlers.programs import Launcher
from forkd.logs.access import FLUSH_AFTER_S, FORMATS, AccessLog
from forkd.loop.loop import Loop
from forkd.loop.signals import Signals
from forkd.loop.timers import Timer
from forkd.server.context import Server
from forkd.server.http import HttpConnection
from forkd.server.listener import Accepted, Listener
from forkd.spawner.client import SpawnerClient
from forkd.system.process import raise_descriptor_limit
from forkd.worker.report import Report

log = logging.getLogger("forkd.worker")

_STOP_IDLE_S = 0.5
"""At a stop nobody takes over, so a connection without a request is not kept for long."""


class Worker:
    """The parts of a worker and how they leave together."""

    def __init__(self, assignment: Assignment) -> None:
        settings = assignment.settings
        self._assignment = assignment
        self._settings = settings
        raise_descriptor_limit()
        self.loop = Loop()
        self._launchers: dict[SpawnPolicy, SpawnerClient] = {
            policy: SpawnerClient(self.loop, orders, self._on_idle)
            for policy, orders in assignment.orders.items()
        }
        services = Services(self._launcher, os.environ, OpenFiles(self.loop.timers))
        router = build_router(settings, services)
        self._access_log = self._open_access_log()
        self._server = Server(self.loop, settings.limits, router, self._access_log)
        self._server.on_closed = self._on_closed
        self._report = Report(assignment.slot, self._server, settings.workers.hang_timeout)
        self._stop_timer = Timer(self._on_patience_over)
        self._draining = False
        self._listeners: list[Listener] = []

    def start(self) -> None:
        """Begin to serve."""
        signals = Signals(self.loop, self._on_signal)
        signals.listen((signal.SIGTERM, signal.SIGQUIT))
        self.loop.watch(self._assignment.channel.fd, self._on_channel)
        self._report.start(self.loop)
        shared = self._settings.workers.number(len(os.sched_getaffinity(0))) > 1
        self._listeners = [
            Listener(self.loop, sock, self._acceptor(sock), shared)
            for _, sock in self._assignment.listeners
        ]

    def _launcher(self, no_new_privileges: bool) -> Launcher:
        return self._launchers[SpawnPolicy(no_new_privileges)]

    def _open_access_log(self) -> AccessLog | None:
        settings = self._settings.log.access
        if settings is None:
            return None
        descriptor = self._assignment.log_files.open(settings.file)
        timer = Timer(lambda _now: access_log.flush())
        access_log = AccessLog(
            descriptor,
            FORMATS[settings.format],
            lambda: self.loop.timers.set(timer, self.loop.now + FLUSH_AFTER_S),
        )
        return access_log

    # Connections.

    def _acceptor(self, listener: socket.socket) -> Accepted:
        """What to do with connections of a listener. Its own address is asked for only where it can
        differ from connection to connection: listeners on all addresses."""
        own = listener.getsockname()
        is_unix = listener.family == socket.AF_UNIX
        is_wildcard = not is_unix and own[0] in ("0.0.0.0", "::")

        def accept(sock: socket.socket, address: object) -> None:
            here = sock.getsockname() if is_wildcard else own
            if is_unix or not isinstance(address, tuple):
                peer = Peer("", 0, "", 0, "http")
            else:
                # A dual-stack socket that systemd opened shows IPv4 clients in IPv6 clothes.
                client = address[0].removeprefix("::ffff:")
                peer = Peer(client, address[1], here[0].removeprefix("::ffff:"), here[1], "http")
            HttpConnection(self._server, sock, peer)
            if len(self._server.connections) >= self._settings.limits.max_connections:
                for other in self._listeners:
                    other.pause()

        return accept

    def _on_closed(self) -> None:
        if self._draining:
            self._on_idle()
        elif len(self._server.connections) == self._settings.limits.max_connections - 1:
            for listener in self._listeners:
                listener.resume()

    # Leaving.

    def _on_signal(self, number: signal.Signals) -> None:
        if number == signal.SIGQUIT:
            self._leave()
        else:
            self._drain()

    def _on_channel(self, _mask: int) -> None:
        try:
            said = self._assignment.channel.hear()
        except BlockingIOError:
            return
        if said is None:
            self._leave()  # the master is gone
        elif said.word is Word.DRAIN:
            self._drain()
        elif said.word is Word.STOP:
            self._drain(nobody_takes_over=True)
        elif said.word is Word.REOPEN:
            if self._access_log is not None:
                self._access_log.flush()
            adopt_log_files(self._assignment, said)

    def _drain(self, nobody_takes_over: bool = False) -> None:
        """Accept no more, serve what is here, leave when all is served or patience is over."""
        patience = self._settings.workers.shutdown_timeout
        if not self._draining:
            self._draining = True
            for listener in self._listeners:
                listener.close(last=nobody_takes_over)
            self._assignment.channel.say(Word.DRAINING)
            self.loop.timers.set(self._stop_timer, self.loop.now + patience)
        self._server.drain(min(_STOP_IDLE_S, patience) if nobody_takes_over else patience)
        self._on_idle()

    def _on_idle(self) -> None:
        """Something has ended: was it the last thing that a draining worker waits for?"""
        busy = any(launcher.busy for launcher in self._launchers.values())
        if self._draining and not self._server.connections and not busy:
            self._leave()

    def _on_patience_over(self, _now: float) -> None:
        lost = len(self._server.under_way)
        if lost:
            patience = self._settings.workers.shutdown_timeout
            log.warning("%d requests were not done within shutdown_timeout %g s", lost, patience)
        self._leave()

    def _leave(self) -> None:
        self._draining = True
        self._server.abandon()
        if self._access_log is not None:
            self._access_log.flush()
        self._report.write()
        self.loop.stop()


def run_worker(assignment: Assignment) -> None:
    """The worker's whole life. Returns when it may leave."""
    channel = assignment.channel
    name = f"worker {assignment.slot.number} gen {assignment.generation}"
    try:
        enter(assignment, f"forkd: {name}", keep_privileges=False, on_orphaned=signal.SIGKILL)
        errors = assignment.log_files.open(assignment.settings.log.error.file)
        faulthandler.enable(file=errors, all_threads=True)
        worker = Worker(assignment)
        worker.start()
    except Exception as error:
        refuse_to_start(channel, [reason_of(error)])
    channel.say(Word.READY)
    worker.loop.run()
