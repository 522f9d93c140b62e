"""When a worker asks to be replaced: after so many requests, or above so much memory."""

from __future__ import annotations

import os
import random

from forkd.config.settings import Workers

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Retirement:
    """Decides once. What it says is the reason for the log."""

    def __init__(self, settings: Workers) -> None:
        jitter = random.randint(0, settings.max_requests_jitter)
        self._most_requests = settings.max_requests + jitter if settings.max_requests else 0
        self._most_memory = settings.max_rss

    def after(self, requests: int) -> str | None:
        """The reason to leave after so many requests, if it is one."""
        if not self._most_requests or requests < self._most_requests:
            return None
        self._most_requests = 0
        return f"it has answered {requests} requests"

    def above(self, resident: int) -> str | None:
        """The reason to leave with so many bytes of resident memory, if it is one."""
        if not self._most_memory or resident <= self._most_memory:
            return None
        limit, self._most_memory = self._most_memory, 0
        return f"its memory is {_mib(resident)}, above max_rss {_mib(limit)}"


def resident_bytes() -> int:
    """Resident memory of this process, shared pages included (proc_pid_statm(5))."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
