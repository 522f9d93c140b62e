"""Replacing the running program by the one that is installed now (USR2).

The new master is a child of the old one. It inherits the listeners, so the kernel's queues are
never closed; it starts its own generation from the configuration as it is now; and when that serves
it says READY. Only then does the old master drain. Whatever goes wrong before, the old one serves
on.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping

from forkd.channel import Channel, Word, channel_pair
from forkd.errors import OperationError
from forkd.loop.loop import Loop
from forkd.loop.timers import Timer
from forkd.master.control import Reply
from forkd.master.inheritance import VARIABLE, describe
from forkd.master.listeners import Listeners

log = logging.getLogger("forkd.master")

_MARGIN_S = 10.0
"""For starting Python and reading the configuration."""
_DEFAULT_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}, key=int)


class Successor:
    """The new master, seen by the old one until it serves or is given up."""

    def __init__(
        self,
        loop: Loop,
        listeners: Listeners,
        generation: int,
        environ: Mapping[str, str],
        patience_s: float,
        ended: Callable[[list[str]], None],
        *,
        in_service: bool,
    ) -> None:
        """Start it. `ended` is called once, with the reasons why it does not serve, or none.

        Raises OperationError.
        """
        self._loop = loop
        self._ended = ended
        self._reasons: list[str] = []
        self._patience_s = patience_s
        if os.getpid() == 1:
            raise OperationError(
                "an upgrade cannot replace process 1, whose end is the end of the container: "
                "start another container"
            )
        try:
            self._channel, theirs = channel_pair()
        except OSError as error:
            raise OperationError(f"cannot start the new master: {error.strerror}") from None
        text, descriptors = describe(
            theirs.fd, listeners, listeners.inherited(), generation, in_service=in_service
        )
        try:
            self.pid = os.posix_spawn(
                sys.executable,
                [sys.executable, *sys.orig_argv[1:]],
                {**environ, VARIABLE: text},
                # A descriptor that is duplicated to its own number survives the exec.
                file_actions=[(os.POSIX_SPAWN_DUP2, number, number) for number in descriptors],
                setsigmask=(),
                setsigdef=_DEFAULT_SIGNALS,
            )
        except OSError as error:
            self._channel.close()
            raise OperationError(f"cannot start {sys.executable}: {error.strerror}") from None
        finally:
            theirs.close()
        loop.watch(self._channel.fd, self._on_channel)
        self._timer = Timer(self._on_patience_over)
        loop.timers.set(self._timer, loop.now + patience_s)

    def died(self, status: int) -> None:
        """It was reaped."""
        while (said := self._heard()) is not None:
            if said is Word.READY:
                return  # it has served, and is no affair of ours any more
        code = os.waitstatus_to_exitcode(status)
        how = f"by signal {-code}" if code < 0 else f"with exit status {code}"
        self._end(self._reasons or [f"the new master ended {how} before it served"])

    def give_up(self, reason: str) -> None:
        """Kill it; its children go with it."""
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._end([reason])

    def _on_channel(self, _mask: int) -> None:
        self._heard()

    def _heard(self) -> Word | None:
        """The next word, and what follows from it."""
        if self._channel.fd < 0:
            return None
        try:
            said = self._channel.hear()
        except BlockingIOError:
            return None
        if said is None:
            # Its death tells what has become of it.
            self._loop.forget(self._channel.fd)
            self._channel.close()
            return None
        if said.word is Word.FAILED:
            self._reasons = list(said.fields)
        elif said.word is Word.READY:
            self._end([])
        return said.word

    def _on_patience_over(self, _now: float) -> None:
        self.give_up(f"the new master did not serve within {self._patience_s:g} s")

    def _end(self, reasons: list[str]) -> None:
        self._loop.timers.remove(self._timer)
        if self._channel.fd >= 0:
            self._loop.forget(self._channel.fd)
        self._ended(reasons)
        # Only now: by this the new master knows that the service manager has been told of it.
        self._channel.close()


class Upgrades:
    """One at a time. Those who ask for one are told how it ends."""

    def __init__(
        self,
        loop: Loop,
        listeners: Listeners,
        environ: Mapping[str, str],
        in_service: Callable[[], bool],
        replaced: Callable[[int], None],
    ) -> None:
        """environ: more variables for the new master. in_service: whether this host is. replaced:
        told of the pid of the master that serves from now on."""
        self._loop = loop
        self._listeners = listeners
        self._environ = environ
        self._in_service = in_service
        self._replaced = replaced
        self._successor: Successor | None = None
        self._replies: list[Reply] = []

    @property
    def busy(self) -> bool:
        return self._successor is not None

    def begin(self, generation: int, boot_timeout_s: float, replies: list[Reply]) -> None:
        """Start the new master. generation: the number of the one that serves now."""
        if self._successor is not None:
            self.refuse(replies, ["an upgrade is under way already"])
            return
        # Template, canary and the others come up one after the other.
        patience = 3 * boot_timeout_s + _MARGIN_S
        try:
            self._successor = Successor(
                self._loop,
                self._listeners,
                generation,
                {**os.environ, **self._environ},
                patience,
                self._on_ended,
                in_service=self._in_service(),
            )
        except OperationError as error:
            self.refuse(replies, [str(error)])
            return
        self._replies = replies
        log.info("upgrade: the new master is pid %d", self._successor.pid)

    def refuse(self, replies: list[Reply], reasons: list[str]) -> None:
        """It did not happen, and this master serves on."""
        for reason in reasons:
            log.error("upgrade failed: %s", reason)
        log.error("upgrade failed: this master goes on")
        for reply in replies:
            reply({"ok": False, "reasons": reasons})

    def give_up(self, reason: str) -> None:
        """End what is under way."""
        if self._successor is not None:
            self._successor.give_up(reason)

    def reaped(self, pid: int, status: int) -> None:
        """A child that is no worker has ended."""
        if self._successor is not None and self._successor.pid == pid:
            self._successor.died(status)

    def _on_ended(self, reasons: list[str]) -> None:
        assert self._successor is not None
        pid, self._successor = self._successor.pid, None
        replies, self._replies = self._replies, []
        if reasons:
            self.refuse(replies, reasons)
            return
        log.info("upgrade: pid %d serves; this master drains, then goodbye", pid)
        for reply in replies:
            reply({"ok": True, "pid": pid})
        self._replaced(pid)


class Predecessor:
    """The old master, seen by the new one."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def serve_instead(self, loop: Loop, heard: Callable[[], None]) -> None:
        """Tell it that this one serves: it is to drain. `heard` is called when it knows, and has
        told the service manager."""
        self._channel.say(Word.READY)

        def on_end(_mask: int) -> None:
            # It says nothing more: what there is to read is its end.
            loop.forget(self._channel.fd)
            self._channel.close()
            heard()

        loop.watch(self._channel.fd, on_end)

    def refuse(self, reasons: list[str]) -> None:
        """Tell it why this one will not serve."""
        self._channel.say(Word.FAILED, reasons)
        self._channel.close()
