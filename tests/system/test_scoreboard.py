"""The scoreboard between processes: what one writes while another reads."""

from __future__ import annotations

import os
import time

from forkd.scoreboard import Scoreboard


def test_a_reader_never_sees_half_a_number() -> None:
    slot = Scoreboard(1).slots[0]
    slot.write(1.0, 1, 1, 1, 1, 1, 1, 1.0)
    pid = os.fork()
    if pid == 0:
        end = time.monotonic() + 1
        while time.monotonic() < end:
            for _ in range(1000):
                slot.write(1e9, 1 << 40, 1 << 40, 1 << 40, 1 << 40, 7, 7, 1e9)
                slot.write(1.0, 1, 1, 1, 1, 1, 1, 1.0)
        os._exit(0)
    seen = set()
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        for _ in range(1000):
            counters = slot.read()
            seen |= {counters.tick, counters.request_since}
            seen |= {counters.requests, counters.bytes_sent, counters.open_connections}
    assert seen <= {1.0, 1e9, 1 << 40, 7}
    assert len(seen) == 4
