"""The fuzzer's run: a daemon, threads of clients, and what they found."""

from __future__ import annotations

import gzip
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.fuzz.answers import read
from tests.fuzz.client import Client, Ended
from tests.fuzz.damage import State, assess, observe
from tests.fuzz.mutations import Conversation, End, conversation
from tests.fuzz.seeds import LIMITS, ROUTES
from tests.system.daemon import Daemon, started
from tests.system.sites import SMALL, make_site

LANES = 24
"""Clients at a time. Most of them wait for a limit of the server."""

WARM_UP = 600
"""Conversations before the memory is looked at for the first time."""

MOST_FAULTS = 10
LARGE_BYTES = 32 << 20


@dataclass
class Findings:
    """What all clients saw. `faults` are lines for people, with the number to replay."""

    conversations: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)


def conversation_of(seed: int, number: int) -> Conversation:
    return conversation(Random(f"{seed}:{number}"))


class Fuzzer:
    """Clients against one port. Each conversation depends on the seed and its number alone."""

    def __init__(self, port: int, seed: int, findings: Findings) -> None:
        self.findings = findings
        self._port = port
        self._seed = seed
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def run(self, until: Callable[[Findings], bool]) -> None:
        """Let the clients speak until the findings are enough, and wait for the last of them."""
        lanes = [threading.Thread(target=self._lane, args=(until,)) for _ in range(LANES)]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()

    def _lane(self, until: Callable[[Findings], bool]) -> None:
        while not until(self.findings) and len(self.findings.faults) < MOST_FAULTS:
            with self._lock:
                number = next(self._numbers)
            self.one(number)

    def one(self, number: int) -> None:
        spoken = conversation_of(self._seed, number)
        received = b""
        try:
            client = Client(self._port, spoken)
            ended = client.speak()
            received = bytes(client.received)
            reading = read(received, spoken.sent)
        except OSError as error:
            self._fault(number, spoken, received, f"no connection: {error}")
            return
        fault = reading.fault
        if ended is Ended.HANGS:
            fault = "neither answered nor closed"
        elif reading.cut == "length" and ended is Ended.CLOSED and spoken.end is not End.STALL:
            # A program's answer may be cut: its request body did not come. A file's may not.
            fault = "closed inside an answer of known length"
        with self._lock:
            self.findings.conversations += 1
            self.findings.ends[ended.name] += 1
            self.findings.statuses += reading.statuses
            if reading.cut:
                self.findings.cut[reading.cut] += 1
        if fault:
            self._fault(number, spoken, received, fault)

    def _fault(self, number: int, spoken: Conversation, received: bytes, fault: str) -> None:
        line = (
            f"--seed {self._seed} --only {number}: {fault}\n  end: {spoken.end.name}\n"
            f"  sent: {spoken.sent[:600]!r}\n  received: {received[:900]!r}"
        )
        with self._lock:
            self.findings.faults.append(line)


def fuzz(
    directory: Path,
    seconds: float,
    seed: int,
    only: int | None = None,
    report: Callable[[str], object] = str,
) -> Findings:
    """Fuzz a daemon whose files are in `directory`.

    only: the number of the one conversation that is sent.
    """
    make_site(directory)
    (directory / "html" / "dir").mkdir(exist_ok=True)
    (directory / "html" / "dir" / "index.html").write_text("<!doctype html>\n")
    (directory / "html" / "small.txt.gz").write_bytes(gzip.compress(SMALL))
    with open(directory / "html" / "large.bin", "wb") as large:
        large.truncate(LARGE_BYTES)
    findings = Findings()
    try:
        with started(directory, ROUTES, limits=LIMITS, level="warning") as daemon:
            start = observe(daemon)
            fuzzer = Fuzzer(daemon.port, seed, findings)
            warm = _send(fuzzer, daemon, time.monotonic() + seconds, only)
            report(f"{findings.conversations} conversations: {dict(findings.ends)}")
            statuses = dict(sorted(findings.statuses.items()))
            report(f"answers: {statuses}, cut: {dict(findings.cut)}")
            findings.damage = assess(daemon, start, warm, findings.conversations, report)
    except AssertionError as error:
        # It did not start or stop, or there is a stack in its log: what else was found counts too.
        findings.damage.append(str(error)[-3000:])
    return findings


def _send(fuzzer: Fuzzer, daemon: Daemon, deadline: float, only: int | None) -> State:
    """Let the fuzzer speak until the deadline; gives the state after the warm-up."""

    def late() -> bool:
        return time.monotonic() > deadline

    if only is not None:
        fuzzer.one(only)
        return observe(daemon)
    fuzzer.run(lambda found: late() or found.conversations >= WARM_UP)
    warm = observe(daemon)
    fuzzer.run(lambda _: late())
    return warm
