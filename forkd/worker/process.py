"""A worker: builds the handlers, accepts, answers, drains, leaves."""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator

from forkd.channel import Word
from forkd.child import Assignment, adopt_log_files, enter, reason_of, refuse_to_start
from forkd.config.policy import RouteKey, SpawnPolicy
from forkd.figures.counting import Figures
from forkd.handlers.applications import Applications, has_applications, import_applications
from forkd.handlers.base import Peer
from forkd.handlers.factory import Services, build_router
from forkd.handlers.open_files import OpenFiles
from forkd.handlers.overdue import Overseer
from forkd.handlers.programs import Launcher
from forkd.logs.access import FLUSH_AFTER_S, AccessLog, style_of
from forkd.logs.files import write_whole
from forkd.loop.crew import Crew
from forkd.loop.loop import Loop
from forkd.loop.signals import Signals
from forkd.loop.timers import Timer
from forkd.scoreboard import Service
from forkd.server.context import Server
from forkd.server.datagrams import Datagrams
from forkd.server.http import HttpConnection
from forkd.server.listener import Accepted, Listener
from forkd.server.queue_time import QueueTime, waited_s
from forkd.spawner.client import SpawnerClient
from forkd.system.process import raise_descriptor_limit
from forkd.worker.protocols import Protocols
from forkd.worker.questions import Questions
from forkd.worker.report import Report
from forkd.worker.service import ServiceWatch
from forkd.worker.threads import describe_threads
from forkd.worker.watch import SourceWatch, imported_sources

log = logging.getLogger("forkd.worker")

_STOP_IDLE_S = 0.5
"""At a stop nobody takes over, so a connection without a request is not kept for long."""
_LAST_WORDS_S = 1.0
"""For code whose connection is cut off: less than the master allows beyond shutdown_timeout."""


class Worker:
    """The parts of a worker and how they leave together."""

    def __init__(self, assignment: Assignment, applications: Applications | None) -> None:
        settings = assignment.settings
        self._assignment = assignment
        self._settings = settings
        raise_descriptor_limit()
        self.loop = Loop()
        self._launchers: dict[SpawnPolicy, SpawnerClient] = {
            policy: SpawnerClient(self.loop, orders, self._on_idle)
            for policy, orders in assignment.orders.items()
        }
        self.crew = Crew(self.loop, settings.workers.threads)
        files = OpenFiles(self.loop.timers)
        self._questions = {
            "status": Questions(self.loop, assignment.channel, "status"),
            # Counters must not go down from one look to the next, whichever worker is asked.
            "metrics": Questions(self.loop, assignment.channel, "metrics", fresh_s=0.0),
        }
        figures = Figures()
        services = Services(
            self._launcher,
            os.environ,
            files,
            self.crew,
            master=self._questions["status"],
            meter=self._questions["metrics"],
            figures=figures,
            is_leaving=self._is_leaving,
        )
        if applications is None:
            applications = import_applications(settings, assignment.channel.say_importing)
        router = build_router(settings, applications, services)
        self._classes = applications.listeners
        self._access_log = self._open_access_log()
        self._server = Server(self.loop, settings.limits, router, self._access_log, figures)
        self._server.on_closed = self._on_closed
        self._queue_time = QueueTime(figures)
        self._protocols = Protocols(self._server, self.crew)
        self._report = Report(
            assignment.slot,
            self._server,
            self.crew,
            settings.workers,
            self._running_programs,
            self._retire,
        )
        self._overseer: Overseer | None = None
        if timeouts := settings.request_timeouts:
            self._overseer = Overseer(self.loop, self.crew, min(timeouts), self._retire)
        self._stop_timer = Timer(self._on_patience_over)
        self._draining = False
        self._stopping = False
        """Draining, and nobody takes over."""
        self._listeners: list[Listener] = []
        self._datagrams: list[Datagrams] = []

    def start(self) -> None:
        """Begin to serve."""
        signals = Signals(self.loop, self._on_signal)
        signals.listen((signal.SIGTERM, signal.SIGQUIT))
        self.loop.watch(self._assignment.channel.fd, self._on_channel)
        self._report.start(self.loop)
        if self._settings.workers.dev:
            SourceWatch(self.loop, self._on_source_changed, imported_sources)
        shared = self._settings.workers.most(len(os.sched_getaffinity(0))) > 1
        for address, sock in self._assignment.listeners:
            handler = self._classes.get(address)
            if handler is not None and sock.type == socket.SOCK_DGRAM:
                received = self._protocols.receiver(sock, str(address), handler, shared)
                self._datagrams.append(received)
                continue
            accepted = (
                self._acceptor(sock)
                if handler is None
                else self._protocols.acceptor(sock, str(address), handler)
            )
            accepted = self._counted(accepted, sock.family != socket.AF_UNIX)
            self._listeners.append(Listener(self.loop, sock, accepted, shared))
        ServiceWatch(
            self.loop, self._assignment.slot, self._go_out_of_service, self._come_back_into_service
        )

    def _launcher(self, route: RouteKey) -> Launcher:
        return self._launchers[self._assignment.policies[route]]

    def _running_programs(self) -> int:
        return sum(launcher.running for launcher in self._launchers.values())

    def _open_access_log(self) -> AccessLog | None:
        settings = self._settings.log.access
        if settings is None:
            return None
        descriptor = self._assignment.log_files.open(settings.file)
        timer = Timer(lambda _now: access_log.flush())
        access_log = AccessLog(
            descriptor,
            style_of(settings.format, self._assignment.slot.number),
            lambda: self.loop.timers.set(timer, self.loop.now + FLUSH_AFTER_S),
        )
        return access_log

    def run(self) -> None:
        """Serve until it is time to leave."""
        if has_applications(self._settings):
            self.crew.run()
            sys.stdout.flush()
        else:
            self.loop.run()

    # Connections.

    def _acceptor(self, listener: socket.socket) -> Accepted:
        """What to do with connections of a listener. Its own address is asked for only where it can
        differ from connection to connection: listeners on all addresses."""
        own = listener.getsockname()
        is_unix = listener.family == socket.AF_UNIX
        is_wildcard = not is_unix and own[0] in ("0.0.0.0", "::")
        lines = self._server.lines
        tells_queue = not is_unix and lines is not None and lines.tells_queue

        def accept(sock: socket.socket, address: object) -> None:
            here = sock.getsockname() if is_wildcard else own
            if is_unix or not isinstance(address, tuple):
                peer = Peer("", 0, "", 0, "http")
            else:
                # A dual-stack socket that systemd opened shows IPv4 clients in IPv6 clothes.
                client = address[0].removeprefix("::ffff:")
                peer = Peer(client, address[1], here[0].removeprefix("::ffff:"), here[1], "http")
            HttpConnection(self._server, sock, peer, waited_s(sock) if tells_queue else None)

        return accept

    def _counted(self, accepted: Accepted, is_tcp: bool) -> Accepted:
        """The same, but with as many connections as are allowed no listener goes on."""
        connections, most = self._server.connections, self._settings.limits.max_connections
        look, loop = self._queue_time.look, self.loop

        def accept(sock: socket.socket, address: object) -> None:
            if is_tcp:
                look(sock, loop.now)
            accepted(sock, address)
            if len(connections) >= most:
                for listener in self._listeners:
                    listener.pause()

        return accept

    def _on_closed(self) -> None:
        if self._draining:
            self._on_idle()
        elif len(self._server.connections) == self._settings.limits.max_connections - 1:
            for listener in self._listeners:
                listener.resume()

    # Out of service, and leaving.

    def _is_leaving(self) -> bool:
        """A worker that another one replaces does not count: the host serves on."""
        return self._stopping or self._assignment.slot.service is not Service.IN

    def _go_out_of_service(self) -> None:
        """Accept no more, and let go of those connections that are here, but stay."""
        if not self._draining:
            for held in self._accepting():
                held.hold()
            self._server.drain(self._settings.workers.shutdown_timeout)

    def _come_back_into_service(self) -> None:
        if not self._draining:
            self._server.serve_on()
            for held in self._accepting():
                held.release()

    def _accepting(self) -> Iterator[Listener | Datagrams]:
        yield from self._listeners
        yield from self._datagrams

    def _retire(self, reason: str) -> None:
        if not self._draining:
            self._assignment.channel.say(Word.RETIRE, [reason])

    def _on_source_changed(self, path: str) -> None:
        self._assignment.channel.say(Word.CHANGED, [path])

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
        elif said.word is Word.TELL:
            self._questions[said.fields[0]].hear(said)
        elif said.word is Word.STACKS and self._assignment.stacks is not None:
            write_whole(self._assignment.stacks, describe_threads(self.crew, self.loop.now))
        elif said.word is Word.REOPEN:
            if self._access_log is not None:
                self._access_log.flush()
            adopt_log_files(self._assignment, said)

    def _drain(self, nobody_takes_over: bool = False) -> None:
        """Accept no more, serve what is here, leave when all is served or patience is over."""
        patience = self._settings.workers.shutdown_timeout
        self._stopping = self._stopping or nobody_takes_over
        if not self._draining:
            self._draining = True
            for listener in self._listeners:
                listener.close(last=nobody_takes_over)
            for datagrams in self._datagrams:
                datagrams.close(last=nobody_takes_over)
            self._assignment.channel.say(Word.DRAINING)
            self.crew.on_ended = self._on_idle
            self.loop.timers.set(self._stop_timer, self.loop.now + patience)
        self._server.drain(min(_STOP_IDLE_S, patience) if nobody_takes_over else patience)
        self._on_idle()

    def _on_idle(self) -> None:
        """Something has ended: was it the last thing that a draining worker waits for?"""
        busy = any(launcher.busy for launcher in self._launchers.values())
        busy = busy or self._protocols.datagrams > 0
        # What an application does behind its answer (close, the rest of a generator) is waited for.
        busy = busy or (self._overseer is not None and self._overseer.expects)
        if self._draining and not self._server.connections and not busy:
            self._leave()

    def _on_patience_over(self, now: float) -> None:
        patience = self._settings.workers.shutdown_timeout
        lost, cut_off = len(self._server.under_way), self._protocols.connections
        if lost:
            log.warning("%d requests were not done within shutdown_timeout %g s", lost, patience)
        if not cut_off:
            self._leave()
            return
        log.warning("%d connections were cut off after shutdown_timeout %g s", cut_off, patience)
        # What their classes do when they find that is done before the worker leaves.
        self.loop.timers.set(Timer(lambda _now: self._leave()), now + _LAST_WORDS_S)
        self._server.abandon()

    def _leave(self) -> None:
        self._draining = True
        self._server.abandon()
        if self._access_log is not None:
            self._access_log.flush()
        self._report.write()
        self.loop.stop()


def _spare_the_collector() -> None:
    """What was made up to here stays: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


def run_worker(assignment: Assignment, applications: Applications | None = None) -> None:
    """The worker's whole life. Returns when it may leave.

    applications: what its template has imported; None: the worker imports it.
    """
    channel = assignment.channel
    name = f"worker {assignment.slot.number} gen {assignment.generation}"
    try:
        enter(assignment, f"forkd: {name}", keep_privileges=False, on_orphaned=signal.SIGKILL)
        errors = assignment.log_files.open(assignment.settings.log.error.file)
        faulthandler.enable(file=errors, all_threads=True)
        worker = Worker(assignment, applications)
        _spare_the_collector()
        worker.start()
    except Exception as error:
        refuse_to_start(channel, [reason_of(error)])
    channel.say(Word.READY)
    worker.run()
